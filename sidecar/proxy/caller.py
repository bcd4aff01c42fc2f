"""One connection from a caller: which request is served when, and the answers' side.

Owns whether a request is served here and now or by aiohttp's task, and what goes back to a caller besides an
exchange's own bytes: the answers aiohttp would have made itself, backpressure, the lingering end, and a WebSocket's
tunnel. How requests are read is feeding.py's business, which also lists what both rely on in aiohttp.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
import sys
import termios
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import _ErrInfo

from sidecar.clock import now
from sidecar.errors import BadRequest, HeadersTooLarge, Refusal
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.feeding import KEEPALIVE_TIMEOUT, PiecewiseHandler
from sidecar.proxy.serving import Proxy
from sidecar.proxy.tunnel import Tunnel

if TYPE_CHECKING:
    from sidecar.proxy.server import Listener

_LINGER = 2.0
_LINGER_FOR_SENDERS = 10.0  # in all, while more arrives
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with a reset


class _Dropped:
    """Where bytes go that nobody will read: the connection is ending."""

    def __init__(self) -> None:
        self.any = False  # since the last look

    def from_caller(self, data: bytes) -> None:
        self.any = True

    def caller_gone(self) -> None: ...


class CallerConnection(PiecewiseHandler):
    """One connection from a caller."""

    __slots__ = ("_begun", "_lingering", "_listener", "_resting", "_taken", "_tunnel", "exchange")

    def __init__(self, server: Listener, proxy: Proxy, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(server, proxy, loop=loop)
        self._listener = server
        self.exchange: Exchange | None = None  # under way
        self._begun: Exchange | None = None  # begun here, for aiohttp's task to go on with
        self._resting: asyncio.Future[None] | None = (
            None  # what aiohttp's task waits for, while we do without it
        )
        self._tunnel: Tunnel | _Dropped | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._taken: asyncio.Future[None] | None = None  # set when the caller has taken what it was written

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._listener.callers += 1
        if self._listener.turn_away():
            cast(asyncio.Transport, transport).abort()

    def data_received(self, data: bytes) -> None:
        if self._tunnel is not None:
            self._tunnel.from_caller(data)
            return
        # Taken away, so that aiohttp does not wake its task before we have had a look at what arrived.
        resting, self._waiter = self._waiter, None
        super().data_received(data)
        if resting is not None:
            self._waiter = resting
            if self._messages:
                self._dispatch()

    # -- requests that need no task ------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """The caller was idle and has asked for something: serve it, here and now if it need not wait."""
        self._resting, self._waiter = self._waiter, None
        message, payload = self._messages[0]
        if (
            len(self._messages) == 1
            and payload.is_eof()
            and self.at_ease
            and not (self._upgraded or self._force_close or self._close or isinstance(message, _ErrInfo))
        ):
            exchange = Exchange(message, payload, self)
            if exchange.serve_directly():
                self._messages.popleft()
                return
            self._begun = exchange
        self._wake()

    def exchange_for(self, message: RawRequestMessage, payload: StreamReader) -> Exchange:
        """aiohttp's task takes up a request."""
        exchange, self._begun = self._begun, None
        return exchange or Exchange(message, payload, self)

    def hand_over(self, exchange: Exchange, message: RawRequestMessage, payload: StreamReader) -> None:
        """It cannot be ended here after all: aiohttp's task goes on with it."""
        if self._resting is None or self._resting.done():  # the task is gone: the server is shutting down
            exchange.abandon()
            return
        self._begun = exchange
        self._messages.appendleft((message, payload))
        self._wake()

    def served(self) -> None:
        """A request was served to its end without aiohttp's task."""
        self.exchange = None
        self._next_keepalive_close_time = now() + KEEPALIVE_TIMEOUT
        if self._keepalive and self._keepalive_handle is None:  # it came due while the request was under way
            self._keepalive_handle = self._loop.call_at(
                self._next_keepalive_close_time, self._process_keepalive
            )
        if self._parser is not None:
            self._parser.message_consumed()
        self._waiter, self._resting = self._resting, None
        if self._messages:
            self._dispatch()

    @property
    def at_ease(self) -> bool:
        """Nothing but the next request is to be looked after on this connection."""
        return not (self.writing_paused or self._held or self._buffer_paused or self._close)

    def _wake(self) -> None:
        resting, self._resting = self._resting, None
        if resting is not None and not resting.done():
            resting.set_result(None)

    # -- answers that aiohttp would have made --------------------------------------------------------------------------

    def _make_error_handler(self, err_info: _ErrInfo) -> Callable[[Any], Awaitable[Any]]:
        refusal: Refusal
        if isinstance(err_info.exc, Refusal):
            refusal = err_info.exc
        elif isinstance(err_info.exc, LineTooLong) or "Too many headers" in err_info.message:
            refusal = HeadersTooLarge("the request head has a line too long or too many fields")
        else:
            refusal = BadRequest("the request is not valid HTTP/1.1")

        async def answer(exchange: Exchange) -> Exchange:
            return await exchange.run_refused(refusal)

        return answer

    def handle_error(
        self, request: Any, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> Any:
        """Only reached when answering itself failed."""
        self.proxy.report_bug(exc)
        raise ConnectionError("the answer cannot be completed")

    def close_lingeringly(self) -> None:
        """End our side; read and drop what still comes until the caller ends its own, or has had its time.

        Closing at once while bytes are on their way would reset the connection, and the answer with it
        (RFC 9112 section 9.6).
        """
        self._broken = self._force_close = True  # so that aiohttp neither parses nor closes
        self._held = b""
        transport = self.transport
        if transport is not None and not transport.is_closing():
            dropped = self._tunnel = _Dropped()
            self._resume_transport_reading()  # a body that nobody reads may have stopped it
            with contextlib.suppress(OSError):  # it is being reset in this moment
                transport.write_eof()
            moment = now()
            self._lingering = self._loop.call_later(
                _LINGER, self._stop_lingering, transport, dropped, self.unsent, moment, moment
            )

    def _stop_lingering(
        self, transport: asyncio.Transport, dropped: _Dropped, unsent: int, progress: float, began: float
    ) -> None:
        """`unsent` bytes were left at the last look, `progress` is when they last became fewer."""
        left = _unsent(transport)
        if left < unsent:
            progress = now()
        sending, dropped.any = dropped.any and now() - began < _LINGER_FOR_SENDERS, False
        # A slow reader gets all of its answer.
        if sending or (left and now() - progress < self.proxy.serving.idle_timeout):
            self._lingering = self._loop.call_later(
                _LINGER, self._stop_lingering, transport, dropped, left, progress, began
            )
        else:
            transport.abort()

    def cut(self, *, hard: bool) -> None:
        """Break off: what was sent is not whole. `hard`: also where a clean end would look like the end of the body."""
        if self.transport is not None:
            if hard:
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    @property
    def unsent(self) -> int:
        """Bytes of answers that the caller has not taken yet: ours, and those the kernel still holds."""
        return _unsent(self.transport) if self.transport is not None else 0

    # -- flow control, and the end -------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.exchange is not None:
            self.exchange.pause_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._wake_drained()
        if self.exchange is not None:
            self.exchange.resume_writing()

    async def drained(self) -> None:
        """Wait until the caller has taken most of what was written.

        Raises ConnectionError when it is gone, or has taken nothing for idle_timeout.
        """
        left: int | None = None
        while self.writing_paused:
            if self.transport is None:
                raise ConnectionResetError("the caller is gone")
            left = self.unsent if left is None else left
            # A future of our own: a timeout would leave aiohttp's behind, cancelled, for the next wait.
            taken = self._taken = self._loop.create_future()
            await asyncio.wait((taken,), timeout=self.proxy.serving.idle_timeout)
            before, left = left, self.unsent
            if not taken.done() and left >= before:
                self.transport.abort()
                raise ConnectionResetError("the caller takes no answers")

    def start_tunnel(self, tunnel: Tunnel) -> None:
        """From now on bytes belong to the tunnel, those that came behind the handshake first."""
        self._tunnel = tunnel
        tail, self._message_tail = self._message_tail, b""
        if tail:
            tunnel.from_caller(tail)
        if self._buffer_paused:
            self._resume_reading_for_buffer()

    def pause_tunnel_reading(self) -> None:
        self._pause_transport_reading()

    def resume_tunnel_reading(self) -> None:
        self._resume_transport_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._tunnel is not None:
            self._tunnel.caller_gone()
        if self._lingering is not None:  # it would keep the connection in memory
            self._lingering.cancel()
        super().connection_lost(exc)
        self._listener.callers -= 1
        self._wake_drained()
        if self.exchange is not None and not self.exchange.in_task:
            self.exchange.abandon()

    def _wake_drained(self) -> None:
        if self._taken is not None and not self._taken.done():
            self._taken.set_result(None)


def _unsent(transport: asyncio.Transport) -> int:
    queued = b"\0\0\0\0"
    if not transport.is_closing():
        with contextlib.suppress(OSError):  # not every socket tells
            queued = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
    return transport.get_write_buffer_size() + int.from_bytes(queued, sys.byteorder)
