"""Header fields as bytes: what crosses, what stays, what the sidecar has to know of.

Owns which request fields are hop-by-hop and which are ours; answerhead.py is its counterpart for answers.
Pure; knows no sockets. Fields are never decoded: a name is looked up by its raw spelling in a table that learns
spellings (bounded, since the spellings come from the network), a value is copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum

from sidecar.errors import BadRequest

RawHeaders = Sequence[tuple[bytes, bytes]]

ERROR_FIELD = b"X-Auth-Sidecar-Error"
MAX_SPELLINGS = 2048
_MAX_LENGTH_DIGITS = 18


class Field(IntEnum):
    """What a request field is to the proxy. Up to LAST_KEPT it crosses."""

    PLAIN = 0
    ORIGIN = 1
    FETCH_SITE = 2
    FETCH_MODE = 3
    FETCH_DEST = 4
    LAST_KEPT = 4
    DROPPED = 5
    HOST = 6
    AUTHORIZATION = 7
    CONNECTION = 8
    CONTENT_LENGTH = 9
    TRANSFER_ENCODING = 10
    UPGRADE = 11
    EXPECT = 12
    SUBJECT = 13  # a configured subject or identity field, spelled as configured
    SUBJECT_LOOKALIKE = 14  # the same with `_` and `-` mixed up
    COOKIE = 15


_LAST_KEPT, _HOST = int(Field.LAST_KEPT), int(Field.HOST)  # an enum's attribute costs a call
_REQUEST = {
    b"origin": Field.ORIGIN,
    b"sec-fetch-site": Field.FETCH_SITE,
    b"host": Field.HOST,
    b"authorization": Field.AUTHORIZATION,
    b"connection": Field.CONNECTION,
    b"content-length": Field.CONTENT_LENGTH,
    b"transfer-encoding": Field.TRANSFER_ENCODING,
    b"upgrade": Field.UPGRADE,
    b"expect": Field.EXPECT,
    # RFC 9110 section 7.6.1, and fields that only make sense to the next hop
    b"keep-alive": Field.DROPPED,
    b"proxy-connection": Field.DROPPED,
    b"proxy-authorization": Field.DROPPED,
    b"proxy-authenticate": Field.DROPPED,
    b"te": Field.DROPPED,
    b"trailer": Field.DROPPED,
    b"http2-settings": Field.DROPPED,
    ERROR_FIELD.lower(): Field.DROPPED,
}
# Where nobody signs in these are plain: every browser sends them with every request, and looking costs time.
_OF_PEOPLE = {
    b"cookie": Field.COOKIE,
    b"sec-fetch-mode": Field.FETCH_MODE,
    b"sec-fetch-dest": Field.FETCH_DEST,
}

# Named in `Connection`, these do not become hop-by-hop: what guards the exchange cannot be taken off by it.
_NOT_BY_NAME = frozenset(
    {b"authorization", b"host", b"content-length", b"transfer-encoding", b"close", b"keep-alive"}
)


class RequestFields:
    """The table of request field names for one configuration."""

    def __init__(
        self,
        subject_fields: Iterable[str] = (),
        own_cookies: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """`subject_fields`: names of the fields that carry subjects or the caller's identity.

        `own_cookies`: takes the sidecar's cookies out of a `Cookie` value; None when it has none.
        """
        self.without_own_cookies = own_cookies
        self._subjects = {name.lower().encode() for name in subject_fields} - {b"authorization"}
        self._alike = {folded(name) for name in self._subjects}
        self.known: dict[bytes, int] = {}  # what a field is, by every spelling seen so far

    def learn(self, name: bytes) -> int:
        """What this field is, at the first sight of a spelling."""
        if len(self.known) >= MAX_SPELLINGS:
            self.known.clear()
        kind = self.known[name] = int(self._classify(name.lower()))
        return kind

    def _classify(self, name: bytes) -> Field:
        if name in self._subjects:
            return Field.SUBJECT
        if folded(name) in self._alike:
            return Field.SUBJECT_LOOKALIKE
        if name in _OF_PEOPLE:
            return _OF_PEOPLE[name] if self.without_own_cookies is not None else Field.PLAIN
        return _REQUEST.get(name, Field.PLAIN)


def folded(name: bytes) -> bytes:
    """The name as servers see it that make `_` and `-` the same (CGI, WSGI)."""
    return name.replace(b"_", b"-")


class RequestHead:
    """A request's fields, read once: the lines that cross and the values the proxy acts on.

    Raises BadRequest for a length that no body can have.
    """

    __slots__ = (
        "authorizations",
        "connection",
        "content_length",
        "cookies",
        "expect",
        "fetch_dest",
        "fetch_mode",
        "fetch_site",
        "fields",
        "from_elsewhere",
        "host",
        "lines",
        "origins",
        "subjects",
        "transfer_encoding",
        "upgrade",
    )

    def __init__(self, fields: RequestFields, raw: RawHeaders) -> None:
        self.fields = fields
        self.lines: list[bytes] = []
        self.authorizations: list[bytes] | None = None
        self.connection: bytes | None = None
        self.content_length: bytes | None = None
        self.cookies: list[bytes] | None = None
        self.expect: bytes | None = None
        self.fetch_dest: bytes | None = None
        self.fetch_mode: bytes | None = None
        self.fetch_site: bytes | None = None
        self.from_elsewhere = False  # somebody has followed a link on another site's page
        self.host: bytes | None = None
        self.origins: list[bytes] | None = None
        self.subjects: list[tuple[bytes, bytes]] | None = None  # lower-case name, value; lookalikes too
        self.transfer_encoding: bytes | None = None
        self.upgrade: bytes | None = None
        known, lines = fields.known, self.lines
        for name, value in raw:
            kind = known.get(name)
            if kind is None:
                kind = fields.learn(name)
            if kind <= _LAST_KEPT:
                lines.append(b"%b: %b\r\n" % (name, value))
            if kind:
                self._note(kind, name, value)
        if self.connection is not None:
            self._drop_named(self.connection)

    def _note(self, kind: int, name: bytes, value: bytes) -> None:
        if kind == _HOST:  # nearly always
            self.host = value
            return
        match kind:
            case Field.CONTENT_LENGTH:
                self.content_length = value
                # Leading zeros are legal and read differently by some; everything else llhttp has refused,
                # but for numbers that are negative to whoever keeps them in 64 bits.
                digits = value.lstrip(b"0") or b"0"
                if len(digits) > _MAX_LENGTH_DIGITS:
                    raise BadRequest("the Content-Length is larger than any body")
                self.lines.append(b"%b: %b\r\n" % (name, digits))
            case Field.CONNECTION:
                self.connection = value if self.connection is None else self.connection + b"," + value
            case Field.AUTHORIZATION:
                self.authorizations = [*(self.authorizations or ()), value]
            case Field.SUBJECT | Field.SUBJECT_LOOKALIKE:
                self.subjects = [*(self.subjects or ()), (name.lower(), value)]
            case Field.ORIGIN:
                self.origins = [*(self.origins or ()), value]
            case Field.FETCH_SITE:
                self.fetch_site = value if self.fetch_site is None else b"cross-site"
            case Field.FETCH_MODE:
                self.fetch_mode = value
            case Field.FETCH_DEST:
                self.fetch_dest = value
            case Field.COOKIE:
                self._take_cookies(name, value)
            case Field.TRANSFER_ENCODING:
                self.transfer_encoding = value
            case Field.UPGRADE:
                self.upgrade = value if self.upgrade is None else self.upgrade + b"," + value
            case Field.EXPECT:
                self.expect = value if self.expect is None else self.expect + b"," + value

    def _take_cookies(self, name: bytes, value: bytes) -> None:
        assert self.fields.without_own_cookies is not None
        self.cookies = [*(self.cookies or ()), value]
        rest = self.fields.without_own_cookies(value)
        if rest:
            self.lines.append(b"%b: %b\r\n" % (name, rest))

    def _drop_named(self, connection: bytes) -> None:
        named = connection_names(connection)
        if named:
            self.lines[:] = [line for line in self.lines if line[: line.index(b":")].lower() not in named]

    def framing(self, *, websocket: bool, awaits_continue: bool) -> list[bytes]:
        """The hop-by-hop lines of our own for the next hop."""
        lines = []
        if self.transfer_encoding is not None:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        if websocket:
            lines.append(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        if awaits_continue:
            lines.append(b"Expect: 100-continue\r\n")
        return lines

    @property
    def navigates(self) -> bool:
        """A browser opens a page (Fetch Metadata): not a frame in another page, not a script's request."""
        return self.fetch_mode == b"navigate" and self.fetch_dest in (None, b"document")

    def wants_websocket(self) -> bool:
        """A WebSocket handshake (RFC 6455 section 4.1), as far as a proxy must look."""
        return (
            self.upgrade is not None
            and self.upgrade.lower() == b"websocket"
            and self.connection is not None
            and b"upgrade" in tokens(self.connection)
        )


def tokens(value: bytes) -> list[bytes]:
    """A comma-separated list of tokens, lower case."""
    return [token.strip(b" \t").lower() for token in value.split(b",")]


def connection_names(value: bytes) -> frozenset[bytes]:
    """The field names that a `Connection` value makes hop-by-hop."""
    lowered = value.lower()
    if lowered in (b"keep-alive", b"close"):  # nearly always
        return frozenset()
    return frozenset(tokens(lowered)) - _NOT_BY_NAME
