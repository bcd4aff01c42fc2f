"""Raw HTTP, mutated, against the running sidecar: at the upstream as many requests as h11 counts, and the same ones.

Owns what is sent and what is checked; httporacle.py knows what a stream means. The upstream reads strictly and notes
every request that was complete, so a cut never counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hypothesis import strategies as st

from tests.fuzz import httporacle
from tests.fuzz.httporacle import Read, Stream, read_stream
from tests.fuzz.live import Live, live, segments
from tests.fuzz.mutation import Change, changes
from tests.fuzz.paths import expected_target
from tests.harness import OK, RawRequest, Talk

_H = b"Host: localhost\r\n"
_SEEDS = [
    b"GET /a?b=c HTTP/1.1\r\n" + _H + b"\r\n",
    b"GET /a/%41/%7e HTTP/1.1\r\n" + _H + b"Authorization: Basic eDp5\r\nX-Foo: 1\r\nx-foo: 2\r\n\r\n",
    b"POST /p HTTP/1.1\r\n" + _H + b"Content-Length: 5\r\n\r\nhello",
    b"POST /c HTTP/1.1\r\n"
    + _H
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\n\r\n",
    b"POST /t HTTP/1.1\r\n"
    + _H
    + b"Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n1\r\na\r\n0\r\nA: b\r\n\r\n",
    b"POST /s HTTP/1.1\r\n"
    + _H
    + b"Content-Length: 44\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n__",
    b"HEAD /h HTTP/1.1\r\n" + _H + b"\r\n",
    b"GET /k HTTP/1.0\r\n\r\n",
    b"GET /k HTTP/1.0\r\nConnection: keep-alive\r\n" + _H + b"\r\n",
    b"PUT /e HTTP/1.1\r\n" + _H + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    b"GET /w HTTP/1.1\r\n"
    + _H
    + b"Connection: Upgrade, X-Foo\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Foo: 1\r\n\r\n",
    b"GET /u HTTP/1.1\r\n"
    + _H
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n\r\n",
    b"OPTIONS /o HTTP/1.1\r\n" + _H + b"Origin: http://localhost\r\nConnection: close\r\n\r\n",
    b"GET http://127.0.0.1/x HTTP/1.1\r\n" + _H + b"\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\n" + _H + b"\r\n",
    b"PROPFIND /d HTTP/1.1\r\n" + _H + b"Depth: 1\r\nContent-Length: 0\r\n\r\n",
]
_WORDS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\n\n", b"\r\n ", b"\r\n\t", b" ", b"\t", b":", b": ", b"\x00",
    b"\x0b", b"\x85",
    b"\xa0", b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: +5\r\n", b"content-length:5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding : chunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"transfer-encoding: x, chunked\r\n",
    b"Transfer-Encoding: chunked, chunked\r\n",
    b"Connection: close\r\n", b"Connection: keep-alive\r\n", b"Connection: Content-Length\r\n", b"Host: evil\r\n", _H,
    b"Host: localhost:80\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"Authorization: Bearer x\r\n",
    b"X-Auth-Sidecar-Error: x\r\n", b"Origin: null\r\n", b"0\r\n\r\n", b"0\r\n", b"00000\r\n\r\n", b"5\r\nhello\r\n",
    b"0x5", b"5 ", b"-1", b"5;a=b", b"ffffffffffffffff1", b"HTTP/1.0", b"HTTP/1.1", b"HTTP/2.0", b"HTTP/1.1 ",
    b"http/1.1", b"RTSP/1.0", b"ICE/1.0",
    b"GET ", b"get ", b"GETT ", b"GET /x HTTP/1.1\r\n" + _H + b"\r\n",
    b"GET /smuggled HTTP/1.1\r\n" + _H + b"\r\n", b"%2f",
    b"%zz", b"/../", b"#", b"?", b"*", b"/", b"//", b"\\", b"@", b"\xc3\xa9",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"'", b"\"",
]  # fmt: skip
STREAMS = st.tuples(
    st.lists(st.sampled_from(_SEEDS), min_size=1, max_size=4).map(b"".join), changes(_WORDS, 3)
)
CUTS = st.lists(st.floats(0, 1, exclude_max=True), max_size=4)
_END = b"GET /the-end HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d\d\d) ")


def check_stream(stream: tuple[bytes, list[Change]], cuts: list[float]) -> None:
    """Send it and a last request behind it; compare what the upstream and the caller got with what had to come."""
    data, made = stream
    for change in made:
        data = change.apply(data)
    judge(data + _END, cuts)


def judge(data: bytes, cuts: Sequence[float] = ()) -> None:
    """Fails when the sidecar read these bytes in another way than it has to."""
    it, expected = live(), read_stream(data)
    complete = _listening(it)
    ends = expected.closes or expected.error is not None
    # One that has to be refused is answered before it is whole.
    due = sum(request.complete or bool(httporacle.faults(request)) for request in expected.requests)
    got, closed = it.do(it.raw(segments(data, list(cuts)), ends=ends, due=due))
    try:
        served, last = _answers(expected, got, closed)
    except AssertionError as wrong:
        wrong.add_note(f"{due} answers were due; the connection ended by {it.ended}")
        raise
    assert [_of_upstream(one) for one in complete] == [_of_caller(one) for one in served], (
        "another request at the upstream"
    )
    for one in complete:
        (sent,) = one.all("Authorization")
        assert sent.startswith("Bearer "), f"{sent!r} at the upstream"
        assert one.all("Host") == [it.upstream.url.removeprefix("http://")]
        assert len(one.all("Content-Length")) + len(one.all("Transfer-Encoding")) <= 1
    assert closed or not (ends and last), "the connection is still open"


def _listening(it: Live) -> list[RawRequest]:
    """From now on, what the upstream gets whole. It reads strictly."""
    complete: list[RawRequest] = []

    async def script(talk: Talk) -> None:
        try:
            await talk.body()
        except ValueError:
            talk.request.head = b"BROKEN framing HTTP/1.1"
        complete.append(talk.request)
        await talk.send(OK if talk.request.line[:5] != "HEAD " else OK[:-2])

    it.upstream.script = script
    return complete


def _answers(stream: Stream, got: bytes, closed: bool) -> tuple[list[Read], bool]:
    """Which requests the answers say were forwarded, and whether the stream was read to its end."""
    served: list[Read] = []
    for request in stream.requests:
        refused = httporacle.faults(request)
        if not got and not request.complete and stream.error is None and not refused:
            return served, True  # waiting for the rest of it
        allowed = refused or {200}
        if not request.complete or httporacle.odd_body(request):
            allowed = allowed | {400}
        status, close, got = _one_answer(got, request.method)
        assert status in allowed, f"{status} instead of {allowed} for {request.head!r}"
        if status == 200:
            assert request.complete, "a request that is not whole was forwarded"
            served.append(request)
        if close:
            assert not got, "an answer behind the last one"
            assert closed or not request.complete, "still open behind Connection: close"
            return served, False
    broken_body = bool(stream.requests) and not stream.requests[-1].complete
    if stream.error is not None and not broken_body:
        status, close, got = _one_answer(got, "HEAD")  # or perhaps not: its answer may lack the body
        assert status in (400, 414, 431), f"{status} for what h11 cannot read: {stream.error}"
        assert close
    assert not got, f"more than was asked for: {got[:80]!r}"
    return served, True


def _one_answer(got: bytes, method: str) -> tuple[int, bool, bytes]:
    """Status, whether it says `Connection: close`, and what follows it."""
    while True:
        head, end, rest = got.partition(b"\r\n\r\n")
        found = _STATUS.match(head)
        assert found, f"no answer where one is due: {got[:80]!r}"
        assert end, "a cut answer"
        status, got = int(found[1]), rest
        if status != 100:
            break
    lengths = re.findall(rb"(?i)\r\ncontent-length: (\d+)", head)
    assert len(lengths) == 1, "an answer whose end is not clear"
    assert (b"X-Auth-Sidecar-Error" in head) == (status != 200), "an error that is not the sidecar's"
    close = b"\r\nConnection: close" in head
    # What could not be parsed has no method: its answer has a body, and is the last.
    length = int(lengths[0])
    if method == "HEAD":
        length = min(length, len(got)) if status == 400 and close else 0
    assert len(got) >= length, "a cut answer"
    return status, close, got[length:]


def _of_upstream(request: RawRequest) -> tuple[str, str, bytes]:
    return request.line.split(" ")[0], request.target, request.body


def _of_caller(request: Read) -> tuple[str, str, bytes]:
    target = expected_target(request.target)
    assert target is not None
    return request.method, target.path + target.query, request.body
