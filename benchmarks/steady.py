"""A steady stream of requests: so many a second over a few kept connections, whatever the answers take.

Owns the schedule and the count of what came back. Each request has the moment it was due, and
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

from benchmarks.wire import Reply, Wire

OK = "200"
_PATIENCE = 30.0  # longer than any answer should take


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
        loop, wire = asyncio.get_running_loop(), Wire(self.address)
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
