"""Which protocol a request line names, however it arrives."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sidecar.proxy.requestline import RequestLine

_REST = b"\r\nHost: x\r\nX: GET / HTTP/1.1\r\n\r\n"


@given(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"RTSP/1.0", b"ICE/1.0", b"XHTTP/1", b"HTTP/2.0", b""]),
    st.sampled_from([b"", b"\r\n", b"\n", b"\r\n\r\n\r", b"\r\r"]),
    st.lists(st.integers(0, 80), max_size=6),
)
def test_protocol_is_known_however_the_head_was_cut(protocol: bytes, before: bytes, cuts: list[int]) -> None:
    """HTTP/1.1 and HTTP/1.0 and nothing else; what stands further down does not count; the next head begins anew."""
    head = before + b"GET /HTTP/1.1 " + protocol + _REST
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(head)}), len(head)]
    pieces = [head[a:b] for a, b in pairwise(places)]
    line = RequestLine()
    for _ in range(2):
        for piece in pieces[:-1]:
            line.feed(piece)
        assert line.is_http(pieces[-1]) == (protocol in (b"HTTP/1.1", b"HTTP/1.0"))
