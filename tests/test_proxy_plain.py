"""The commonest answer, read without llhttp: the same bytes as with it, and nothing that llhttp would not take."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import UpstreamFault
from sidecar.proxy import answerhead
from sidecar.proxy.answer import AnswerReader
from sidecar.proxy.answerhead import AnswerHead, plain

_LIMIT = 4096
_FIELDS = [b"Server: x", b"Content-Type: text/plain", b"X-A:", b"X-A: ", b"x-a: \xe9\t", b'ETag: W/"x"']


class Taken:
    """A receiver that notes what the caller would get."""

    def __init__(self) -> None:
        self.out = b""
        self.ended = self.failed_ = False

    def answer_head(self, status: int, reason: bytes, head: AnswerHead, has_body: bool) -> None:
        self.out += head.render(status, reason)

    def answer_body(self, data: bytes) -> None:
        self.out += data

    def answer_whole(self, answer: bytes, head_end: int) -> None:
        assert answer[head_end : head_end + 4] == b"\r\n\r\n"
        self.out += answer

    def answer_end(self) -> None:
        self.ended = True

    def flush(self) -> None: ...

    def interim(self, status: int) -> None: ...

    def overdue(self) -> float | None:
        return None

    def switched(self, reason: bytes, head: AnswerHead, rest: bytes) -> None: ...

    def failed(self, fault: UpstreamFault, unanswered: bool) -> None:
        self.failed_ = True


def by_llhttp(data: bytes) -> tuple[Taken, bool]:
    """Cut behind the first byte, so that only llhttp reads it; and whether the connection can be used again."""
    reader, taken = AnswerReader(_LIMIT), Taken()
    reader.begin(taken, head_request=False, wants_upgrade=False)
    reader.feed(data[:1])
    reader.feed(data[1:])
    return taken, reader.end()


def whole(*lines: bytes, body: bytes = b"ok") -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", *lines, b"", body))


@pytest.fixture(autouse=True)
def learned() -> None:
    """The spellings that these tests use have all been seen by llhttp."""
    by_llhttp(whole(*_FIELDS, b"Content-Length: 2", b"Connection: keep-alive"))
    by_llhttp(whole(b"content-length: 2"))
    by_llhttp(
        whole(b"Transfer-Encoding: chunked", b"Keep-Alive: 5", b"X-Auth-Sidecar-Error: x", body=b"0\r\n\r\n")
    )


def normal(answer: bytes) -> bytes:
    """White space around a value is no part of it; llhttp leaves it out."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    fields = [b": ".join((n, v.strip(b" \t"))) for n, _, v in (line.partition(b":") for line in lines)]
    return b"\r\n".join((first, *fields, b"", body))


@pytest.mark.parametrize(
    "lines",
    [
        [b"Content-Length: 2"],
        [b"Server: x", b"content-length: 2", b"Content-Type: text/plain"],
        [b"Connection: keep-alive", b"Content-Length: 2"],
        [b"Content-Length: 2", b'ETag: W/"x"', b"Connection: keep-alive"],
        [b"Content-Length: 002"],
    ],
)
def test_plain_answer_is_the_one_that_llhttp_gives(lines: list[bytes]) -> None:
    """With `Connection` taken out, and everything else as it came."""
    data = whole(*lines)
    found = plain(data, _LIMIT)
    assert found is not None
    taken, reusable = by_llhttp(data)
    assert normal(found[0]) == normal(taken.out)
    assert reusable


@pytest.mark.parametrize(
    "data",
    [
        whole(b"Content-Length: 2", b"Content-Length: 2"),
        whole(b"Content-Length: 2", b"Content-Length: 3"),
        whole(b"Content-Length: +2"),
        whole(b"Content-Length: 2 "),
        whole(b"Content-Length: " + b"0" * 5000 + b"2"),
        whole(b"Content-Length: 2", b"X-A:  two spaces"),
        whole(b"Content-Length: 1"),
        whole(b"Content-Length: 3"),
        whole(b"Content-Length : 2"),
        whole(b"Content-Length: 2", b"Transfer-Encoding: chunked"),
        whole(b"Content-Length: 2", b"Connection: close"),
        whole(b"Content-Length: 2", b"Connection: keep-alive, Server", b"Server: x"),
        whole(b"Content-Length: 2", b"Connection: keep-alive", b"Connection: keep-alive"),
        whole(b"Content-Length: 2", b"X-Auth-Sidecar-Error: x"),
        whole(b"Content-Length: 2", b"Keep-Alive: 5"),
        whole(b"Content-Length: 2", b" Server: folded"),
        whole(b"Content-Length: 2", b"Server: a\nX-A: b"),
        whole(b"Content-Length: 2", b"Server: a\rb"),
        whole(b"Content-Length: 2", b"Server: a\x00b"),
        whole(b"Content-Length: 2", b"Never-Seen-Before: x"),
        whole(b"Content-Length: 2", b"no colon"),
        whole(b"Server: x"),
        whole(b"Content-Length: 2", *[b"X-A: 1"] * 300),
        whole(b"Content-Length: 2", b"X-A: " + b"x" * 5000),
        whole(b"Content-Length: 2").replace(b"1.1", b"1.0"),
        whole(b"Content-Length: 2").replace(b"200 OK", b"204 No Content"),
        whole(b"Content-Length: 2").replace(b"200 OK", b"200  OK"),
        b"HTTP/1.1 200 OK\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        b"",
    ],
)
def test_anything_out_of_the_ordinary_is_left_to_llhttp(data: bytes) -> None:
    """One odd byte, one unknown name, one length that is not exactly what is there."""
    assert plain(data, _LIMIT) is None


_LINES = st.one_of(
    st.sampled_from(
        [*_FIELDS, b"Content-Length: 2", b"Connection: keep-alive", b"Transfer-Encoding: chunked"]
    ),
    st.tuples(st.sampled_from([b"Server", b"X-A", b"Content-Length"]), st.binary(max_size=8)).map(b": ".join),
    st.binary(max_size=12),
)


@given(st.lists(_LINES, max_size=6), st.binary(max_size=6))
def test_what_is_taken_as_plain_llhttp_takes_the_same_way(lines: list[bytes], body: bytes) -> None:
    """Whatever is made of known pieces and noise: never another answer, never one that llhttp refuses."""
    data = whole(*lines, b"Content-Length: %d" % len(body), body=body)
    found = plain(data, _LIMIT)
    if found is not None:
        taken, reusable = by_llhttp(data)
        assert taken.ended
        assert not taken.failed_
        assert reusable
        assert normal(found[0]) == normal(taken.out)


@given(st.integers(min_value=1, max_value=200))
def test_answer_cut_anywhere_is_the_same_answer(cut: int) -> None:
    """One segment or two: the caller gets the same bytes, and the connection can be used again."""
    data = whole(b"Server: x", b"Content-Length: 100", b"Connection: keep-alive", body=b"b" * 100)
    reader, taken = AnswerReader(_LIMIT), Taken()
    for _ in range(2):
        reader.begin(taken, head_request=False, wants_upgrade=False)
        reader.feed(data[:cut])
        if cut < len(data):
            reader.feed(data[cut:])
        assert reader.end()
    assert taken.out == data.replace(b"\r\nConnection: keep-alive", b"") * 2


def test_bytes_behind_a_counted_body_spoil_the_connection() -> None:
    """Not one of them reaches the caller, and nobody is sent over that connection again."""
    reader, taken = AnswerReader(_LIMIT), Taken()
    reader.begin(taken, head_request=False, wants_upgrade=False)
    for piece in (whole(b"Content-Length: 10"), b"four", b"morestowaway"):
        reader.feed(piece)
    assert taken.out.endswith(b"\r\n\r\nokfourmore")
    assert taken.ended
    assert not reader.end()


def test_spellings_are_bounded() -> None:
    """An upstream that makes up names costs bounded memory."""
    for number in range(3000):
        AnswerHead().add(b"X-%d" % number, b"x")
    assert len(answerhead._known) <= 2048
