"""One connection to the upstream: its socket, and whose answer is arriving on it.

Owns an `asyncio.Protocol`: writing with backpressure, the deadline, what becomes of the connection behind an
answer. How an answer is read is answer.py's business; nothing here knows of tokens, routes or callers.

A connection serves one exchange at a time, and is used again only when nothing at all is odd: the request was
sent whole, the answer ended where it should, and not a byte came after it.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import TYPE_CHECKING

from sidecar.clock import now
from sidecar.errors import UpstreamTimeout
from sidecar.proxy.answer import AnswerReader
from sidecar.proxy.receiver import Receiver, State

if TYPE_CHECKING:
    from sidecar.proxy.pool import Pool


_IDLE, _HEAD, _BODY, _DONE, _ = State


_READ = 64 * 1024
# All connections are read into the same memory, one after the other, and what came is copied out at once: the event
# loop would otherwise allocate 256 KB for each read and give most of it back.
_buffer = memoryview(bytearray(_READ))


class Connection(asyncio.BufferedProtocol):
    """One connection, idle or serving one exchange."""

    __slots__ = (
        "_answer",
        "_drain_waiter",
        "_plain",
        "_poll",
        "_pool",
        "_reading_paused",
        "_sock",
        "_writing_paused",
        "born",
        "deadline",
        "idle_since",
        "served",
        "transport",
        "tunnel",
    )

    def __init__(self, pool: Pool, sock: socket.socket, *, plain: bool) -> None:
        self._pool = pool
        self._sock = sock
        self._plain = plain
        self._poll: select.poll | None = None
        self._answer = AnswerReader(pool.max_head_bytes)
        self._writing_paused = self._reading_paused = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport | None = None
        self.tunnel: asyncio.Protocol | None = None
        self.served = 0  # exchanges begun so far
        self.born = now()
        self.idle_since = 0.0
        self.deadline: float | None = None  # when the pool's sweep gives up on the exchange

    # -- for the exchange --------------------------------------------------------------------------------------

    def begin(self, receiver: Receiver, *, head_request: bool, wants_upgrade: bool) -> None:
        """Serve this exchange from now on."""
        self._answer.begin(receiver, head_request=head_request, wants_upgrade=wants_upgrade)
        self.served += 1

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the upstream has taken most of what was written.

        Raises ConnectionResetError when it is gone.
        """
        if self._writing_paused and self.transport is not None:
            self._drain_waiter = asyncio.get_running_loop().create_future()
            await self._drain_waiter
        if self._readable():
            # Most likely an early answer, with a reset behind it: a failing write would lose it unread.
            await asyncio.sleep(0)
        if self.transport is None:
            raise ConnectionResetError

    def end(self, *, request_sent: bool) -> None:
        """The exchange needs this connection no longer: back to the pool, or closed."""
        self.deadline = None
        if self._answer.end() and request_sent and self.transport is not None:
            if self._reading_paused:  # by a slow caller
                self.resume_reading()
            self._pool.release(self)
        else:
            self.close()

    def close(self) -> None:
        """Close at once; nothing of it can be used again."""
        if self.transport is not None:
            self.transport.abort()

    def pause_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    # -- for the pool ------------------------------------------------------------------------------------------

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = self._answer.overdue()
        if self.deadline is not None:
            return
        self._answer.fail(UpstreamTimeout("the upstream was silent for too long"))
        self.close()

    # -- asyncio.Protocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP, TLS and unix streams all are Transports

    def get_buffer(self, sizehint: int) -> memoryview:
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Bytes from the upstream: a part of an answer, or of a tunnel."""
        if self.tunnel is not None:
            self.tunnel.data_received(data)
            return
        answer = self._answer
        answer.feed(data)
        state = answer.state
        if state is _BODY:
            self.deadline = now() + self._pool.idle_timeout
        elif state is _DONE or state is _IDLE:
            self.deadline = None
            if not answer.reusable:
                self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self._plain and self._answer.state is _HEAD:
            self._read_the_rest()
        self.transport = None
        waiter = self._drain_waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(ConnectionResetError())
        self._pool.lost(self)
        if self.tunnel is not None:
            self.tunnel.connection_lost(exc)
        else:
            self._answer.eof(clean=exc is None)

    def pause_writing(self) -> None:
        self._writing_paused = True
        if self.tunnel is not None:
            self.tunnel.pause_writing()

    def resume_writing(self) -> None:
        self._writing_paused = False
        waiter = self._drain_waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self.tunnel is not None:
            self.tunnel.resume_writing()

    # -- inside ------------------------------------------------------------------------------------------------

    def _readable(self) -> bool:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN)
        return bool(self._poll.poll(0))

    def _read_the_rest(self) -> None:
        """A write failed; what the upstream said before it closed is still in the socket (RFC 9112 section 9.5)."""
        try:
            while self._answer.state in (_HEAD, _BODY) and (data := self._sock.recv(65536)):
                self._answer.feed(data)
        except OSError:
            pass
