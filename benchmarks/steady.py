"""A steady stream of requests: so many a second over a few kept connections, whatever the answers take.

Owns the schedule, the connections and the count of what came back. Each request has the moment it was due, and
its latency counts from then: a stall shows in all the requests that it held up, not in one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

OK = "200"
_PATIENCE = 30.0  # longer than any answer should take


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: when it was complete (the loop's time), and what it was."""

    at: float
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def outcome(self) -> str:
        """The status, and the sidecar's own error code with it."""
        code = self.headers.get(b"x-auth-sidecar-error")
        return f"{self.status} {code.decode()}" if code else str(self.status)


def get(target: str, *fields: str) -> bytes:
    """A whole GET request, ready to be sent."""
    return "\r\n".join([f"GET {target} HTTP/1.1", "Host: localhost", *fields, "", ""]).encode("latin-1")


@dataclass
class Steady:
    """The stream; `outcomes` and `latencies` (seconds, in no order) may be read while it runs."""

    address: str  # HOST:PORT
    requests: Sequence[bytes]  # sent in turn
    rate: float  # a second
    connections: int = 8
    on_reply: Callable[[Reply], object] | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: array[float] = field(default_factory=lambda: array("f"))
    _stopped: bool = False

    @property
    def sent(self) -> int:
        return self.outcomes.total()

    @property
    def failed(self) -> int:
        return self.sent - self.outcomes[OK]

    def stop(self) -> None:
        """No more requests; the ones under way are answered."""
        self._stopped = True

    async def run(self) -> None:
        """Until `stop()`."""
        begin = asyncio.get_running_loop().time()
        due = (begin + number / self.rate for number in itertools.count())
        schedule = zip(due, itertools.cycle(self.requests), strict=False)
        async with asyncio.TaskGroup() as senders:
            for _ in range(self.connections):
                senders.create_task(self._send(schedule))

    async def _send(self, schedule: zip[tuple[float, bytes]]) -> None:
        """One connection: takes whatever is due next."""
        loop, wire = asyncio.get_running_loop(), _Wire(self.address)
        with contextlib.closing(wire):
            for due, request in schedule:
                await asyncio.sleep(max(due - loop.time(), 0.0))
                if self._stopped:
                    return
                try:
                    async with asyncio.timeout(_PATIENCE):
                        reply = await wire.ask(request)
                except (OSError, EOFError, ValueError) as error:
                    self.outcomes[type(error).__name__] += 1
                    wire.close()
                    continue
                self.outcomes[reply.outcome] += 1
                self.latencies.append(loop.time() - due)
                if self.on_reply is not None:
                    self.on_reply(reply)


class _Wire:
    """A connection that is kept, and made anew when it was closed."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> Reply:
        if self._streams is None:
            host, _, port = self._address.rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get(b"content-length", b"")))
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return Reply(asyncio.get_running_loop().time(), int(head[0].split(b" ", 2)[1]), headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
