"""A TCP front before the sidecar, in the ingress's place: TLS ends here, and every byte to the browser is kept.

Owns sockets only; what the bytes mean is nothing to it. The browser's own view may miss an answer whose page is gone;
this misses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

_CHUNK = 1 << 16
_KEPT_BACK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nkept back"
)


@dataclass
class Front:
    """`async with front.listening()`, then set `behind`."""

    behind: tuple[str, int] | None = None
    port: int = 0
    to_browser: bytearray = field(default_factory=bytearray, repr=False)
    to_sidecar: bytearray = field(default_factory=bytearray, repr=False)
    keep_back: bytes | None = None  # requests that begin like this are answered here, and go no further
    kept_back: list[str] = field(default_factory=list)  # their targets

    @contextlib.asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Front]:
        """Accept connections on a free port of 127.0.0.1 while the context lasts."""
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.get_running_loop().create_task(self._relay(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", self.port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert self.behind is not None
            with contextlib.suppress(OSError):
                theirs, ours = await asyncio.open_connection(*self.behind)
                with contextlib.closing(ours):
                    both = (
                        _copy(reader, ours, self.to_sidecar, lambda data: self._keeps_back(data, writer)),
                        _copy(theirs, writer, self.to_browser, lambda data: False),
                    )
                    await asyncio.gather(*both, return_exceptions=True)
        finally:
            writer.close()

    def _keeps_back(self, data: bytes, writer: asyncio.StreamWriter) -> bool:
        """A browser sends the head of a navigation at once, and nothing behind it."""
        if self.keep_back is None or not data.startswith(self.keep_back):
            return False
        self.kept_back.append(data.split(b" ", 2)[1].decode("latin-1"))
        writer.write(_KEPT_BACK)
        return True


async def _copy(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, kept: bytearray, stops: Callable[[bytes], bool]
) -> None:
    """Until either side ends, or `stops` says so; then the other is ended, too."""
    try:
        while (data := await source.read(_CHUNK)) and not stops(data):
            kept += data
            sink.write(data)
            await sink.drain()
    finally:
        sink.close()
