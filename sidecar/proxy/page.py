"""A page of the sidecar's own, on the proxy listener: what is asked for, and the answer as bytes.

Owns both shapes and what every such answer says of itself: never stored, never framed, never sniffed, no referrer.
Pure; what the pages are about is nothing to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from sidecar.errors import Refusal
from sidecar.proxy.problems import CLOSE

HTML: Final = "text/html; charset=utf-8"
JSON: Final = "application/json"
_ALWAYS: Final = (
    "Cache-Control: no-store\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "X-Frame-Options: DENY\r\n"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a page has to know of the request."""

    method: str
    query: str = field(repr=False)  # without the `?`, as it came: a code may be in it
    cookies: Sequence[bytes] = field(repr=False)
    html: bool  # a person is looking, not a script


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the sidecar's own."""

    status: int
    fields: Sequence[tuple[str, str]] = field(default=(), repr=False)  # cookies, and where a sign-in goes on
    body: bytes = field(default=b"", repr=False)
    kind: str = HTML
    refusal: type[Refusal] | None = None  # what it stands for, if it is an error


def render(page: Page, *, head_only: bool, close: bool) -> bytes:
    """A whole HTTP/1.1 answer; without its body for HEAD."""
    head = "".join(
        [
            f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n",
            f"Content-Type: {page.kind}\r\n" if page.body else "",
            f"Content-Length: {len(page.body)}\r\n",
            _ALWAYS,
            f"X-Auth-Sidecar-Error: {page.refusal.code}\r\n" if page.refusal is not None else "",
            *(f"{name}: {value}\r\n" for name, value in page.fields),
        ]
    ).encode("latin-1")
    return head + (CLOSE if close else b"") + b"\r\n" + (b"" if head_only else page.body)
