"""From the request target as received to the one path that is matched and sent.

Owns which forms of target are taken, and what a canonical path is. Pure, on
text; knows nothing of routes, upstreams or connections. The path is made canonical exactly once, here, so that
no one else may decode it: what was matched is what is sent.
"""

from __future__ import annotations

from typing import NamedTuple

from sidecar.errors import BadRequest, PathNotCanonical

_UNRESERVED = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"  # RFC 3986 section 2.3
# Bytes a path may hold as they are: everything visible in ASCII but `#`, `%`, `?` and `\`.
_PLAIN = bytes(c for c in range(0x21, 0x7F) if c not in b"#%?\\")
_HEX_DIGITS = "0123456789abcdefABCDEF"
_HEX = {f"{hi}{lo}".encode(): int(hi + lo, 16) for hi in _HEX_DIGITS for lo in _HEX_DIGITS}
# An encoded slash or backslash splits segments for some servers, controls end strings for others. `%23` and
# `%3F` are ordinary data inside a segment and stay encoded.
_FORBIDDEN_ENCODED = frozenset(b"/\\") | frozenset(range(0x20)) | {0x7F}


class Target(NamedTuple):
    """What a request asks for."""

    path: str  # canonical
    query: str  # with its `?`, byte for byte; empty when there was none
    authority: str | None  # of an absolute-form target

    def __repr__(self) -> str:
        """Without the query: a token or a code may be in it."""
        return f"Target(path={self.path!r}, authority={self.authority!r})"


def parse(raw: str) -> Target:
    """Read an origin-form or absolute-form request target (RFC 9112 section 3.2).

    `raw` holds one character per byte. Raises BadRequest for any other form, PathNotCanonical for a path that
    cannot be made canonical without changing what some server would take it to mean.
    """
    authority = None
    if raw[:1] != "/":
        raw, authority = _absolute(raw)
    path, mark, query = raw.partition("?")
    if "#" in query:
        raise PathNotCanonical("the request target has a fragment; leave out everything from the # on")
    return Target(canonical(path), mark + query, authority)


def _absolute(raw: str) -> tuple[str, str]:
    scheme, colon, rest = raw.partition("://")
    if not colon or scheme.lower() not in ("http", "https"):
        raise BadRequest("the request target is neither a path nor an absolute http:// URL")
    end = min((at for c in "/?#" if (at := rest.find(c)) >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    if not authority or "@" in authority:
        raise BadRequest("the request target's authority is not a plain host")
    return (path if path[:1] == "/" else "/" + path), authority


def canonical(path: str) -> str:
    """The path with unreserved characters decoded, hex upper-cased and runs of `/` merged.

    Raises PathNotCanonical for dot segments (encoded or not), `%2F`, `%5C`, `\\`, `%00`, control characters,
    `#`, characters that are no part of a URI, and broken percent-encoding.
    """
    raw = path.encode("ascii", "replace") if path.isascii() else b"\xff"
    if not raw.translate(None, _PLAIN):
        # The common case: nothing encoded, nothing odd; three scans in C.
        if "//" not in path and "/." not in path:
            return path
    else:
        path = _decode(raw)
    while "//" in path:
        path = path.replace("//", "/")
    if "/." in path and any(map(_climbs, path.split("/"))):
        raise PathNotCanonical("the path has a . or .. segment; send the path it stands for")
    return path


def _climbs(segment: str) -> bool:
    # `..;x` is a dot segment to servers that take path parameters off first (Tomcat, Spring).
    return segment.partition(";")[0] in (".", "..")


def _decode(raw: bytes) -> str:
    first, *rest = raw.split(b"%")
    if first.translate(None, _PLAIN):
        raise PathNotCanonical("the path has a character that must not stand in a URL")
    out = [first]
    for part in rest:
        value = _HEX.get(part[:2])
        if value is None:
            raise PathNotCanonical("the path has a % that is not followed by two hex digits")
        if value in _FORBIDDEN_ENCODED:
            raise PathNotCanonical("the path has an encoded slash, backslash or control character")
        if part[2:].translate(None, _PLAIN):
            raise PathNotCanonical("the path has a character that must not stand in a URL")
        out.append(bytes((value,)) if value in _UNRESERVED else b"%%%02X" % value)
        out.append(part[2:])
    return b"".join(out).decode("ascii")
