"""Answers of an upstream, good and odd: their bytes, what a caller may see of them, what becomes of the connection.

Owns the table KINDS. `Seen` is what the caller may see: the whole answer, an answer that is visibly cut, or a 502;
and never a byte of another answer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto


class Seen(Flag):
    """What a caller may see."""

    WHOLE = auto()
    CUT = auto()
    BAD_GATEWAY = auto()


class End(Flag):
    """What the upstream does behind its bytes."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()


@dataclass(frozen=True)
class Kind:
    """One way to answer."""

    make: Callable[[bytes], bytes]  # from a body
    seen: Seen = Seen.WHOLE
    reusable: bool = False  # the connection may serve another request
    end: End = End.KEEP
    status: int = 200
    empty: bool = False  # the caller gets no body, whatever was sent
    unanswered: bool = False  # not a byte came: tried once more, if that is safe
    tail: bytes = b""  # belongs to the body, too
    extra: bytes = b""  # comes right behind the answer, in one segment with its end
    late: bytes = b""  # comes when the answer has long been read


_OK = b"HTTP/1.1 200 OK\r\n"


def _length(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def _exact(body: bytes, fields: bytes = b"") -> bytes:
    return _OK + fields + _length(body) + b"\r\n" + body


def _chunked(body: bytes, *, size: bytes = b"%x", last: bytes = b"0\r\n\r\n", fields: bytes = b"") -> bytes:
    half = len(body) // 2
    chunks = b"".join(
        size % len(part) + b"\r\n" + part + b"\r\n" for part in (body[:half], body[half:]) if part
    )
    return _OK + fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + last


_STOWAWAY = _exact(b"<stowaway>")
_W, _C, _B = Seen.WHOLE, Seen.CUT, Seen.BAD_GATEWAY

KINDS: dict[str, Kind] = {
    # clean
    "exact": Kind(_exact, reusable=True),
    "fields": Kind(lambda b: _exact(b, b"Server: x\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nKeep-Alive: 5\r\n"),
    reusable=True),
    "named": Kind(lambda b: _exact(b, b"Connection: X-A, keep-alive\r\nX-A: 1\r\n"), reusable=True),
    "chunked": Kind(_chunked, reusable=True),
    "chunk extensions": Kind(lambda b: _chunked(b, size=b"%x;a=b"), reusable=True),
    "trailers": Kind(lambda b: _chunked(b, last=b"0\r\nAuthorization: x\r\nX: y\r\n\r\n"), reusable=True),
    "304": Kind(lambda b: b"HTTP/1.1 304 Not Modified\r\n" + _length(b) + b"\r\n", status=304, empty=True,
    reusable=True),
    "204": Kind(lambda b: b"HTTP/1.1 204 No Content\r\n\r\n", status=204, empty=True, reusable=True),
    "100 first": Kind(lambda b: b"HTTP/1.1 100 Continue\r\n\r\n" + _exact(b), reusable=True),
    "103 first": Kind(lambda b: b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + _exact(b), reusable=True),
    "503": Kind(lambda b: b"HTTP/1.1 503 Busy\r\n" + _length(b) + b"\r\n" + b, status=503, reusable=True),
    # whole, and the end of the connection
    "close": Kind(lambda b: _exact(b, b"Connection: close\r\n"), end=End.CLOSE),
    "close, kept open": Kind(lambda b: _exact(b, b"Connection: close\r\n")),
    "until close": Kind(lambda b: _OK + b"\r\n" + b, end=End.CLOSE),
    "HTTP/1.0": Kind(lambda b: b"HTTP/1.0 200 OK\r\n" + _length(b) + b"\r\n" + b, end=End.CLOSE),
    "HTTP/1.0 until close": Kind(lambda b: b"HTTP/1.0 200 OK\r\n\r\n" + b, end=End.CLOSE),
    "closes behind it": Kind(_exact, end=End.CLOSE, reusable=True),
    # whole, with something behind it that nobody asked for
    "stowaway": Kind(_exact, extra=_STOWAWAY),
    "stowaway behind chunks": Kind(_chunked, extra=_STOWAWAY),
    "bytes behind": Kind(_exact, extra=b"<stowaway>"),
    "204 with a body": Kind(lambda b: b"HTTP/1.1 204 No Content\r\n\r\n", status=204, empty=True,
    extra=b"<stowaway>"),
    "304 with a body": Kind(
        lambda b: b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", status=304, empty=True,
        extra=b"<stowaway>"
    ),
    "late stowaway": Kind(_exact, late=_STOWAWAY),
    "late bytes": Kind(_exact, late=b"x"),
    # cut
    "short": Kind(lambda b: _exact(b)[:-3], _C, end=End.CLOSE),
    "short, reset": Kind(lambda b: _exact(b)[:-3], _C | _B, end=End.RESET),
    "no last chunk": Kind(lambda b: _chunked(b, last=b""), _C, end=End.CLOSE),
    "half a last chunk": Kind(lambda b: _chunked(b, last=b"0\r\n"), _C, end=End.CLOSE),
    "bad chunk size": Kind(lambda b: _chunked(b, last=b"zz\r\n"), _C | _B),
    "negative chunk size": Kind(lambda b: _chunked(b, last=b"-1\r\n"), _C | _B),
    "chunk too long": Kind(lambda b: _chunked(b, last=b"3\r\nabcd\r\n0\r\n\r\n"), _C | _B, tail=b"abc"),
    "until close, reset": Kind(lambda b: _OK + b"\r\n" + b, _C | _B, end=End.RESET),
    # no answer at all
    "nothing": Kind(lambda b: b"", _B, end=End.CLOSE, unanswered=True),
    "nothing, reset": Kind(lambda b: b"", _B, end=End.RESET, unanswered=True),
    "half a head": Kind(lambda b: _OK + b"Serv", _B, end=End.CLOSE),
    "only 103": Kind(lambda b: b"HTTP/1.1 103 Early Hints\r\n\r\n", _B, end=End.CLOSE),
    # heads that cannot be trusted
    "both lengths": Kind(lambda b: _exact(b, b"Transfer-Encoding: chunked\r\n"), _B),
    "two lengths": Kind(lambda b: _exact(b, b"Content-Length: 3\r\n"), _B),
    "the same length twice": Kind(lambda b: _exact(b, _length(b)), _B),
    "odd coding": Kind(lambda b: _chunked(b, fields=b"Transfer-Encoding: gzip\r\n"), _B),
    "NUL": Kind(lambda b: _exact(b, b"X: a\0b\r\n"), _B),
    "bare CR": Kind(lambda b: _exact(b, b"X: a\rb\r\n"), _B),
    "blank before the colon": Kind(lambda b: _exact(b, b"X : a\r\n"), _B),
    "folded": Kind(lambda b: _exact(b, b"X: a\r\n b\r\n"), _B | _W),
    "no colon": Kind(lambda b: _exact(b, b"nonsense\r\n"), _B),
    "HTTP/2.0": Kind(lambda b: _exact(b).replace(b"1.1", b"2.0", 1), _B),
    "no HTTP": Kind(lambda b: b"SSH-2.0-OpenSSH_9\r\n", _B),
    "101": Kind(lambda b: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n" + b, _B),
    "long field": Kind(lambda b: _exact(b, b"X: " + b"x" * 40_000 + b"\r\n"), _B),
    "many fields": Kind(lambda b: _exact(b, b"X: x\r\n" * 300), _B),
}  # fmt: skip


# An answer to HEAD is the head of one of these.
HEADS = frozenset(
    {
        "exact",
        "fields",
        "named",
        "chunked",
        "304",
        "204",
        "503",
        "close",
        "HTTP/1.0",
        "late stowaway",
        "nothing",
    }
    | {"nothing, reset", "half a head", "both lengths", "two lengths", "NUL", "no HTTP", "101", "odd coding"}
)
