"""One request from its arrival to the last byte of its answer.  HOT.

Owns the order of things: admit, find the route, get the token, send (attempt.py), and send once more when the
token was rejected or a pooled connection turned out dead. Whatever goes wrong on the way becomes one problem
document here, and every request ends in one line of accounting.

To aiohttp it is both the request that it makes (`_cancel`, `_finish`) and the response that it gets back
(`prepare`, `write_eof`, `keep_alive`): by then everything has been written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from sidecar.clock import now
from sidecar.digest import subject_digest
from sidecar.errors import (
    InternalError,
    Overloaded,
    Refusal,
)
from sidecar.proxy import problems
from sidecar.proxy.attempt import Attempt, Outcome, reset
from sidecar.proxy.body import NONE as NO_BODY
from sidecar.proxy.body import Body
from sidecar.proxy.headers import RequestHead
from sidecar.proxy.serving import Proxy, ServedRoute, Serving
from sidecar.tokens.keeper import Keeper
from sidecar.tokens.token import Token

if TYPE_CHECKING:
    from sidecar.proxy.caller import CallerConnection

CALLER_GONE = 499  # nginx's, for logs and metrics: the caller left before an answer


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "_attempt",
        "_error",
        "_head",
        "_keeper",
        "_lines",
        "_message",
        "_outcome",
        "_payload",
        "_replayed",
        "_route",
        "_subject",
        "_subject_awaited",
        "_task",
        "_token",
        "arrived",
        "body",
        "caller",
        "close",
        "http_1_0",
        "in_task",
        "keep_alive",
        "method",
        "proxy",
        "serving",
        "status",
        "websocket",
    )

    def __init__(self, message: RawRequestMessage, payload: StreamReader, caller: CallerConnection) -> None:
        self._message = message
        self._payload = payload
        self.caller = caller
        self.proxy: Proxy = caller.proxy
        self.serving: Serving = self.proxy.serving
        self.method: str = message.method
        self.http_1_0 = message.version[1] == 0
        self.websocket = False
        self.body = NO_BODY
        self.close = False  # the caller's connection ends with this exchange
        self.status = 0
        self.keep_alive: bool | None = None
        self._task: Any = None  # aiohttp sets it to None
        self._route: ServedRoute = self.serving.unmapped
        self._head: RequestHead | None = None
        self._lines: list[
            bytes
        ] = []  # the request's head as it goes up, but for Authorization and the empty line
        self._keeper: Keeper | None = None
        self._token: Token | None = None
        self._subject: str | None = None  # digest
        self._subject_awaited: Awaitable[str] | None = None
        self._attempt: Attempt | None = None
        self._outcome: Outcome | Exception | None = None  # of what was done without a task
        self._replayed = False
        self.in_task = False  # aiohttp's task looks after it
        self.arrived = 0.0
        self._error: str | None = None

    # -- what aiohttp's RequestHandler calls -----------------------------------------------------------------------

    def _cancel(self, exc: BaseException) -> None:
        """The caller's connection is lost; the task is cancelled, too."""
        self._payload.set_exception(exc)

    def _finish(self) -> None: ...

    async def prepare(self, request: object) -> None: ...

    async def write_eof(self) -> None:
        """The next request of this caller waits until it has taken this answer."""
        await self.caller.drained()

    # -- without a task ------------------------------------------------------------------------------------------------

    def serve_directly(self) -> bool:
        """Send the request if nothing has to be waited for: its token and a connection are there.

        What follows are callbacks. False: `run()` goes on from here; the upstream has not heard of it.
        """
        self._begin()
        try:
            self._admit()
            self._find_keeper()
        except Exception as error:
            self._outcome = error
            return False
        keeper = self._keeper
        if keeper is not None:
            self._token = keeper.usable()
            if self._token is None:
                return False
        elif self._subject_awaited is not None:
            return False
        connection = self.serving.pool.take()
        if connection is None:
            return False
        self._attempt = Attempt(self, connection, last=False)
        self._attempt.begin(self._head_bytes())
        return True

    def settled(self, outcome: Outcome | Refusal) -> None:
        """How the attempt ended that was begun without a task."""
        if outcome is Outcome.PASSED and not self.close and self.caller.at_ease:
            self._attempt = None  # it refers to this exchange: both are freed now, without the collector
            self._account()
            self.caller.served()
        else:
            self._outcome = outcome
            self.caller.hand_over(self, self._message, self._payload)

    def abandon(self) -> None:
        """The caller is gone, and no task is there that could be cancelled."""
        self.status = self.status or CALLER_GONE
        if self._attempt is not None:
            self._attempt.end()
        self.caller.exchange = None
        self._account()

    # -- in aiohttp's task ---------------------------------------------------------------------------------------------

    async def run(self) -> Exchange:
        """Serve the request, or what is left to do for it. Returns itself: the answer has been written by then."""
        self.in_task = True
        try:
            if not self.arrived:
                self._begin()
                self._admit()
                self._find_keeper()
            await self._forward()
        except Refusal as refusal:
            self._refuse(refusal)
        except asyncio.CancelledError:
            self.status = self.status or CALLER_GONE
            raise
        except Exception as bug:
            self.proxy.report_bug(bug)
            self._refuse(InternalError("an unexpected error; the sidecar's log says where"))
        finally:
            self.caller.exchange = None
            self._attempt = None
            self._account()
        self._end()
        return self

    async def run_refused(self, refusal: Refusal) -> Exchange:
        """Answer what could not even be parsed."""
        self._begin()
        self.close = True
        self._refuse(refusal)
        self.caller.exchange = None
        self._account()
        self._end()
        return self

    def _end(self) -> None:
        self.close = self.close or self.caller.finished
        self.keep_alive = not self.close
        payload = self._payload
        # A good body that is still arriving is read to its end by aiohttp first.
        if self.close and (payload.is_eof() or payload.exception() is not None):
            self.caller.close_lingeringly()

    # -- admission -------------------------------------------------------------------------------------------------

    def _admit(self) -> None:
        """Everything that is known without waiting. Raises a CallerFault or Overloaded."""
        message, serving = self._message, self.serving
        self.close = self.http_1_0 or message.should_close
        head = self._head = RequestHead(serving.fields, message.raw_headers)
        if self.proxy.metrics.in_flight > serving.max_in_flight:
            raise Overloaded("the sidecar serves as many requests as it may")
        wanted = serving.admission.check(self.method, message.version, head, message.path)
        self._route = route = serving.route_for(wanted.path, self.method)
        self._keeper = route.keeper
        # RFC 9110 section 7.8: HTTP/1.0 cannot switch; a handshake with a body is no handshake.
        if self.caller.upgraded and self.method == "GET" and not self.http_1_0:
            self.websocket = self._payload is EMPTY_PAYLOAD and head.wants_websocket()
        if self._payload is not EMPTY_PAYLOAD:
            chunked = head.transfer_encoding is not None
            self.body = Body(self._payload, chunked=chunked, keep=serving.replay_body)
        request_line = f"{self.method} {serving.path_prefix}{wanted.path}{wanted.query} HTTP/1.1\r\n"
        self._lines = [request_line.encode("latin-1"), serving.host_line, *head.lines]
        if head.transfer_encoding is not None or head.upgrade is not None or head.expect is not None:
            self._lines += head.framing(websocket=self.websocket, awaits_continue=self.awaits_continue())

    def awaits_continue(self) -> bool:
        """The caller may be waiting for `100 Continue` before it sends its body (RFC 9110 section 10.1.1)."""
        return (
            self._head is not None
            and self._head.expect is not None
            and not self.http_1_0
            and not self._payload.is_eof()
        )

    # -- forwarding ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.arrived = self.proxy.last_arrival = now()
        self.proxy.metrics.in_flight += 1
        self.caller.exchange = self

    async def _forward(self) -> None:
        outcome = self._outcome
        if isinstance(outcome, Exception):
            raise outcome
        if self._subject_awaited is not None:
            self._take_subject(await self._subject_awaited)
        keeper, pool = self._keeper, self.serving.pool
        while outcome is not Outcome.PASSED:
            fresh = outcome is Outcome.STALE
            if outcome is Outcome.REJECTED:
                self._replayed, self._token = True, None
            if keeper is not None and self._token is None:
                self._token = keeper.usable() or await keeper.get()
            connection = (None if fresh else pool.take()) or await pool.open(fresh=fresh)
            attempt = self._attempt = Attempt(self, connection, last=fresh)
            outcome = await attempt.run(self._head_bytes())

    def _head_bytes(self) -> bytes:
        if self._token is None:
            return b"".join((*self._lines, b"\r\n"))
        return b"".join((*self._lines, self._token.line, b"\r\n"))

    def _find_keeper(self) -> None:
        """Whose token it is. A subject that has to be waited for is left for later."""
        route = self._route
        if route.source is None or self._keeper is not None:
            return
        assert route.subject_of is not None
        assert self._head is not None
        subject = route.subject_of(self._head)
        if isinstance(subject, str):
            self._take_subject(subject)
        else:
            self._subject_awaited = subject

    def _take_subject(self, subject: str) -> None:
        assert self._route.source is not None
        self._subject = subject_digest(subject)
        self._keeper = self._route.source.keeper(subject)

    def judge(self, status: int) -> bool:
        """Is this a 401 that is answered by sending the request again? Discards the token that it rejects."""
        metrics, keeper, token = self._route.metrics, self._keeper, self._token
        if status == 401 or status == 403:
            metrics.upstream_rejected(status)
        if keeper is None or token is None:
            return False
        if status == 403:
            self.proxy.forbidden(self._route, token.scopes)
        if status != 401:
            if self._replayed:
                metrics.replayed("ok")
            return False
        another = keeper.reject(token)
        if self._replayed:
            metrics.replayed("rejected_again")
            return False
        if another and not self.body.resendable:
            metrics.replayed("not_replayable")
            return False
        return another

    # -- what the caller's connection tells --------------------------------------------------------------------------

    def pause_writing(self) -> None:
        """The caller reads slower than the upstream sends."""
        if self._attempt is not None:
            self._attempt.pause_reading()

    def resume_writing(self) -> None:
        if self._attempt is not None:
            self._attempt.resume_reading()

    # -- the end ---------------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        """The caller must see that the answer is not whole: no last chunk, no clean end."""
        self.close = True
        if self.caller.transport is not None:
            reset(self.caller.transport, hard=self.http_1_0)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a problem document; cut when an answer has begun."""
        self._error = refusal.code
        if self._attempt is not None and self._attempt.answering:
            self._cut()
            return
        self.status = refusal.status
        if refusal.closes or self.proxy.draining or not self._payload.is_eof() or self.method == "CONNECT":
            self.close = True
        if refusal.credential is None:
            refusal.credential = self._route.credential
        route = None if self._route is self.serving.unmapped else self._route.label
        if self.caller.transport is not None:
            self.caller.transport.write(
                problems.render(refusal, route=route, head_only=self.method == "HEAD", close=self.close)
            )

    def _account(self) -> None:
        """A request is over."""
        proxy, route, error = self.proxy, self._route, self._error
        seconds = now() - self.arrived
        proxy.metrics.in_flight -= 1
        if error is not None:
            route.metrics.error(error)
        route.metrics.finished(self.method, self.status, seconds)
        proxy.log_request(
            route.label, self.method, self.status, seconds, route.credential, error, self._subject
        )
