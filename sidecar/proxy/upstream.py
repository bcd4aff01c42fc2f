"""One connection to the upstream: bytes out, parsed answer in.  HOT.

Owns an `asyncio.Protocol` over llhttp (httptools): it finds out where an answer begins and ends and hands its
pieces to the exchange it serves, as they arrive. It decides what cannot be trusted in an answer (framing, a
switch of protocols nobody asked for, bytes nobody asked for); it knows nothing of tokens, routes or callers.

    IDLE --begin--> HEAD --final head--> BODY --last byte--> DONE --end--> IDLE, or closed
                     └── 101 ──> TUNNEL

It serves one exchange at a time, and is used again only when nothing at all is odd: the request was sent
whole, the answer ended where it should, and not a byte came after it.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

import httptools

from sidecar.errors import UpstreamFault, UpstreamProtocolError, UpstreamTimeout
from sidecar.proxy.headers import AnswerHead

if TYPE_CHECKING:
    from sidecar.proxy.pool import Pool

_MAX_FIELDS = 200

now = time.monotonic


class State(IntEnum):
    IDLE = 0
    HEAD = 1
    BODY = 2
    DONE = 3
    TUNNEL = 4


class Receiver(Protocol):
    """What a connection tells the exchange it serves. Called while data is read: never blocks."""

    def answer_head(self, status: int, reason: bytes, head: AnswerHead, has_body: bool) -> None: ...

    def answer_body(self, data: bytes) -> None: ...

    def answer_end(self) -> None: ...

    def flush(self) -> None:
        """All that one segment brought has been told: write it."""

    def interim(self, status: int) -> None:
        """A 1xx answer other than 101."""

    def switched(self, reason: bytes, head: AnswerHead, rest: bytes) -> None:
        """101: the connection is a tunnel now; `rest` are its first bytes."""

    def failed(self, fault: UpstreamFault, unanswered: bool) -> None:
        """The answer will not be completed. `unanswered`: the connection died before a byte of it."""


class Connection(asyncio.Protocol):
    """One connection, idle or serving one exchange."""

    __slots__ = (
        "_answer",
        "_drain_waiter",
        "_head_bytes",
        "_head_request",
        "_parser",
        "_plain",
        "_poll",
        "_pool",
        "_reason",
        "_receiver",
        "_reusable",
        "_sock",
        "_until_close",
        "_wants_upgrade",
        "_writing_paused",
        "answered",
        "born",
        "deadline",
        "idle_since",
        "served",
        "state",
        "transport",
        "tunnel",
    )

    def __init__(self, pool: Pool, sock: socket.socket, *, plain: bool) -> None:
        self._pool = pool
        self._sock = sock
        self._plain = plain
        self._poll: select.poll | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._receiver: Receiver | None = None
        self._answer: AnswerHead | None = None  # while a head is being read
        self._reason = b""
        self._reusable = False
        self._until_close = False  # the body ends with the connection
        self._head_request = False
        self._wants_upgrade = False
        self._head_bytes = 0
        self._writing_paused = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self.state = State.IDLE
        self.transport: asyncio.Transport | None = None
        self.tunnel: asyncio.Protocol | None = None
        self.answered = False  # a byte has come for the exchange at hand
        self.served = 0  # exchanges begun so far
        self.born = now()
        self.idle_since = 0.0
        self.deadline: float | None = None  # when the pool's sweep gives up on the exchange

    # -- for the exchange --------------------------------------------------------------------------------------

    def begin(self, receiver: Receiver, head: bytes, *, head_request: bool, wants_upgrade: bool) -> None:
        """Serve this exchange from now on: send its head."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._receiver = receiver
        self._head_request = head_request
        self._wants_upgrade = wants_upgrade
        self._head_bytes = 0
        self._reusable = self._until_close = self.answered = False
        self.state = State.HEAD
        self.served += 1
        self.write(head)

    def write(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    @property
    def blocked(self) -> bool:
        """The upstream takes nothing more at the moment."""
        return self._writing_paused

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
        self._receiver = None
        self.deadline = None
        if request_sent and self.state is State.DONE and self._reusable:
            self.state = State.IDLE
            self._pool.release(self)
        else:
            self.close()

    def close(self) -> None:
        """Close at once; nothing of it can be used again."""
        self._reusable = False
        if self.transport is not None:
            self.transport.abort()

    def pause_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = None
        if self.state is State.TUNNEL:
            self.close()
        else:
            self._fail(UpstreamTimeout("the upstream was silent for too long"))

    # -- asyncio.Protocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # TCP, TLS and unix streams all are Transports

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None and self.state is State.HEAD and self._plain:
            self._read_the_rest()
        self.transport = None
        waiter = self._drain_waiter
        if waiter is not None and not waiter.done():
            waiter.set_exception(ConnectionResetError())
        self._pool.lost(self)
        if self.tunnel is not None:
            self.tunnel.connection_lost(exc)
        elif self.state is State.BODY and self._until_close and exc is None:
            self._finish()
            if self._receiver is not None:
                self._receiver.flush()
        else:
            self._fail(
                UpstreamProtocolError("the upstream closed the connection before its answer was complete")
            )

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

    def data_received(self, data: bytes) -> None:
        state, receiver, parser = self.state, self._receiver, self._parser
        if self.tunnel is not None:
            self.tunnel.data_received(data)
            return
        if receiver is None or parser is None or (state is not State.HEAD and state is not State.BODY):
            self.close()  # bytes nobody asked for: whatever follows on this connection cannot be trusted
            return
        self.answered = True
        if state is State.HEAD:
            self._head_bytes += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._parser = None
            self._reusable = False
            self._fail(UpstreamProtocolError("the upstream's answer is not valid HTTP"))
        else:
            if self.state is State.BODY:
                self.deadline = now() + self._pool.idle_timeout
            elif self.state is State.HEAD and self._head_bytes > self._pool.max_head_bytes:
                self._fail(UpstreamProtocolError("the upstream's response head is too large"))
        receiver.flush()

    # -- httptools callbacks: an exception here comes out of feed_data as HttpParserError --------------------------

    def on_message_begin(self) -> None:
        if self.state is not State.HEAD:
            self.close()  # a second answer behind the first
            return
        self._answer = AnswerHead()
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        if answer is not None:  # else it is a trailer: dropped, never merged
            answer.add(name, value)
            if len(answer.lines) > _MAX_FIELDS or answer.size > self._pool.max_head_bytes:
                raise ValueError("the head is too large")

    def on_headers_complete(self) -> None:
        answer, parser, receiver = self._answer, self._parser, self._receiver
        if self.state is not State.HEAD or answer is None or parser is None or receiver is None:
            return
        status: int = parser.get_status_code()
        if status < 200:
            self._interim(receiver, status, answer)
            return
        if answer.odd_encoding:
            raise ValueError("a transfer coding other than chunked")
        self._answer = None
        self._reusable = parser.should_keep_alive()
        if self._head_request or status == 204 or status == 304:
            if self._head_request and answer.content_length != 0:
                # llhttp cannot know that this answers a HEAD: it waits for a body, so it is of no more use.
                self._parser = None
                self._reusable = parser.get_http_version() == "1.1" and not answer.says_close()
            receiver.answer_head(status, self._reason, answer, False)
            self._finish()
        else:
            self.state = State.BODY
            self._until_close = not answer.chunked and answer.content_length is None
            receiver.answer_head(status, self._reason, answer, True)

    def on_body(self, body: bytes) -> None:
        if self.state is State.BODY and self._receiver is not None:
            self._receiver.answer_body(body)
        else:
            self.close()  # a body where none may be

    def on_message_complete(self) -> None:
        if self.state is State.BODY:
            self._finish()

    # -- inside ------------------------------------------------------------------------------------------------

    def _readable(self) -> bool:
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._sock, select.POLLIN)
        return bool(self._poll.poll(0))

    def _read_the_rest(self) -> None:
        """A write failed; what the upstream said before it closed is still in the socket (RFC 9112 section 9.5)."""
        try:
            while self.state is not State.DONE and (data := self._sock.recv(65536)):
                self.data_received(data)
        except OSError:
            pass

    def _interim(self, receiver: Receiver, status: int, answer: AnswerHead) -> None:
        if status == 101 or status < 100:
            if status < 100 or not self._wants_upgrade or answer.upgrade is None:
                raise ValueError("a switch of protocols that was not asked for")
            return  # llhttp stops behind the head: see _switch
        receiver.interim(status)

    def _switch(self, rest: bytes) -> None:
        receiver, answer = self._receiver, self._answer
        if self.state is State.HEAD and self._wants_upgrade and receiver is not None and answer is not None:
            self.state = State.TUNNEL
            self.deadline = now() + self._pool.idle_timeout
            receiver.switched(self._reason, answer, rest)
        else:
            self._fail(UpstreamProtocolError("the upstream switched protocols without being asked"))

    def _finish(self) -> None:
        self.state = State.DONE
        self.deadline = None
        if self._receiver is not None:
            self._receiver.answer_end()

    def _fail(self, fault: UpstreamFault) -> None:
        unfinished = self.state is State.HEAD or self.state is State.BODY
        receiver = self._receiver
        self.state = State.DONE
        self.close()
        if receiver is not None and unfinished:
            receiver.failed(fault, unanswered=not self.answered)
