"""Cookies, as bytes of a header and as lines of an answer.

Owns the names of ours, how they are found and taken out of a request, and how they are set. Pure. `__Host-` and
Secure make a browser refuse such a cookie from anybody but this very host over TLS (RFC 6265bis section 4.1.3.2);
on http, which is allowed on loopback only, a plain name has to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SECURE: Final = "__Host-"
_OURS: Final = "auth-sidecar-"
_PREFIXES: Final = (f"{_SECURE}{_OURS}".encode(), _OURS.encode())
_TAG: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
_LOGIN: Final = "login-"  # what is signed in for has a cookie of its own, for every attempt


def session_name(credential: str, *, secure: bool) -> str:
    """The name of the cookie that holds a session of this credential."""
    return f"{_SECURE if secure else ''}{_OURS}session-{credential}"


def login_name(tag: str, *, secure: bool) -> str:
    """The name of the cookie that binds an attempt to sign in to its browser."""
    return f"{_SECURE if secure else ''}{_OURS}{_LOGIN}{tag}"


def pairs(values: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Names and values of all `Cookie` fields (RFC 6265 section 4.2.1); what has no name is left out."""
    found = []
    for value in values:
        for pair in value.split(b";"):
            name, equals, content = pair.strip(b" \t").partition(b"=")
            if equals:
                found.append((name, content))
    return found


def value_of(values: Sequence[bytes], name: str) -> str | None:
    """The value of the one cookie of this name; None when there is none, or more than one.

    Two of a name mean that somebody else on a neighbouring host has set one: neither is believed.
    """
    wanted = name.encode("ascii")
    found = [content for known, content in pairs(values) if known == wanted]
    return found[0].decode("latin-1") if len(found) == 1 else None


def logins(values: Sequence[bytes], *, secure: bool) -> list[tuple[str, int]]:
    """The attempts to sign in that a browser still has, the oldest first, as it sends them: name, bytes of cookie."""
    prefix = login_name("", secure=secure).encode("ascii")
    return [
        (name.decode("ascii"), len(name) + len(value))
        for name, value in pairs(values)
        if name.startswith(prefix) and _TAG.issuperset(name[len(prefix) :])
    ]


def without_ours(value: bytes) -> bytes:
    """A `Cookie` value without any cookie of the sidecar's; empty when nothing is left."""
    if _OURS.encode() not in value:
        return value
    kept = [pair for pair in value.split(b";") if not pair.strip(b" \t").startswith(_PREFIXES)]
    return b";".join(kept).strip(b" \t")


def set_cookie(name: str, value: str, *, secure: bool, max_age: int | None = None) -> tuple[str, str]:
    """A `Set-Cookie` field. Without `max_age` (seconds) it lasts as long as the browser."""
    age = "" if max_age is None else f"; Max-Age={max_age}"
    return "Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{'; Secure' if secure else ''}{age}"


def clear_cookie(name: str, *, secure: bool) -> tuple[str, str]:
    """A `Set-Cookie` field that takes a cookie away."""
    return set_cookie(name, "", secure=secure, max_age=0)
