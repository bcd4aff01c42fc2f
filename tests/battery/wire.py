"""What went over a caller's connection, read strictly: how many requests, how many answers.

Owns a reading of HTTP/1.1 framing that shares no code with the sidecar (RFC 9112, nothing tolerated but empty lines
before a request). Bodies are counted, not kept. Knows nothing of sockets or of what a request means.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

# Several blanks are allowed (RFC 9112 section 3): what goes up has one.
_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ +[\x21-\x7e\x80-\xff]+ +HTTP/1\.[01]")
_STATUS = re.compile(rb"HTTP/1\.1 [1-5][0-9]{2} [\x09\x20-\x7e\x80-\xff]*")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\x09\x20-\x7e\x80-\xff]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[\x09\x20]*(?:;[\x09\x20-\x7e\x80-\xff]*)?")
_MOST_OF_A_HEAD = 1 << 20

Fields = list[tuple[bytes, bytes]]


class Malformed(Exception):
    """Not HTTP/1.1 as RFC 9112 wants it."""


def fields_of(lines: list[bytes]) -> Fields:
    """Names in lower case, values without white space around them. Raises Malformed."""
    found = []
    for line in lines:
        if not _FIELD.fullmatch(line):
            raise Malformed(f"a field line {line[:40]!r}")
        name, _, value = line.partition(b":")
        found.append((name.lower(), value.strip(b" \t")))
    return found


def values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for found, value in fields if found == name]


def length_of(fields: Fields) -> int | None:
    """Of the body: -1 for chunks, None when nothing is said. Raises Malformed."""
    codings, lengths = values(fields, b"transfer-encoding"), values(fields, b"content-length")
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Malformed("framing that can be read in two ways")
        return -1
    if not lengths:
        return None
    if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
        raise Malformed("a length that is none")
    return int(lengths[0].lstrip(b"0") or b"0")


class Stream:
    """Messages one behind the other, fed as they come. Subclasses say what a head means."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._step: Callable[[], bool] = self._head
        self._left = 0
        self.broken: str | None = None  # why nothing that follows means anything
        self.ended = False  # what follows belongs to no message (a tunnel, a body up to the end)

    @property
    def between(self) -> bool:
        """Nothing is half done: the next byte would begin a message."""
        return not self._buffer and self._step == self._head and self.broken is None

    def feed(self, data: bytes) -> None:
        if self.broken is not None or self.ended:
            self.rest(data)
            return
        if self._step == self._body and not self._buffer and len(data) < self._left:
            self._left -= len(data)
            self.seen(data)
            return
        self._buffer += data
        try:
            while self._step():
                pass
        except Malformed as error:
            self.broken = str(error)

    # -- what subclasses are told --------------------------------------------------------------------------------------

    def head(self, first: bytes, lines: list[bytes]) -> int | None:
        """A head; its body's length (-1: chunks, None: up to the end, 0: none). Raises Malformed."""
        raise NotImplementedError

    def seen(self, body: bytes) -> None: ...

    def rest(self, data: bytes) -> None: ...

    def complete(self) -> None: ...

    # -- steps: False when more bytes are needed -----------------------------------------------------------------------

    def _take(self, size: int) -> bytes:
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_OF_A_HEAD:
                raise Malformed("a line without end")
            return None
        return self._take(end + 2)[:-2]

    def _head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MOST_OF_A_HEAD:
                raise Malformed("a head without end")
            return False
        first, *lines = self._take(end + 4)[:-4].split(b"\r\n")
        length = self.head(first, lines)
        if length is None:
            self.ended = True
            self.rest(self._take(len(self._buffer)))
            return False
        self._left = length
        self._step = self._chunk if length < 0 else self._body
        return True

    def _body(self) -> bool:
        taken = self._take(min(self._left, len(self._buffer)))
        self._left -= len(taken)
        if taken:
            self.seen(taken)
        if self._left:
            return False
        self._step = self._head
        self.complete()
        return bool(self._buffer)

    def _chunk(self) -> bool:
        line = self._line()
        if line is None:
            return False
        size = _SIZE.fullmatch(line)
        if size is None:
            raise Malformed(f"a chunk size {line[:20]!r}")
        self._left = int(size[1], 16)
        self._step = self._data if self._left else self._trailer
        return True

    def _data(self) -> bool:
        if len(self._buffer) < self._left + 2:
            return False
        self.seen(self._take(self._left))
        if self._take(2) != b"\r\n":
            raise Malformed("a chunk that does not end where it says")
        self._step = self._chunk
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            fields_of([line])
            return True
        self._step = self._head
        self.complete()
        return bool(self._buffer)


class Requests(Stream):
    """What a caller sent."""

    def __init__(self) -> None:
        super().__init__()
        self.methods: deque[bytes] = deque()
        self.count = 0  # heads that were whole and well formed
        self.fields: list[Fields] = []
        self.any = False  # a byte was sent

    def feed(self, data: bytes) -> None:
        self.any = self.any or bool(data)
        if self._step == self._head and not self._buffer:
            data = data.lstrip(b"\r\n")
        super().feed(data)

    def head(self, first: bytes, lines: list[bytes]) -> int | None:
        if not _LINE.fullmatch(first):
            raise Malformed(f"a request line {first[:40]!r}")
        fields = fields_of(lines)
        length = length_of(fields)
        self.count += 1
        self.methods.append(first.partition(b" ")[0])
        self.fields.append(fields)
        return length or 0

    @property
    def most(self) -> int:
        """As many final answers as there may be: one more for what was never a whole request (400, 408, 431)."""
        return self.count + (self.broken is not None or bool(self._buffer) or not self.any)


@dataclass
class Made:
    """An answer of the sidecar's own making."""

    head: bytes
    body: bytearray = field(default_factory=bytearray)


class Answers(Stream):
    """What the caller got, by the requests it sent."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests
        self.statuses: list[int] = []  # of final answers whose head was whole
        self.whole = 0  # ... and whose body was, too
        self.made: list[Made] = []
        self.closes = False  # the last answer said that the connection ends
        self.surplus = b""  # behind the last answer there may be
        self._ours = False

    def head(self, first: bytes, lines: list[bytes]) -> int | None:
        if not _STATUS.fullmatch(first):
            raise Malformed(f"a status line {first[:40]!r}")
        fields = fields_of(lines)
        status = int(first[9:12])
        if status == 101:
            self.statuses.append(status)
            self.whole += 1
            return None
        if status < 200:
            return 0
        methods = self._requests.methods
        method = methods.popleft() if methods else b""
        self.statuses.append(status)
        self.closes = any(b"close" in value.lower() for value in values(fields, b"connection"))
        self._ours = bool(values(fields, b"x-auth-sidecar-error"))
        if self._ours:
            self.made.append(Made(b"\r\n".join((first, *lines))))
        if method == b"HEAD" or status in (204, 304):
            return 0
        length = length_of(fields)
        if length is None and not self.closes:
            raise Malformed("an answer without a length on a connection that goes on")
        return length

    def seen(self, body: bytes) -> None:
        if self._ours:
            self.made[-1].body += body

    def rest(self, data: bytes) -> None:
        if self._ours and self.ended:
            self.made[-1].body += data

    def complete(self) -> None:
        if self.statuses and self.statuses[-1] >= 200:
            self.whole = len(self.statuses)
