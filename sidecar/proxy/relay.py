"""An answer on its way from the upstream to the caller.  HOT.

Owns what comes down: the framing towards the caller, one write per segment that came from the upstream, backpressure,
the tunnel behind a 101, and who is told that it is over. What a 401 means is the exchange's business (exchange.py); it
is asked once per answer.

Hot: it runs in callbacks of both connections and makes no future unless a task waits (attempt.py). What is whole - a
request without a streamed body, an answer in one segment - goes through the outbox (outbox.py), so that a turn of the
event loop ends with its writes one behind the other.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING

from sidecar.errors import Refusal
from sidecar.proxy.answerhead import AnswerHead
from sidecar.proxy.mapgap import Complaint
from sidecar.proxy.problems import CLOSE
from sidecar.proxy.tunnel import Tunnel
from sidecar.proxy.upstream import Connection

if TYPE_CHECKING:
    from sidecar.proxy.exchange import Exchange

# Bytes of an answer that may wait for the end of the turn: half of what makes a transport pause.
_GATHERED = 32 * 1024


class Outcome(Enum):
    """How an attempt ended."""

    PASSED = "the answer went to the caller, whole"
    REJECTED = "401, and the request is to be sent again with another token"
    STALE = "a pooled connection was dead before a byte of an answer"


class Relay:
    """A `Receiver` (receiver.py) for one answer."""

    __slots__ = (
        "_caller",
        "_chunked",
        "_complaint",
        "_connection",
        "_continued",
        "_ended",
        "_exchange",
        "_last",
        "_left",
        "_out",
        "_outcome",
        "_passed",
        "_rejecting",
        "_settled",
        "_upload",
        "_written",
        "answering",
    )

    def __init__(self, exchange: Exchange, connection: Connection, *, last: bool) -> None:
        """`last`: there is no other connection to try after this one."""
        self._exchange = exchange
        self._last = last
        self._caller = exchange.caller
        self._connection = connection
        self._outcome: asyncio.Future[Outcome] | None = None  # of whoever waits; None: the exchange is called
        self._settled = False
        self._ended = False  # the connection is no longer ours
        self._complaint: Complaint | None = None  # about the token's scopes: a 403 is read along
        self._passed = False  # ... and what is left to be done is to write it out
        self._upload: asyncio.Task[None] | None = None
        self._out: list[bytes] = []
        self._chunked = False  # the answer goes to the caller in chunks
        self._rejecting = False  # the answer at hand is a 401 that is not passed on
        self._continued = False  # the caller was told to send its body
        self._left = 0  # bytes the caller had still to take when it was last looked at
        self._written = False  # ... and has left
        self.answering = False  # the answer's head is on its way to the caller

    # -- what the upstream's connection tells ----------------------------------------------------------------------

    def interim(self, status: int) -> None:
        """100 is what a caller may wait for; other interim answers are dropped."""
        if status == 100 and not self._continued and self._exchange.awaits_continue():
            self._continued = True
            self._out.append(b"HTTP/1.1 100 Continue\r\n\r\n")

    def answer_head(self, status: int, reason: bytes, head: AnswerHead, has_body: bool) -> None:
        exchange = self._exchange
        if exchange.judge(status):
            self._rejecting = True
            if self._upload is not None:
                self._upload.cancel()  # what arrives from now on is for the next attempt
            return
        if status == 403 and exchange.token is not None:
            self._complaint = Complaint(head)
        self.answering = True
        exchange.status = status
        if not exchange.body.sent or exchange.proxy.draining or exchange.caller.finished:
            exchange.close = True
        framing = b""
        if has_body and head.content_length is None:
            if exchange.http_1_0:
                exchange.close = True
            else:
                self._chunked = True
                framing = b"Transfer-Encoding: chunked\r\n"
        extra = framing + CLOSE if exchange.close else framing
        self._out.append(head.render(status, reason, extra, without_length=status == 204))

    def answer_whole(self, answer: bytes, head_end: int) -> None:
        exchange = self._exchange
        exchange.judge(200)
        self.answering = True
        exchange.status = 200
        if not exchange.body.sent or exchange.proxy.draining or exchange.caller.finished:
            exchange.close = True
        if exchange.close:
            at = head_end + 2
            answer = answer[:at] + CLOSE + answer[at:]
        self._out.append(answer)
        self._settle(Outcome.PASSED)

    def answer_body(self, data: bytes) -> None:
        if self._rejecting:
            return
        if self._complaint is not None:
            self._complaint.add(data)
        if self._chunked:
            self._out += (b"%x\r\n" % len(data), data, b"\r\n")
        else:
            self._out.append(data)

    def answer_end(self) -> None:
        if self._rejecting:
            return
        if self._chunked:
            self._out.append(b"0\r\n\r\n")
        if self._complaint is not None:
            self._exchange.complained(self._complaint.gap())
        self._settle(Outcome.PASSED)

    def flush(self) -> None:
        out = self._out
        if self._rejecting:
            # Its body ends in the same segment, or its connection is not waited for.
            self._settle(Outcome.REJECTED)
        elif out:
            transport = self._caller.transport
            if transport is not None:
                data = out[0] if len(out) == 1 else b"".join(out)
                # What could make the caller's connection pause is written now: whether it did is asked next.
                if self._passed and len(data) <= _GATHERED and not transport.get_write_buffer_size():
                    self._exchange.proxy.outbox.put(transport, data)
                else:
                    transport.write(data)
                self._written = self.answering
            out.clear()
            if self._caller.writing_paused:
                self.pause_reading()
        if self._passed:
            self._passed = False
            self._tell(Outcome.PASSED)

    def switched(self, reason: bytes, head: AnswerHead, rest: bytes) -> None:
        """101: the two connections become one."""
        exchange = self._exchange
        exchange.judge(101)
        exchange.status = 101
        self.answering = exchange.close = True
        self._out.append(head.render(101, reason, b"Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        self.flush()
        tunnel = Tunnel(self._caller, self._connection, exchange.serving.idle_timeout, self._tunnel_closed)
        tunnel.start(rest)

    def _tunnel_closed(self) -> None:
        self._settle(Outcome.PASSED)

    # -- backpressure ------------------------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """The caller reads slower than the upstream sends."""
        if not self._ended:
            self._left = self._caller.unsent
            self._connection.pause_reading()

    # -- the end ---------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """No more of it: the connection is given back, or closed when it is in the middle of something.

        Only the first time: given back, it may serve somebody else by now.
        """
        if self._ended:
            return
        self._ended = self._settled = True
        self._connection.end(request_sent=self._exchange.body.sent)

    def _settle(self, how: Outcome | Refusal, cause: BaseException | None = None) -> None:
        if self._settled:
            return
        self._settled = True
        if how is Outcome.PASSED and self._outcome is None:
            self._passed = True  # the end of the answer is still to be written: see flush
            return
        if isinstance(how, Refusal):
            # A head that never left is no answer yet: what went wrong can still be told.
            self.answering = self._written
            self._out.clear()
            how.__cause__ = cause
        self._tell(how)

    def _tell(self, how: Outcome | Refusal) -> None:
        outcome = self._outcome
        if outcome is None:
            self.end()
            self._exchange.settled(how)
        elif outcome.done():
            pass  # whoever waited was cancelled
        elif isinstance(how, Outcome):
            outcome.set_result(how)
        else:
            outcome.set_exception(how)
