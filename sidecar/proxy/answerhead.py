"""An upstream answer's header fields: what crosses to the caller and what the sidecar acts on.

Owns which response fields are hop-by-hop or ours. Pure, on bytes; headers.py is its counterpart for requests.
"""

from __future__ import annotations

from sidecar.proxy.headers import ERROR_FIELD, connection_names, tokens

_DROPPED = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"proxy-authenticate",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        ERROR_FIELD.lower(),
    }
)


class AnswerHead:
    """An upstream answer's fields, taken in one by one as they are parsed."""

    __slots__ = ("chunked", "connection", "content_length", "lines", "odd_encoding", "size", "upgrade")

    def __init__(self) -> None:
        self.lines: list[tuple[bytes, bytes, bytes]] = []  # lower-case name, name, value
        self.chunked = False
        self.connection: bytes | None = None
        self.content_length: int | None = None
        self.size = 0
        self.odd_encoding = False  # a Transfer-Encoding other than exactly `chunked`
        self.upgrade: bytes | None = None

    def add(self, name: bytes, value: bytes) -> None:
        """Take one field."""
        lowered = name.lower()
        self.size += len(name) + len(value) + 4
        if lowered not in _DROPPED:
            if lowered == b"content-length":
                self.content_length = int(value)
            self.lines.append((lowered, name, value))
        elif lowered == b"connection":
            self.connection = value if self.connection is None else self.connection + b"," + value
        elif lowered == b"transfer-encoding":
            self.odd_encoding = self.chunked or value.strip(b" \t").lower() != b"chunked"
            self.chunked = True
        elif lowered == b"upgrade":
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
        out = [b"HTTP/1.1 %d %b\r\n" % (status, reason)]
        if named:
            out += [b"%b: %b\r\n" % (n, v) for lowered, n, v in self.lines if lowered not in named]
        else:
            out += [b"%b: %b\r\n" % (n, v) for _, n, v in self.lines]
        out.append(extra)
        out.append(b"\r\n")
        return b"".join(out)
