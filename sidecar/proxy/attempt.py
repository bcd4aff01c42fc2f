"""One sending of a request to the upstream, and how it ends.

Owns what goes up: the head, the body at once or beside the answer, and what a failure at this point comes to - another
try on a fresh connection, or an answer of our own. What comes down is relay.py's business.
"""

from __future__ import annotations

import asyncio

from sidecar.clock import now
from sidecar.errors import BadRequest, RequestTimeout, UpstreamFault, UpstreamTimeout
from sidecar.proxy.relay import Outcome, Relay

_IDEMPOTENT = frozenset(
    {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"}
)  # RFC 9110 9.2.2
# Seconds in which an upstream should say 100 or anything else (RFC 9110 10.1.1): as long as curl and Go wait. One that
# never does, such as an HTTP/1.0 server, would wait for the body while the caller waits for the 100.
_PATIENCE = 1.0


class Attempt(Relay):
    """A request on its way up, and what becomes of it."""

    __slots__ = ()

    def begin(self, head: bytes) -> bool:
        """Send the head, and the body if all of it is here (else False). The exchange is told how it ends."""
        exchange, connection = self._exchange, self._connection
        whole = exchange.body.start()
        connection.begin(self, head_request=exchange.method == "HEAD", wants_upgrade=exchange.websocket)
        if whole is None or connection.transport is None:
            connection.write(head)
        else:
            exchange.proxy.outbox.put(connection.transport, head + whole if whole else head)
        serving = exchange.serving
        connection.deadline = now() + (serving.idle_timeout if whole is None else serving.response_timeout)
        return whole is not None

    async def run(self, head: bytes) -> Outcome:
        """Send head and body, see the answer through.

        Raises a Refusal when it breaks off; `answering` tells whether the caller has seen some of an answer.
        """
        loop = asyncio.get_running_loop()
        self._outcome = loop.create_future()
        if not self.begin(head):
            self._upload = loop.create_task(self._send_body())
        waiting = loop.call_later(_PATIENCE, self._ask_for_body) if self._exchange.awaits_continue() else None
        try:
            return await self._outcome
        finally:
            if waiting is not None:
                waiting.cancel()
            try:
                if self._upload is not None:
                    self._upload.cancel()
                    await asyncio.wait((self._upload,))
            finally:  # also when the caller leaves while this is waiting
                self.end()

    async def _send_body(self) -> None:
        exchange, connection = self._exchange, self._connection
        try:
            await exchange.body.stream(connection, exchange.serving.idle_timeout)
        except ConnectionResetError:
            return  # the connection tells of its own end, behind what it has still received
        except Exception as error:
            # The caller's side broke off: the upstream must see a cut, never a whole request.
            connection.close()
            self._settle(BadRequest("the request body is malformed"), error)
            return
        if not self.answering and not self._settled:
            connection.deadline = now() + exchange.serving.response_timeout

    def _ask_for_body(self) -> None:
        if not self.answering and not self._settled and not self._rejecting:
            self.interim(100)
            self.flush()

    # -- what the connections tell -----------------------------------------------------------------------------------

    def failed(self, fault: UpstreamFault, unanswered: bool) -> None:
        exchange, body = self._exchange, self._exchange.body
        timeout = isinstance(fault, UpstreamTimeout)
        if self._rejecting:
            self._settle(Outcome.REJECTED)
        elif timeout and body.starved:
            self._settle(RequestTimeout("the request body stopped arriving"))
        elif (
            unanswered
            and not timeout
            and not self.answering
            and not self._last
            and self._connection.served > 1
            and exchange.method in _IDEMPOTENT
            and body.resendable
        ):
            self._settle(Outcome.STALE)
        else:
            self._settle(fault)

    def overdue(self) -> float | None:
        """The deadline has passed: a new one, when it is the caller who is slow but still reading."""
        if not self._caller.writing_paused:
            return None
        left = self._caller.unsent
        if left < self._left:
            self._left = left
            return now() + self._exchange.serving.idle_timeout
        self._settle(RequestTimeout("the caller stopped reading its answer"))
        return None

    def resume_reading(self) -> None:
        if self._ended:
            return
        if self._connection.deadline is not None:
            self._connection.deadline = now() + self._exchange.serving.idle_timeout
        self._connection.resume_reading()
