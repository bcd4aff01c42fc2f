"""One kept connection to a proxy: a request out, an answer in, read strictly.

Owns how an answer is read off a connection. What breaks off is never taken for complete: `Cut` says that a head was
there. Knows nothing of what should have been answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


class Cut(EOFError):
    """The connection ended in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: when it was complete (the loop's time), and what it was."""

    at: float
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def code(self) -> str | None:
        """The sidecar's own error code, when it answered itself."""
        code = self.headers.get(b"x-auth-sidecar-error")
        return None if code is None else code.decode("latin-1")

    @property
    def outcome(self) -> str:
        """The status, and the sidecar's own error code with it."""
        return f"{self.status} {self.code}" if self.code else str(self.status)


class Wire:
    """A connection that is kept, and made anew when it was closed."""

    def __init__(self, address: str) -> None:
        self._address = address  # HOST:PORT
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @property
    def open(self) -> bool:
        return self._streams is not None

    async def ask(self, request: bytes) -> Reply:
        """Raises OSError, EOFError (`Cut` once a head was there), or ValueError when it is no HTTP."""
        reader, writer = await self.connect()
        writer.write(request)
        return await self.read(reader)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            host, _, port = self._address.rpartition(":")
            self._streams = await asyncio.open_connection(host, int(port))
        return self._streams

    async def read(self, reader: asyncio.StreamReader) -> Reply:
        """The next answer."""
        status, headers = await read_head(reader)
        try:
            body = await _body(reader, headers)
        except asyncio.IncompleteReadError as error:
            raise Cut(f"{len(error.partial)} bytes after the head of a {status}") from None
        if headers.get(b"connection", b"").lower() == b"close":
            self.close()
        return Reply(asyncio.get_running_loop().time(), status, headers, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[bytes, bytes]]:
    """Status and fields, names in lower case. Raises ValueError when there is more than one length."""
    head = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[:-2]
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(b":") for line in head[1:])]
    headers = dict(fields)
    if sum(name in (b"content-length", b"transfer-encoding") for name, _ in fields) > 1:
        raise ValueError("two lengths")
    return int(head[0].split(b" ", 2)[1]), headers


async def _body(reader: asyncio.StreamReader, headers: dict[bytes, bytes]) -> bytes:
    if headers.get(b"transfer-encoding", b"").lower() != b"chunked":
        return await reader.readexactly(int(headers.get(b"content-length", b"")))
    body = bytearray()
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        piece = await reader.readexactly(size + 2)
        if piece[-2:] != b"\r\n":
            raise ValueError("a chunk is longer than it says")
        if size == 0:
            return bytes(body)
        body += piece[:-2]
