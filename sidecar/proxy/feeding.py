"""Bytes from a caller to requests: aiohttp's parser, fed one head or body at a time.

Owns where one request ends and the next begins. `aiohttp.web.Server` parses and keeps alive; this file and
caller.py subclass its `RequestHandler` where its hooks end, and nothing else touches aiohttp's internals. What
the two rely on (tests/test_proxy_aiohttp.py fails when a new aiohttp changes it):

- `RequestHandler.data_received` may be fed piecewise; messages land in `_messages` as (message, payload) or
  (_ErrInfo, payload) and are counted in `_request_count`; `_parser` may be replaced between messages;
- `_reading_paused` and `_buffer_paused` hold while no more is to be parsed, and `data_received(b"")` or
  `_resume_reading_for_buffer` is called when they no longer do;
- aiohttp's task waits on `_waiter` for the next message; while that is None, nothing wakes the task, and
  setting it later does; `message_consumed` gives a message's place in the parser's queue free;
- `_upgraded`, `_message_tail`: bytes behind a WebSocket handshake;
- `request_factory` makes what `request_handler` gets, which is returned as the response; of it are used
  `_cancel`, `_finish`, `_task`, `prepare`, `write_eof`, `keep_alive`;
- `_make_error_handler` and `handle_error` make the answers to what cannot be parsed and to bugs;
- behind an answer with `_force_close`, aiohttp reads no more of the body and leaves the connection alone;
- behind another one, a request body that is still arriving is read and dropped for `lingering_time`.

Found in aiohttp 3.14.5 and worked around here: the last trailer of a chunked request becomes a header field of
the next request on the connection; a malformed body behind a good head leaves the body's reader waiting for
ever, and so does an error that comes between the end of a chunk and the turn of the reader it has woken; a malformed
request takes the good one before it in the same segment with it; what follows an upgrade request that aiohttp does
not know, in the same segment, is lost.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from sidecar.clock import now
from sidecar.errors import BadRequest, HeadersTooLarge, Refusal, RequestTimeout
from sidecar.proxy.requestline import RequestLine
from sidecar.proxy.serving import Proxy

if TYPE_CHECKING:
    from sidecar.proxy.server import Listener

MAX_FIELDS = 200
KEEPALIVE_TIMEOUT = 3600.0  # longer than any client's pool, so that it is the client who closes
_READ_BUFFER = 64 * 1024
_MAX_CUTS = 256
_TOO_LARGE = "the request line and header fields are larger than max_header_bytes"
_SILENT = logging.Logger("aiohttp.silent", logging.CRITICAL + 1)  # what goes wrong is told by our own log


class PiecewiseHandler(RequestHandler):
    """A connection that is parsed piecewise; what becomes of its requests is the subclass's business."""

    __slots__ = (
        "_body",
        "_broken",
        "_chunked",
        "_head_bytes",
        "_held",
        "_inexact",
        "_last_bytes",
        "_length",
        "_line",
        "_noted",
        "head_since",
        "proxy",
    )

    def __init__(self, server: Listener, proxy: Proxy, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=KEEPALIVE_TIMEOUT,
            logger=_SILENT,
            access_log=None,  # type: ignore[arg-type]  # None turns it off
            read_bufsize=_READ_BUFFER,
        )
        self.proxy = proxy
        self.head_since: float | None = now()  # when the head that is still incomplete began
        self._parser = self._new_parser()
        self._noted = 0  # messages seen in `_request_count`
        self._head_bytes = 0
        self._line = RequestLine()
        self._last_bytes = b""  # the end of what was fed, to find an empty line that was cut in two
        self._body: StreamReader = EMPTY_PAYLOAD  # of the request parsed last
        self._chunked = False  # ... and how it ends
        self._length = 0
        self._inexact = False  # more of a chunked body was fed than is known to belong to it
        self._held = b""  # received, but not to be parsed before the parser has room
        self._broken = False  # the parser has given up: nothing that follows means anything

    def _new_parser(self) -> HttpRequestParser:
        limit = self.proxy.serving.max_header_bytes
        return HttpRequestParser(
            self,
            self._loop,
            _READ_BUFFER,
            max_line_size=limit,
            max_field_size=limit,
            max_headers=MAX_FIELDS,
            payload_exception=RequestPayloadError,
            auto_decompress=False,
            max_msg_queue_size=self._max_msg_queue_size,
        )

    # -- bytes from the caller ---------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Feed the parser no further than to the end of a head or body at a time.

        So one request's fate never decides another's, and it is known at every moment which one is arriving.
        """
        if not data and not self._broken:  # aiohttp wants what the parser held back
            in_body = not self._body.is_eof()
            super().data_received(data)
            self._look(data, in_body)
        if self._held:
            data, self._held = self._held + data, b""
        cuts = 0
        while data and not (self._broken or self._force_close or self._close):
            if self._reading_paused or self._buffer_paused:
                self._held = data
                return
            cut = self._next_cut(data, cuts)
            cuts += 1
            piece, data = (data, b"") if cut >= len(data) else (data[:cut], data[cut:])
            in_body = not self._body.is_eof()
            super().data_received(piece)
            self._look(piece, in_body)

    def _next_cut(self, data: bytes, cuts: int) -> int:
        """How much of it belongs to the head or body at hand; `cuts` have been made in this segment."""
        if self._upgraded:
            return len(data)
        if not self._body.is_eof() and not self._chunked:
            return max(1, self._length - self._body.total_bytes)
        if self._chunked and cuts > _MAX_CUTS:
            self._inexact = True  # a body made of empty lines must not cost more than another one
            return len(data)
        # Heads end with an empty line, and so do chunked bodies (with their trailers).
        end = (self._last_bytes + data).find(b"\r\n\r\n")
        return len(data) if end < 0 else end + 4 - len(self._last_bytes)

    def _look(self, piece: bytes, in_body: bool) -> None:
        """What did that piece bring? A message, an error, the end of a body, or just more."""
        if self._inexact and self._body.is_eof():
            self._drop_what_follows()
        elif self._request_count != self._noted:
            self._noted = self._request_count
            self._look_at_message(piece)
        elif self._chunked:
            self._last_bytes = (self._last_bytes + piece)[-3:]
            if self._body.is_eof():
                # Trailers would become fields of the next request: go on with a parser that has seen none.
                self._chunked = False
                self._last_bytes = b""
                self._parser = self._new_parser()
        elif piece and not in_body and not self._upgraded:
            if self.head_since is None:
                self.head_since = now()
            self._head_bytes += len(piece)
            self._line.feed(piece)
            self._last_bytes = (self._last_bytes + piece)[-3:]
            if self._head_bytes > self.proxy.serving.max_header_bytes:
                self.refuse(HeadersTooLarge(_TOO_LARGE))

    def _look_at_message(self, last_piece: bytes) -> None:
        message, body = self._messages[-1]
        if isinstance(message, _ErrInfo):
            self._broken = True
            if not self._body.is_eof():
                # It is the body at hand that is malformed. Its reader must learn of it, and answers.
                self._messages.pop()
                # Not in this turn: a reader that a chunk's end has just woken would wait again without a look at it.
                self._loop.call_soon(self._body.set_exception, RequestPayloadError("malformed body"))
            return
        self.head_since = None
        known = self._line.is_http(last_piece)
        too_large = self._head_bytes + len(last_piece) > self.proxy.serving.max_header_bytes
        self._head_bytes = 0
        self._last_bytes = b""
        if too_large:
            self._messages.pop()
            self.refuse(HeadersTooLarge(_TOO_LARGE))
            return
        if not known:
            self._messages.pop()
            self.refuse(BadRequest("the request is not HTTP/1.1 or HTTP/1.0"))
            return
        self._body = body
        self._chunked = bool(message.chunked) and not body.is_eof()
        self._length = (
            0 if message.chunked else int(message.headers.get("Content-Length", "0").lstrip("0") or "0")
        )

    def _drop_what_follows(self) -> None:
        """Requests behind a body whose end was not cut exactly may have its trailers: they are not served."""
        self._broken = True
        self._noted = self._request_count
        while self._messages and self._messages[-1][1] is not self._body:
            self._messages.pop()

    @property
    def finished(self) -> bool:
        """Nothing more will be served on this connection."""
        return self._broken and not self._messages

    def _resume_reading_for_buffer(self) -> None:
        super()._resume_reading_for_buffer()
        if self._held:
            self.data_received(b"")

    async def finish_response(self, request: Any, resp: Any, start_time: float | None) -> Any:
        if self._message_tail:  # behind a handshake that was declined: requests like any others
            self._held, self._message_tail = self._message_tail + self._held, b""
        finished = await super().finish_response(request, resp, start_time)
        if self._held and not self._upgraded:
            if self._buffer_paused and not self._messages:  # a long tail had paused it
                self._resume_reading_for_buffer()
            else:
                self.data_received(b"")
        return finished

    def refuse(self, refusal: Refusal) -> None:
        """Answer what is no whole request yet, behind all that came before it, and read no further."""
        self._broken = True
        self.head_since = None
        self._messages.append((_ErrInfo(refusal.status, refusal, refusal.detail), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def check_head_deadline(self, moment: float, timeout: float) -> None:
        """Called by the listener's sweep."""
        if self.head_since is not None and moment - self.head_since > timeout and not self._force_close:
            self.refuse(RequestTimeout("no whole request head arrived in time"))

    @property
    def upgraded(self) -> bool:
        """The request parsed last is a WebSocket handshake."""
        return self._upgraded
