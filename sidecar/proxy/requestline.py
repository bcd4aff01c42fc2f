"""Which protocol a request line names.  HOT.

Owns the end of the request line, as far as it has come: llhttp takes RTSP and ICE as if they were HTTP, and aiohttp
does not tell which it was. What else is in the line is the parser's business.
"""

from __future__ import annotations

_PROTOCOLS = (b"HTTP/1.1\r", b"HTTP/1.0\r")
_LENGTH = len(_PROTOCOLS[0])


class RequestLine:
    """The line of the request whose head is arriving."""

    __slots__ = ("_end", "_whole")

    def __init__(self) -> None:
        self._end = b""  # its last bytes so far
        self._whole = False

    def feed(self, piece: bytes) -> None:
        """A piece of a head that is not complete. Empty lines before a request are passed over, as llhttp does."""
        start = 0
        while not self._whole and start < len(piece):
            end = piece.find(b"\n", start)
            part = piece[start:] if end < 0 else piece[start:end]
            self._end = (self._end + part[-_LENGTH:])[-_LENGTH:].lstrip(b"\r")
            self._whole = end >= 0 and self._end != b""
            start = len(piece) if end < 0 else end + 1

    def is_http(self, piece: bytes) -> bool:
        """This piece completes the head: was it HTTP/1.1 or HTTP/1.0? The next head may begin."""
        if not self._end:  # nearly always all of it is here
            end = piece.find(b"\n")
            if piece[max(end - _LENGTH, 0) : end] in _PROTOCOLS:
                return True
        self.feed(piece)
        found = self._end in _PROTOCOLS
        self._end, self._whole = b"", False
        return found
