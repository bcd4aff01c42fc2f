"""Pages, redirects and the cookie on the wire.

Owns the header fields that keep a page to itself: nothing is loaded, framed, cached or told to the next site.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from sidecar.demo.signin.browsers import BrowserSession
from sidecar.demo.signin.pages import STYLE_HASH, refused
from sidecar.demo.signin.redirects import form_action

_COOKIE = "egain_session"
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def page(text: str, *, status: int = 200, then: str | None = None) -> web.Response:
    """`then`: where its form may lead in the end; browsers hold redirects after a form against `form-action`."""
    target = f"'self' {form_action(then)}" if then else "'self'"
    policy = f"default-src 'none'; style-src '{STYLE_HASH}'; form-action {target}"
    headers = {
        **_HEADERS,
        "Content-Security-Policy": f"{policy}; base-uri 'none'; frame-ancestors 'none'",
        "X-Frame-Options": "DENY",
    }
    return web.Response(text=text, content_type="text/html", charset="utf-8", status=status, headers=headers)


def refusal(title: str, message: str, *, status: int = 400, **headers: str) -> web.Response:
    response = page(refused(title, message), status=status)
    response.headers.update(headers)
    return response


def redirect(location: str) -> web.Response:
    """303: whatever it was, the browser goes on with a GET and without a body (RFC 9700 section 4.12)."""
    return web.Response(status=303, headers={**_HEADERS, "Location": location})


@dataclass(frozen=True, slots=True)
class Cookie:
    """The session cookie of one endpoint."""

    path: str
    secure: bool

    def read(self, request: web.Request) -> str | None:
        return request.cookies.get(_COOKIE)

    def write(self, response: web.Response, session: BrowserSession) -> web.Response:
        """Lax, not Strict: the browser comes here from the client's site, and must be recognized."""
        response.set_cookie(
            _COOKIE, session.cookie, path=self.path, secure=self.secure, httponly=True, samesite="Lax"
        )
        return response

    def delete(self, response: web.Response) -> web.Response:
        response.del_cookie(_COOKIE, path=self.path, secure=self.secure, httponly=True, samesite="Lax")
        return response
