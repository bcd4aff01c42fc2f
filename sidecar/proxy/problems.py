"""Errors as they go over the wire: RFC 9457 problem documents.

Owns the bytes of an answer the sidecar makes itself (docs/errors.md). Pure. Nothing of the request, of a
token or of what an upstream said is ever echoed: a body is made of the error's own words and of names from the
configuration.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from sidecar.errors import LoginRequired, Refusal, TokenRefused

CLOSE = b"Connection: close\r\n"


def document(refusal: Refusal, route: str | None) -> dict[str, str | int]:
    """The problem's members."""
    body: dict[str, str | int] = {
        "type": f"urn:auth-sidecar:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
    }
    if route is not None:
        body["route"] = route
    if refusal.credential is not None:
        body["credential"] = refusal.credential
    if isinstance(refusal, TokenRefused) and refusal.oauth_error is not None:
        body["oauth_error"] = refusal.oauth_error
    if isinstance(refusal, LoginRequired):
        body["login_url"] = refusal.login_url
    return body


def render(refusal: Refusal, *, route: str | None, head_only: bool, close: bool) -> bytes:
    """A whole HTTP/1.1 answer; without its body for HEAD."""
    body = json.dumps(document(refusal, route)).encode() + b"\n"
    lines = [
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n",
        "Content-Type: application/problem+json\r\n",
        f"Content-Length: {len(body)}\r\n",
        "Cache-Control: no-store\r\n",
        f"X-Auth-Sidecar-Error: {refusal.code}\r\n",
        *(f"{name}: {value}\r\n" for name, value in refusal.fields()),
    ]
    head = "".join(lines).encode("latin-1") + (CLOSE if close else b"") + b"\r\n"
    return head if head_only else head + body
