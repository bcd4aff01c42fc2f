"""An upstream answer's header fields: what crosses to the caller and what the sidecar acts on.  HOT.

Owns which response fields are hop-by-hop or ours. Pure, on bytes; headers.py is its counterpart for requests. As
there, a name is looked up by its raw spelling, and a line that crosses is written once, as it will be sent.

Hot: `plain` passes the commonest answer on as it came, without a callback of the parser for each of its fields. It
takes only what llhttp takes, and less (tests/test_proxy_plain.py holds it against llhttp).
"""

from __future__ import annotations

from sidecar.proxy.headers import ERROR_FIELD, MAX_SPELLINGS, connection_names, tokens

_PLAIN, _CONTENT_LENGTH, _CONNECTION, _TRANSFER_ENCODING, _UPGRADE, _DROPPED = range(6)
_KINDS = {
    b"content-length": _CONTENT_LENGTH,
    b"connection": _CONNECTION,
    b"transfer-encoding": _TRANSFER_ENCODING,
    b"upgrade": _UPGRADE,
    b"keep-alive": _DROPPED,
    b"proxy-connection": _DROPPED,
    b"proxy-authenticate": _DROPPED,
    b"te": _DROPPED,
    b"trailer": _DROPPED,
    ERROR_FIELD.lower(): _DROPPED,
}
MAX_FIELDS = 200
_VISIBLE = bytes({0x09, *range(0x20, 0x7F), *range(0x80, 0x100)})
_known: dict[bytes, int] = {}  # spellings seen so far


def _kind(name: bytes) -> int:
    """The first sight of a spelling; how many are kept is bounded, since they come from the network."""
    if len(_known) >= MAX_SPELLINGS:
        _known.clear()
    kind = _known[name] = _KINDS.get(name.lower(), _PLAIN)
    return kind


_OK = b"HTTP/1.1 200 OK"
_MAX_DIGITS = 18  # of a length that is no larger than anything there is
_KEPT_ALIVE = b"Connection: keep-alive"


def plain(data: bytes, max_head_bytes: int) -> tuple[bytes, int] | None:
    """The commonest answer, read without llhttp: whole in one segment, `200 OK`, nothing in it to be changed.

    Returns the answer as it goes to the caller and how long its head is without the empty line; None when anything at
    all is out of the ordinary, and llhttp has to look at it. Names count only in spellings that llhttp has passed
    before, a length only when it is exactly what is there.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or end > max_head_bytes:
        return None
    head = data[:end]
    first, *lines = head.split(b"\r\n")
    ends = len(lines)
    if first != _OK or ends > MAX_FIELDS or head.translate(None, _VISIBLE) != b"\r\n" * ends:
        return None
    length, kept_alive = -1, False
    for line in lines:
        name, _, value = line.partition(b": ")
        kind = _known.get(name)
        if value[:1] == b" " or value[:1] == b"\t":
            return None  # llhttp takes it off
        if kind == _CONTENT_LENGTH and length < 0 and value.isdigit() and len(value) <= _MAX_DIGITS:
            length = int(value)
        elif line == _KEPT_ALIVE and not kept_alive:
            kept_alive = True
        elif kind != _PLAIN:
            return None
    if length != len(data) - end - 4:
        return None
    if kept_alive:
        return data.replace(b"\r\n" + _KEPT_ALIVE, b"", 1), end - len(_KEPT_ALIVE) - 2
    return data, end


class AnswerHead:
    """An upstream answer's fields, taken in one by one as they are parsed."""

    __slots__ = ("chunked", "connection", "content_length", "lines", "odd_encoding", "upgrade")

    def __init__(self) -> None:
        self.lines: list[bytes] = []  # whole lines, as they go to the caller
        self.chunked = False
        self.connection: bytes | None = None
        self.content_length: int | None = None
        self.odd_encoding = False  # a Transfer-Encoding other than exactly `chunked`
        self.upgrade: bytes | None = None

    def add(self, name: bytes, value: bytes) -> None:
        """Take one field."""
        kind = _known.get(name)
        if kind is None:
            kind = _kind(name)
        if kind <= _CONTENT_LENGTH:
            if kind:
                self.content_length = int(value)
            self.lines.append(b"%b: %b\r\n" % (name, value))
        elif kind == _CONNECTION:
            self.connection = value if self.connection is None else self.connection + b"," + value
        elif kind == _TRANSFER_ENCODING:
            self.odd_encoding = self.chunked or value.strip(b" \t").lower() != b"chunked"
            self.chunked = True
        elif kind == _UPGRADE:
            self.upgrade = value

    def says_close(self) -> bool:
        """The upstream will close the connection behind this answer."""
        return self.connection is not None and b"close" in tokens(self.connection)

    def render(
        self, status: int, reason: bytes, extra: bytes = b"", *, without_length: bool = False
    ) -> bytes:
        """The head as it goes to the caller; `extra` are whole lines of our own."""
        named = connection_names(self.connection) if self.connection is not None else frozenset()
        if without_length:
            named |= {b"content-length"}
        lines = self.lines
        if named:
            lines = [line for line in lines if line[: line.index(b":")].lower() not in named]
        return b"".join((b"HTTP/1.1 %d %b\r\n" % (status, reason), *lines, extra, b"\r\n"))
