"""One answer of the upstream, read as it arrives.

Owns the state of one answer on a connection: where its head and body end, and what in it cannot be trusted
(odd framing, a switch of protocols nobody asked for, a second answer behind the first). llhttp (httptools) does
the parsing and calls back here; the pieces go to the `Receiver`. Knows no sockets: upstream.py feeds it.

    IDLE --begin--> HEAD --final head--> BODY --last byte--> DONE --idle--> IDLE
                     └── 101 ──> TUNNEL
"""

from __future__ import annotations

import httptools

from sidecar.errors import UpstreamFault, UpstreamProtocolError
from sidecar.proxy.answerhead import MAX_FIELDS, AnswerHead, plain
from sidecar.proxy.receiver import Receiver, State

_CONTROLS = bytes({*range(0x20), 0x7F} - {0x09})


_IDLE, _HEAD, _BODY, _DONE, _TUNNEL = State  # an enum's attribute costs more than a global


class AnswerReader:
    """Reads one answer after the other from one connection."""

    __slots__ = (
        "_awaited",
        "_head",
        "_head_request",
        "_left",
        "_loose_bytes",
        "_max_head_bytes",
        "_parser",
        "_reason",
        "_receiver",
        "_until_close",
        "_wants_upgrade",
        "answered",
        "reusable",
        "state",
    )

    def __init__(self, max_head_bytes: int) -> None:
        self._max_head_bytes = max_head_bytes
        self._parser: httptools.HttpResponseParser | None = None
        self._receiver: Receiver | None = None
        self._head: AnswerHead | None = None  # while one is being read
        self._reason = b""
        self._loose_bytes = 0  # that are neither body nor a whole head: a head or trailers that go on and on
        self._head_request = False
        self._wants_upgrade = False
        self._until_close = False  # the body ends with the connection
        self._awaited = (
            0  # bytes of a body of known length that llhttp has not seen yet (negative: of no known one)
        )
        self._left = 0  # ... when it is not to see them
        self.state = _IDLE
        self.answered = False  # a byte has come
        self.reusable = False  # nothing odd: another request may follow on this connection

    def begin(self, receiver: Receiver, *, head_request: bool, wants_upgrade: bool) -> None:
        """Expect an answer."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._receiver = receiver
        self._head_request = head_request
        self._wants_upgrade = wants_upgrade
        self._loose_bytes = 0
        self._awaited = self._left = 0
        self._until_close = self.answered = self.reusable = False
        self.state = _HEAD

    def feed(self, data: bytes) -> None:
        """Take what has arrived, and tell the receiver all of it."""
        state, receiver, parser = self.state, self._receiver, self._parser
        if self._left and state is _BODY and receiver is not None:
            self._pass_body(receiver, data)
            return
        if receiver is None or parser is None or (state is not _HEAD and state is not _BODY):
            self.reusable = False  # bytes nobody asked for: nothing that follows can be trusted
            return
        if state is _HEAD and not self.answered and not self._head_request:
            whole = plain(data, self._max_head_bytes)
            if whole is not None:
                self.state = _DONE
                self.answered = self.reusable = True
                receiver.answer_whole(*whole)
                receiver.flush()
                return
        self.answered = True
        self._loose_bytes += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._switch(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._parser = None
            self.fail(UpstreamProtocolError("the upstream's answer is not valid HTTP"))
        else:
            if self._loose_bytes > self._max_head_bytes and self.state is not _DONE:
                self.fail(UpstreamProtocolError("the upstream's fields are too large"))
            if self._awaited > 0 and self.state is _BODY:
                # All that is left of it is so many bytes: llhttp would only copy them.
                self._left, self._parser = self._awaited, None
        receiver.flush()

    def _pass_body(self, receiver: Receiver, data: bytes) -> None:
        size = len(data)
        if size > self._left:  # a second answer behind the first
            data = data[: self._left]
            self.reusable = False
        self._left -= len(data)
        receiver.answer_body(data)
        if not self._left:
            self._finish()
        receiver.flush()

    def eof(self, *, clean: bool) -> None:
        """The connection is over; `clean`: not by an error."""
        if self.state is _BODY and self._until_close and clean:
            self._finish()
            if self._receiver is not None:
                self._receiver.flush()
        else:
            self.fail(
                UpstreamProtocolError("the upstream closed the connection before its answer was complete")
            )
        self.reusable = False

    def fail(self, fault: UpstreamFault) -> None:
        """The answer, if one is expected, will not be completed."""
        unfinished = self.state is _HEAD or self.state is _BODY
        self.state = _DONE
        self.reusable = False
        if self._receiver is not None and unfinished:
            self._receiver.failed(fault, unanswered=not self.answered)

    def overdue(self) -> float | None:
        """Another deadline, when there is a good reason for the silence."""
        return self._receiver.overdue() if self._receiver is not None and self.state is _BODY else None

    def end(self) -> bool:
        """The receiver is gone. True when the connection can serve another exchange."""
        self._receiver = None
        if self.state is _DONE and self.reusable:
            self.state = _IDLE
            return True
        return False

    # -- httptools callbacks: an exception here comes out of feed_data as HttpParserError --------------------------

    def on_message_begin(self) -> None:
        if self.state is not _HEAD:
            self.reusable = False  # a second answer behind the first
            return
        self._head = AnswerHead()
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is not None:  # else it is a trailer: dropped, never merged
            self._head.add(name, value)

    def on_headers_complete(self) -> None:
        head, parser, receiver = self._head, self._parser, self._receiver
        if self.state is not _HEAD or head is None or parser is None or receiver is None:
            return
        status: int = parser.get_status_code()
        if status < 200:
            self._interim(receiver, status, head)
            return
        if head.odd_encoding:
            raise ValueError("a transfer coding other than chunked")
        if len(head.lines) > MAX_FIELDS or sum(map(len, head.lines)) > self._max_head_bytes:
            raise ValueError("the head is too large")
        self._head = None
        self._loose_bytes = 0
        if parser.get_http_version() not in ("1.1", "1.0") or (
            self._reason != b"OK" and len(self._reason.translate(None, _CONTROLS)) < len(self._reason)
        ):
            raise ValueError("no HTTP/1 status line")
        self.reusable = parser.should_keep_alive()
        if self._head_request or status == 204 or status == 304:
            if self._head_request and head.content_length != 0:
                # llhttp cannot know that this answers a HEAD: it waits for a body, so it is of no more use.
                self._parser = None
                self.reusable = parser.get_http_version() == "1.1" and not head.says_close()
            receiver.answer_head(status, self._reason, head, False)
            self._finish()
        else:
            self.state = _BODY
            self._until_close = not head.chunked and head.content_length is None
            if not head.chunked and head.content_length is not None:
                self._awaited = head.content_length
            receiver.answer_head(status, self._reason, head, True)

    def on_body(self, body: bytes) -> None:
        self._loose_bytes = 0
        self._awaited -= len(body)
        if self.state is _BODY and self._receiver is not None:
            self._receiver.answer_body(body)
        else:
            self.reusable = False  # a body where none may be

    def on_message_complete(self) -> None:
        if self.state is _BODY:
            self._finish()

    # -- inside ------------------------------------------------------------------------------------------------

    def _interim(self, receiver: Receiver, status: int, head: AnswerHead) -> None:
        if status >= 102 or status == 100:
            receiver.interim(status)
        elif status < 100 or not self._wants_upgrade or (head.upgrade or b"").lower() != b"websocket":
            raise ValueError("a switch of protocols that was not asked for")
        # else llhttp stops behind the head: see _switch

    def _switch(self, rest: bytes) -> None:
        receiver, head = self._receiver, self._head
        if self.state is _HEAD and self._wants_upgrade and receiver is not None and head is not None:
            self.state = _TUNNEL
            receiver.switched(self._reason, head, rest)
        else:
            self.fail(UpstreamProtocolError("the upstream switched protocols without being asked"))

    def _finish(self) -> None:
        self.state = _DONE
        if self._receiver is not None:
            self._receiver.answer_end()
