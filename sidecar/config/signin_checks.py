"""What must be right for people to sign in: their credentials' URLs, and the `sessions` block.

Owns the checks of checks.py that are about the authorization code grant, and where its pages are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sidecar.config.schema import Config, Credential
from sidecar.config.values import HttpUrl
from sidecar.config.wording import Complaint, Loc

PAGES: Final = "/.auth"
CALLBACK: Final = f"{PAGES}/callback"
_NEEDED: Final = {
    "authorization_url": "add the authorization server's authorization endpoint",
    "redirect_url": f"add the registered redirect URI, such as https://app.example.com{CALLBACK}",
}


def signing_in(config: Config) -> Iterator[Complaint]:
    """Everything wrong with credentials of people who sign in, and with what is kept of them."""
    people = {name: c for name, c in config.credentials.items() if c.grant == "authorization_code"}
    for name, credential in people.items():
        yield from _credential(("credentials", name), credential, config)
    if config.sessions.store is not None and config.sessions.key is None:
        yield Complaint(
            ("sessions", "key"),
            "is missing: after a restart nothing in the store could be read; add key: {file: PATH}",
            (("sessions", "store"),),
        )
    if people:
        for index, route in enumerate(config.routes):
            if route.path == PAGES or route.path.startswith(f"{PAGES}/"):
                yield Complaint(
                    ("routes", index, "path"), "is where people sign in; the sidecar answers there itself"
                )


def _credential(loc: Loc, credential: Credential, config: Config) -> Iterator[Complaint]:
    for key, remedy in _NEEDED.items():
        if getattr(credential, key) is None:
            yield Complaint((*loc, key), f"is missing; {remedy}", ((*loc, "grant"),))
    redirect = credential.redirect_url
    if redirect is not None and redirect.path != CALLBACK:
        yield Complaint(
            (*loc, "redirect_url"), f"the path must be {CALLBACK}: there the sidecar waits for people"
        )
    allowed = credential.insecure or config.insecure
    for key in ("authorization_url", "logout_url"):
        yield from _plain((*loc, key), getattr(credential, key), allowed)
    # A cookie without Secure would travel in clear: not even `insecure` allows that (RFC 6749 section 3.1.2.1).
    yield from _plain((*loc, "redirect_url"), redirect, allowed=False)


def _plain(loc: Loc, url: HttpUrl | None, allowed: bool) -> Iterator[Complaint]:
    if url is not None and url.scheme == "http" and not url.is_loopback and not allowed:
        yield Complaint(loc, "is plain http:// to another machine; use https://")
