"""One case through one proxy: what the upstream got and what the caller was answered.

Owns the upstream, which reads with h11 and notes every request that is whole, and the moment in which nothing more
comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import h11

_QUIET = 0.12  # seconds without a byte; the proxies are on loopback
_QUIET_END = 2.0
_STATUS = re.compile(rb"HTTP/1\.[01] ([2-5]\d\d)\b")


@dataclass(frozen=True)
class Request:
    """A whole request at the upstream."""

    method: str
    target: str
    body: bytes

    def __str__(self) -> str:
        return f"{self.method} {self.target}" + (f" +{len(self.body)}" if self.body else "")


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    requests: tuple[Request, ...]
    statuses: tuple[int, ...]
    odd: bool  # the upstream was sent something that h11 does not read

    def __str__(self) -> str:
        got = ", ".join(map(str, self.requests)) or "-"
        return f"{got} / {' '.join(map(str, self.statuses)) or 'closed or silent'}" + (
            " ODD" if self.odd else ""
        )


@dataclass
class Upstream:
    """Answers everything with 200."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    odd: bool = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Upstream]:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._serve(reader, writer)
            tasks.discard(task)
            writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        request: h11.Request | None = None
        body = b""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError:
                self.odd = self.odd or request is None  # within a body it may be a cut
                return
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(65536))
            elif isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage) and request is not None:
                self.requests.append(Request(request.method.decode(), request.target.decode("latin-1"), body))
                writer.write(
                    connection.send(h11.Response(status_code=200, headers=[("Content-Length", "2")])) or b""
                )
                answer = b"" if request.method == b"HEAD" else connection.send(h11.Data(data=b"ok"))
                writer.write((answer or b"") + (connection.send(h11.EndOfMessage()) or b""))
                await writer.drain()
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    return
                connection.start_next_cycle()
                request = None
            else:
                return


async def ask(port: int, upstream: Upstream, data: bytes) -> Outcome:
    """Send it on a connection of its own."""
    upstream.requests.clear()
    upstream.odd = False
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    with contextlib.suppress(ConnectionError):
        writer.write(data)
        await writer.drain()
        deadline = asyncio.get_running_loop().time() + _QUIET_END
        while asyncio.get_running_loop().time() < deadline:
            async with asyncio.timeout(_QUIET):
                try:
                    piece = await reader.read(65536)
                except asyncio.CancelledError:
                    piece = b""
            if not piece:
                break
            got += piece
    writer.transport.abort()
    await asyncio.sleep(0.01)
    statuses = tuple(int(code) for code in _STATUS.findall(got))
    return Outcome(tuple(upstream.requests), statuses, upstream.odd)
