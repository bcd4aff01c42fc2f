"""A request's body on its way: read once from the caller, kept while it is small enough to be sent again.

Owns framing towards the upstream and what a replay needs (`limits.replay_body`). Knows no routes and no
tokens. At most one chunk is in memory besides what is kept: the caller is read no faster than the upstream
takes.
"""

from __future__ import annotations

from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from sidecar.clock import now
from sidecar.proxy.upstream import Connection


class Body:
    """The body of one request, over all its attempts."""

    __slots__ = ("_chunked", "_keep", "_kept", "_payload", "_size", "sent", "starved")

    def __init__(self, payload: StreamReader, *, chunked: bool, keep: int) -> None:
        self._payload = payload
        self._chunked = chunked
        self._keep = keep
        self._kept: list[bytes] | None = []
        self._size = 0
        self.sent = False  # the whole of it went to the upstream of the current attempt
        self.starved = False  # waiting for the caller

    @property
    def resendable(self) -> bool:
        """All of it that has been sent so far is kept."""
        return self._kept is not None

    def start(self) -> bytes | None:
        """The framed whole, if all of it is here already; None when it has to be streamed."""
        payload = self._payload
        self.sent = self.starved = False
        if payload is EMPTY_PAYLOAD:
            self.sent = True
            return b""
        if not payload.is_eof() or payload.exception() is not None:
            return None
        chunks = list(self._kept or ())
        if not payload.at_eof():
            chunks.append(payload.read_nowait())
            self._remember(chunks[-1])
        self.sent = True
        return b"".join(map(self._framed, chunks)) + self._end()

    async def stream(self, connection: Connection, idle_timeout: float) -> None:
        """Send it: what is kept first, then what the caller still has.

        Raises what the caller's parser raises (malformed chunks, caller gone) and ConnectionResetError when
        the upstream is gone.
        """
        for chunk in self._kept or ():
            connection.write(self._framed(chunk))
        while True:
            await connection.drain()
            self.starved = True
            data = await self._payload.readany()
            self.starved = False
            connection.deadline = now() + idle_timeout
            if not data:
                break
            self._remember(data)
            connection.write(self._framed(data))
        connection.write(self._end())
        self.sent = True

    def _remember(self, data: bytes) -> None:
        if self._kept is not None:
            self._size += len(data)
            if self._size > self._keep:
                self._kept = None
            else:
                self._kept.append(data)

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data

    def _end(self) -> bytes:
        return b"0\r\n\r\n" if self._chunked else b""


NONE = Body(EMPTY_PAYLOAD, chunked=False, keep=0)  # of all requests without one: it never changes
