"""One request as it was read: what is known of it without waiting, and its head as it goes up.

Owns admission's order - fields, limits, Host and path, route, body - and the lines sent to the upstream. Built once per
request, in one pass over raw fields; what becomes of the request is exchange.py's business.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from sidecar.digest import subject_digest
from sidecar.errors import LoginRedirect, LoginRequired, OriginNotAllowed, Overloaded, Refusal
from sidecar.proxy.body import NONE as NO_BODY
from sidecar.proxy.body import Body
from sidecar.proxy.headers import RequestHead
from sidecar.proxy.page import Asked, Page
from sidecar.proxy.serving import Proxy, ServedRoute, Serving
from sidecar.tokens.keeper import Keeper
from sidecar.tokens.token import Token

if TYPE_CHECKING:
    from sidecar.proxy.caller import CallerConnection


class Request:
    """A request, read."""

    __slots__ = (
        "_head",
        "_lines",
        "body",
        "caller",
        "close",
        "http_1_0",
        "keeper",
        "message",
        "method",
        "payload",
        "proxy",
        "route",
        "serving",
        "subject",
        "subject_awaited",
        "token",
        "websocket",
    )

    def __init__(self, message: RawRequestMessage, payload: StreamReader, caller: CallerConnection) -> None:
        self.message = message
        self.payload = payload
        self.caller = caller
        self.proxy: Proxy = caller.proxy
        self.serving: Serving = self.proxy.serving
        self.method: str = message.method
        self.http_1_0 = message.version[1] == 0
        self.close = False  # the caller's connection ends with this request
        self.websocket = False
        self.body = NO_BODY
        self.route: ServedRoute = self.serving.unmapped
        self.keeper: Keeper | None = None
        self.token: Token | None = None
        self.subject: str | None = None  # digest
        self.subject_awaited: Coroutine[Any, Any, str] | None = None
        self._head: RequestHead | None = None
        self._lines: list[bytes] = []  # all of the head but for Authorization and the empty line

    def admit(self) -> None:
        """Everything that is known without waiting. Raises a CallerFault or Overloaded."""
        message, serving = self.message, self.serving
        self.close = self.http_1_0 or message.should_close
        head = self._head = RequestHead(serving.fields, message.raw_headers)
        if self.proxy.metrics.in_flight > serving.max_in_flight:
            raise Overloaded("the sidecar serves as many requests as it may")
        wanted = serving.admission.check(self.method, message.version, head, message.path)
        self.route = route = serving.route_for(wanted.path, self.method)
        if head.from_elsewhere and not route.links:
            raise OriginNotAllowed("a link on another site's page leads here")
        self.keeper = route.keeper
        # RFC 9110 section 7.8: HTTP/1.0 cannot switch; a handshake with a body is no handshake.
        if self.caller.upgraded and self.method == "GET" and not self.http_1_0:
            self.websocket = self.payload is EMPTY_PAYLOAD and head.wants_websocket()
        if self.payload is not EMPTY_PAYLOAD:
            chunked = head.transfer_encoding is not None
            self.body = Body(self.payload, chunked=chunked, keep=serving.replay_body)
        request_line = f"{self.method} {serving.path_prefix}{wanted.path}{wanted.query} HTTP/1.1\r\n"
        self._lines = [request_line.encode("latin-1"), serving.host_line, *head.lines]
        if head.transfer_encoding is not None or head.upgrade is not None or head.expect is not None:
            self._lines += head.framing(websocket=self.websocket, awaits_continue=self.awaits_continue())
        if route.source is not None:
            self._find_subject(route, head)

    def _find_subject(self, route: ServedRoute, head: RequestHead) -> None:
        """On whose behalf. One that has to be waited for is left for later."""
        assert route.subject_of is not None
        subject = route.subject_of(head)
        if isinstance(subject, str):
            self.take_subject(subject)
        else:
            self.subject_awaited = subject

    def take_subject(self, subject: str) -> None:
        """It is known whose token this takes."""
        assert self.route.source is not None
        self.subject = subject_digest(subject)
        self.keeper = self.route.source.keeper(subject)

    def awaits_continue(self) -> bool:
        """The caller may be waiting for `100 Continue` before it sends its body (RFC 9110 section 10.1.1)."""
        return (
            self._head is not None
            and self._head.expect is not None
            and not self.http_1_0
            and not self.payload.is_eof()
        )

    def asked(self) -> Asked:
        """The request, for a page of the sidecar's own."""
        cookies = self._head.cookies if self._head is not None else None
        return Asked(self.method, self.message.path.partition("?")[2], cookies or (), self._opens_page())

    def for_people(self, refusal: Refusal) -> Refusal:
        """Somebody who opens a page and is not signed in goes to the login page at once."""
        if not isinstance(refusal, LoginRequired) or self.method == "POST" or not self._opens_page():
            return refusal
        path = self.message.path
        assert refusal.credential is not None
        return LoginRedirect(
            refusal.detail, credential=refusal.credential, return_to=path if path[:1] == "/" else None
        )

    def page_for(self, refusal: Refusal) -> Page | None:
        """What somebody sees of a refusal who opens a page; None: a problem document."""
        show = self.serving.refusal_page
        return show(refusal, self.message.path) if show is not None and self._opens_page() else None

    def _opens_page(self) -> bool:
        head = self._head
        if head is None or self.method not in ("GET", "HEAD", "POST"):
            return False
        if head.fetch_mode is not None:
            return head.navigates
        return "text/html" in self.message.headers.get("Accept", "")

    def head_bytes(self) -> bytes:
        """The head as it goes up, with the token at hand."""
        if self.token is None:
            return b"".join((*self._lines, b"\r\n"))
        return b"".join((*self._lines, self.token.line, b"\r\n"))
