"""A TCP front: relays to a server behind it, ends TLS, keeps every byte, and holds back what a test wants held back.

Owns sockets only; what the bytes mean is nothing to it. In front of the sidecar it stands in the ingress's place: a
browser's own view may miss an answer whose page is gone, this misses none.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

_CHUNK = 1 << 16
_KEPT_BACK = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nkept back"
)


def _open() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Front:
    """`async with front.listening()`, then set `behind`."""

    behind: tuple[str, int] | None = None
    port: int = 0
    to_browser: bytearray = field(default_factory=bytearray, repr=False)
    to_sidecar: bytearray = field(default_factory=bytearray, repr=False)
    keep_back: bytes | None = None  # requests that begin like this are answered here, and go no further
    kept_back: list[str] = field(default_factory=list)  # their targets
    answering: asyncio.Event = field(default_factory=_open)  # while it is not set, answers wait here

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
                    both = (self._ask(reader, ours, writer), self._answer(theirs, writer))
                    await asyncio.gather(*both, return_exceptions=True)
        finally:
            writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, behind: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        """Until either side ends; then the other is ended, too."""
        with contextlib.closing(behind):
            while data := await reader.read(_CHUNK):
                if self.keep_back is not None and data.startswith(self.keep_back):
                    # (A browser sends the head of a navigation at once, and nothing behind it.)
                    self.kept_back.append(data.split(b" ", 2)[1].decode("latin-1"))
                    writer.write(_KEPT_BACK)
                    return
                self.to_sidecar += data
                behind.write(data)
                await behind.drain()

    async def _answer(self, behind: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            while data := await behind.read(_CHUNK):
                await self.answering.wait()
                self.to_browser += data
                writer.write(data)
                await writer.drain()
