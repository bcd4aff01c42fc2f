"""Names that go on the wire or into the route map: scopes, headers, methods, path patterns, labels.

Owns how they are written and their one canonical form. Every parser is a pure function that raises
ValueError("what is wrong; what to do") and never repeats the value it refuses.
"""

from __future__ import annotations

import re

import httptools

from sidecar.config.scalars import some_text, text
from sidecar.errors import PathNotCanonical
from sidecar.routing.target import canonical

_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")  # RFC 6749 section 3.3
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VISIBLE = re.compile(r"[\x21-\x7E]*")
_CONTROL = re.compile(r"[\x00-\x1F\x7F]")

# Fields that frame or route the message: nobody's data, and partly never seen by the time they are asked for.
_UNUSABLE_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "date"}
    | {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate"}
    | {"x-auth-sidecar-error"}
)


def scope_token(value: object) -> str:
    """One scope (RFC 6749 section 3.3)."""
    found = text(value)
    if not found:
        raise ValueError("a scope is empty; take it out or write one")
    if " " in found:
        raise ValueError("a scope has a blank in it; write one scope per list item")
    if not _SCOPE.fullmatch(found):
        raise ValueError('a scope has a character that RFC 6749 forbids; use visible ASCII without " and \\')
    return found


def scope_prefix(value: object) -> str:
    """What is put before a scope; may be empty."""
    return scope_token(value) if value else text(value)


def header_name(value: object) -> str:
    """A request header that may carry a value for the sidecar (RFC 9110 section 5.1)."""
    found = text(value)
    if not _TOKEN.fullmatch(found):
        raise ValueError("is not a header name; write letters, digits and dashes, such as X-On-Behalf-Of")
    if found.lower().replace("_", "-") in _UNUSABLE_HEADERS:
        raise ValueError("this header belongs to HTTP itself; name another one, such as X-On-Behalf-Of")
    return found


def method(value: object) -> str:
    """An HTTP method as it stands in a request line."""
    found = text(value)
    if not _TOKEN.fullmatch(found):
        raise ValueError("is not an HTTP method; write GET, POST, ...")
    if found != found.upper():
        raise ValueError("methods are case-sensitive; write it in capitals")
    if found in ("CONNECT", "TRACE"):
        raise ValueError("CONNECT and TRACE are never forwarded; take it out")
    return found


def is_parsed(method: str) -> bool:
    """Whether llhttp, which reads callers' requests, knows the method; it refuses the others."""
    try:
        httptools.HttpRequestParser(None).feed_data(f"{method} / HTTP/1.1\r\n".encode())
    except httptools.HttpParserError:
        return False
    return True


def path_pattern(value: object) -> str:
    """A route's path: literal segments made canonical as request paths are, `{name}`, and `**` at the end."""
    found = text(value)
    if not found.startswith("/"):
        raise ValueError("must start with /; write something like /a/{name}/b")
    if "?" in found or "#" in found:
        raise ValueError("has a query or fragment; a route matches the path only")
    if "//" in found:
        raise ValueError("has an empty segment; write single slashes")
    *inner, last = found[1:].split("/")
    names = [part for part in (*inner, last) if part.startswith("{")]
    if len(set(names)) < len(names):
        raise ValueError("has the same parameter name twice; give each its own")
    parts = [_segment(part) for part in inner]
    parts.append("**" if last == "**" else _segment(last))
    return "/" + "/".join(parts)


def _segment(part: str) -> str:
    if part.startswith("{") and part.endswith("}"):
        name = part[1:-1]
        if name and _VISIBLE.fullmatch(name) and not set(name) & set("{}*"):
            return part
        raise ValueError("has a parameter without a proper name; write {name}")
    if "{" in part or "}" in part:
        raise ValueError(
            "has a parameter that is only a part of a segment; write {name} for the whole segment"
        )
    if "**" in part:
        raise ValueError("has ** somewhere else than as the last segment; end the pattern with /**")
    if "*" in part:
        raise ValueError("has a *, which is no wildcard here; write {name} for one segment or end with /**")
    try:
        return canonical("/" + part)[1:]
    except PathNotCanonical as error:
        raise ValueError(f"{error.detail.partition(';')[0]}; no request would match it") from None


def label(value: object) -> str:
    """A name for logs and metrics."""
    found = some_text(value)
    if len(found) > 200 or _CONTROL.search(found):
        raise ValueError("is longer than 200 characters or has a control character; use a short plain name")
    return found
