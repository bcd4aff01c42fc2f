"""One request from its arrival to the last byte of its answer.  HOT.

Owns the order of things: admit (request.py), get the token, send (attempt.py), and send once more when the token was
rejected or a pooled connection turned out dead. Whatever goes wrong on the way becomes one problem document here, and
every request ends in one line of accounting.

Hot: most requests find their token and a connection at hand. They are served by callbacks alone, from `serve_directly`
to `settled`: a task, its future and its turns of the event loop would cost as much as all the rest. Whatever has
to wait, or does not end well, goes on in aiohttp's task, in `run`; nothing is done in two ways.

To aiohttp it is both the request that it makes (`_cancel`, `_finish`) and the response that it gets back
(`prepare`, `write_eof`, `keep_alive`): by then everything has been written.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader

from sidecar.clock import now
from sidecar.errors import InternalError, Refusal
from sidecar.proxy import problems
from sidecar.proxy.attempt import Attempt
from sidecar.proxy.mapgap import Gap
from sidecar.proxy.page import Page, render
from sidecar.proxy.relay import Outcome
from sidecar.proxy.request import Request

if TYPE_CHECKING:
    from sidecar.proxy.caller import CallerConnection

CALLER_GONE = 499  # nginx's, for logs and metrics: the caller left before an answer


class Exchange(Request):
    """One request and its answer."""

    __slots__ = (
        "_attempt",
        "_error",
        "_outcome",
        "_replayed",
        "_task",
        "arrived",
        "in_task",
        "keep_alive",
        "status",
    )

    def __init__(self, message: RawRequestMessage, payload: StreamReader, caller: CallerConnection) -> None:
        super().__init__(message, payload, caller)
        self.arrived = 0.0  # monotonic; 0: nothing has been done yet
        self.in_task = False  # aiohttp's task looks after it
        self.status = 0
        self.keep_alive: bool | None = None
        self._task: Any = None  # aiohttp sets it to None
        self._attempt: Attempt | None = None
        self._outcome: Outcome | Exception | None = None  # of what was done without a task
        self._replayed = False
        self._error: str | None = None

    # -- what aiohttp's RequestHandler calls -----------------------------------------------------------------------

    def _cancel(self, exc: BaseException) -> None:
        """The caller's connection is lost; the task is cancelled, too."""
        self.payload.set_exception(exc)

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
            self.admit()
        except Exception as error:
            self._outcome = error
            return False
        keeper = self.keeper
        if keeper is not None:
            self.token = keeper.usable()
            if self.token is None:
                return False
        elif self.subject_awaited is not None or self.route.page is not None:
            return False
        connection = self.serving.pool.take()
        if connection is None:
            return False
        self._attempt = Attempt(self, connection, last=False)
        self._attempt.begin(self.head_bytes())
        return True

    def settled(self, outcome: Outcome | Refusal) -> None:
        """How the attempt ended that was begun without a task."""
        if outcome is Outcome.PASSED and not self.close and self.caller.at_ease:
            self._attempt = None  # it refers to this exchange: both are freed now, without the collector
            self._account()
            self.caller.served()
        else:
            self._outcome = outcome
            self.caller.hand_over(self, self.message, self.payload)

    def abandon(self) -> None:
        """The caller is gone, and no task is there that could be cancelled."""
        self.status = self.status or CALLER_GONE
        if self._attempt is not None:
            self._attempt.end()
        if self.subject_awaited is not None:
            self.subject_awaited.close()
        self.caller.exchange = None
        self._account()

    # -- in aiohttp's task ---------------------------------------------------------------------------------------------

    async def run(self) -> Exchange:
        """Serve the request, or what is left to do for it. Returns itself: the answer has been written by then."""
        self.in_task = True
        try:
            if not self.arrived:
                self._begin()
                self.admit()
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
        if self.close:
            self.caller.close_lingeringly()

    # -- forwarding ------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self.arrived = self.proxy.last_arrival = now()
        self.proxy.metrics.in_flight += 1
        self.caller.exchange = self

    async def _forward(self) -> None:
        outcome = self._outcome
        if isinstance(outcome, Exception):
            raise outcome
        if self.route.page is not None:
            self._show(await self.route.page(self.asked()))
            return
        if self.subject_awaited is not None:
            awaited, self.subject_awaited = self.subject_awaited, None
            self.take_subject(await awaited)
        keeper, pool = self.keeper, self.serving.pool
        while outcome is not Outcome.PASSED:
            fresh = outcome is Outcome.STALE
            if outcome is Outcome.REJECTED:
                self._replayed, self.token = True, None
            if keeper is not None and self.token is None:
                self.token = keeper.usable() or await keeper.get()
            connection = (None if fresh else pool.take()) or await pool.open(fresh=fresh)
            if keeper is not None:
                self.token = keeper.usable()
                if self.token is None:  # it ended while the connection was waited for
                    pool.release(connection)
                    continue
            attempt = self._attempt = Attempt(self, connection, last=fresh)
            outcome = await attempt.run(self.head_bytes())

    def judge(self, status: int) -> bool:
        """Is this a 401 that is answered by sending the request again? Discards the token that it rejects."""
        metrics, keeper, token = self.route.metrics, self.keeper, self.token
        if status == 401 or status == 403:
            metrics.upstream_rejected(status)
        if keeper is None or token is None:
            return False
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

    def complained(self, gap: Gap | None) -> None:
        """The upstream answered 403 to a token of ours, and perhaps said what it lacks."""
        if self.token is not None:
            self.proxy.forbidden(self.route, self.token.scopes, gap)

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
        self.caller.cut(hard=self.http_1_0)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a problem document, or with words where a person looks; cut when an answer has begun."""
        self._error = refusal.code
        if self._attempt is not None and self._attempt.answering:
            self._cut()
            return
        refusal = self.for_people(refusal)
        page = self.page_for(refusal)
        if page is not None:
            self._show(page)
            return
        self.status = refusal.status
        if refusal.closes or self.method == "CONNECT":
            self.close = True
        self._end_early()
        if refusal.credential is None:
            refusal.credential = self.route.credential
        route = None if self.route is self.serving.unmapped else self.route.label
        if self.caller.transport is not None:
            self.caller.transport.write(
                problems.render(refusal, route=route, head_only=self.method == "HEAD", close=self.close)
            )

    def _show(self, page: Page) -> None:
        """Answer with a page of the sidecar's own."""
        self._error = page.refusal.code if page.refusal is not None else None
        self.status = page.status
        self._end_early()
        if self.caller.transport is not None:
            self.caller.transport.write(render(page, head_only=self.method == "HEAD", close=self.close))

    def _end_early(self) -> None:
        """The answer comes from here: a body that has not arrived is not waited for."""
        if self.proxy.draining or not self.payload.is_eof():
            self.close = True

    def _account(self) -> None:
        """A request is over."""
        proxy, route, error = self.proxy, self.route, self._error
        seconds = now() - self.arrived
        proxy.metrics.in_flight -= 1
        if error is not None:
            route.metrics.error(error)
        route.metrics.finished(self.method, self.status, seconds)
        proxy.log_request(
            route.label, self.method, self.status, seconds, route.credential, error, self.subject
        )
