"""Fields as bytes, one by one: what crosses and what the proxy knows of it, in requests and in answers."""

from __future__ import annotations

import pytest

from sidecar.errors import BadRequest
from sidecar.proxy import answerhead
from sidecar.proxy.answerhead import AnswerHead, plain
from sidecar.proxy.headers import RequestFields, RequestHead, connection_names, folded, tokens

_NOT_OF_A_FIELD = {"lines", "fields", "from_elsewhere"}
ODD_CASES = (bytes.lower, bytes.upper, bytes.title, bytes.swapcase)


def head(*lines: bytes, subjects: tuple[str, ...] = ("X-On-Behalf-Of", "Authorization")) -> RequestHead:
    """Each line `Name: value`, read with a table that has seen nothing yet."""
    return RequestHead(
        RequestFields(subjects), [(n, v) for n, _, v in (line.partition(b": ") for line in lines)]
    )


@pytest.mark.parametrize("case", ODD_CASES)
@pytest.mark.parametrize(
    ("name", "value", "attribute", "known"),
    [
        (b"Host", b"h", "host", b"h"),
        (b"Authorization", b"Basic x", "authorizations", [b"Basic x"]),
        (b"Connection", b"close", "connection", b"close"),
        (b"Transfer-Encoding", b"chunked", "transfer_encoding", b"chunked"),
        (b"Upgrade", b"websocket", "upgrade", b"websocket"),
        (b"Expect", b"100-continue", "expect", b"100-continue"),
        (b"Keep-Alive", b"5", None, None),
        (b"Proxy-Connection", b"x", None, None),
        (b"Proxy-Authorization", b"x", None, None),
        (b"Proxy-Authenticate", b"x", None, None),
        (b"TE", b"trailers", None, None),
        (b"Trailer", b"x", None, None),
        (b"HTTP2-Settings", b"x", None, None),
        (b"X-Auth-Sidecar-Error", b"x", None, None),
    ],
)
def test_field_of_the_hop_stays_and_is_known(
    case: object, name: bytes, value: bytes, attribute: str | None, known: object
) -> None:
    """In any case; nothing else is known then."""
    assert callable(case)
    spelt = case(name)
    found = head(b"A: 1", spelt + b": " + value, b"B: 2")
    assert found.lines == [b"A: 1\r\n", b"B: 2\r\n"]
    rest = {name: getattr(found, name) for name in RequestHead.__slots__ if name not in _NOT_OF_A_FIELD}
    if attribute is not None:
        assert rest.pop(attribute) == known
    assert set(rest.values()) == {None}


def without_own(value: bytes) -> bytes:
    """As if the sidecar's cookie were `own`."""
    return b"; ".join(cookie for cookie in value.split(b"; ") if not cookie.startswith(b"own="))


@pytest.mark.parametrize("case", ODD_CASES)
def test_own_cookies_stay_and_the_apps_cross_where_people_sign_in(case: object) -> None:
    """However many Cookie fields there are; all that came is known."""
    assert callable(case)
    came = [b"a=1; own=x; b=2", b"own=y", b"c=3"]
    name = case(b"Cookie")
    found = RequestHead(RequestFields(own_cookies=without_own), [(name, value) for value in came])
    assert found.cookies == came
    assert found.lines == [name + b": a=1; b=2\r\n", name + b": c=3\r\n"]


@pytest.mark.parametrize("case", ODD_CASES)
def test_how_a_browser_came_here_is_known_where_people_sign_in_and_crosses(case: object) -> None:
    """Nobody is taken for somebody who followed a link before that was looked at."""
    assert callable(case)
    raw = [(case(b"Sec-Fetch-Mode"), b"navigate"), (case(b"Sec-Fetch-Dest"), b"iframe")]
    found = RequestHead(RequestFields(own_cookies=without_own), raw)
    assert (found.fetch_mode, found.fetch_dest) == (b"navigate", b"iframe")
    assert not found.navigates
    assert RequestHead(RequestFields(own_cookies=without_own), raw[:1]).navigates
    assert found.from_elsewhere is False
    assert found.lines == [b"%b: %b\r\n" % pair for pair in raw]


@pytest.mark.parametrize("name", [b"Cookie", b"Sec-Fetch-Mode", b"Sec-Fetch-Dest"])
def test_fields_of_people_are_plain_where_nobody_signs_in(name: bytes) -> None:
    """Every browser sends them with every request; nobody looks at them."""
    found = head(name + b": navigate")
    assert found.lines == [name + b": navigate\r\n"]
    assert (found.cookies, found.fetch_mode, found.fetch_dest, found.navigates) == (None, None, None, False)


@pytest.mark.parametrize("case", ODD_CASES)
def test_subject_and_what_looks_like_it_stays(case: object) -> None:
    """Spelled as configured or with `_` and `-` mixed up; its name is told in lower case."""
    assert callable(case)
    names = [case(b"X-On-Behalf-Of"), case(b"X_On_Behalf_Of"), case(b"X-On_Behalf-Of")]
    found = head(*(name + b": v" for name in names), b"X-On-Behalf-Off: x")
    assert found.lines == [b"X-On-Behalf-Off: x\r\n"]
    assert found.subjects == [(name.lower(), b"v") for name in names]
    assert found.authorizations is None


def test_identity_in_authorization_is_no_subject_field() -> None:
    """It is removed as what it is; a lookalike of it is an ordinary field, which no server takes for it."""
    found = head(b"Authorization: Bearer x", b"authorization: Bearer y")
    assert found.authorizations == [b"Bearer x", b"Bearer y"]
    assert found.subjects is None


def test_fields_given_twice_are_put_together_or_told() -> None:
    """As lists where they are lists; a second one of a kind is never lost where it decides something."""
    found = head(
        b"Connection: X-A", b"connection: X-B", b"Upgrade: a", b"upgrade: b", b"Expect: 100-continue", b"expect: x",
        b"Origin: a", b"ORIGIN: b", b"Sec-Fetch-Site: none", b"X-A: 1", b"X-B: 2", b"X-C: 3",
    )  # fmt: skip
    assert (found.connection, found.upgrade, found.expect) == (b"X-A,X-B", b"a,b", b"100-continue,x")
    assert found.origins == [b"a", b"b"]
    assert found.fetch_site == b"none"
    assert found.lines == [b"Origin: a\r\n", b"ORIGIN: b\r\n", b"Sec-Fetch-Site: none\r\n", b"X-C: 3\r\n"]
    assert head(b"Sec-Fetch-Site: none", b"sec-fetch-site: same-origin").fetch_site == b"cross-site"


@pytest.mark.parametrize(("value", "sent"), [(b"0", b"0"), (b"000", b"0"), (b"010", b"10"), (b"7", b"7")])
def test_length_crosses_without_leading_zeros(value: bytes, sent: bytes) -> None:
    """Some servers read them as octal."""
    found = head(b"content-length: " + value)
    assert found.content_length == value
    assert found.lines == [b"content-length: " + sent + b"\r\n"]


def test_length_that_no_body_has_is_refused() -> None:
    """Kept in 64 bits it may be negative; zeros before it do not count."""
    assert head(b"Content-Length: " + b"0" * 20 + b"9" * 18).lines == [
        b"Content-Length: " + b"9" * 18 + b"\r\n"
    ]
    with pytest.raises(BadRequest):
        head(b"Content-Length: 1" + b"0" * 18)


def test_named_fields_go_and_guards_stay() -> None:
    """By their whole names, in any case; values with colons do not confuse it."""
    found = head(
        b"Connection: x-a ,\tX-B, Content-Length, Host",
        b"X-A: b: c",
        b"X-AB: y",
        b"X-b: 1",
        b"Content-Length: 5",
    )
    assert found.lines == [b"X-AB: y\r\n", b"Content-Length: 5\r\n"]
    assert connection_names(b"Close") == connection_names(b"KEEP-ALIVE") == frozenset()
    assert connection_names(b"close, X, Transfer-Encoding") == {b"x"}
    assert tokens(b" A\t,b ,,\x0bc") == [b"a", b"b", b"", b"\x0bc"]
    assert folded(b"a_b-c_d") == b"a-b-c-d"


def test_framing_of_the_next_hop() -> None:
    """Only what was asked for."""
    assert head().framing(websocket=False, awaits_continue=False) == []
    both = head(b"Transfer-Encoding: Chunked").framing(websocket=True, awaits_continue=True)
    assert both == [
        b"Transfer-Encoding: chunked\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Expect: 100-continue\r\n"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ((b"Connection: Upgrade", b"Upgrade: WebSocket"), True),
        ((b"Connection: keep-alive, upgrade", b"Upgrade: websocket"), True),
        ((b"Connection: Upgrade",), False),
        ((b"Upgrade: websocket",), False),
        ((b"Connection: close", b"Upgrade: websocket"), False),
        ((b"Connection: Upgrade", b"Upgrade: h2c"), False),
        ((b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"), False),
    ],
)
def test_websocket_is_wanted_by_both_fields(lines: tuple[bytes, ...], wanted: bool) -> None:
    """RFC 6455 section 4.1."""
    assert head(*lines).wants_websocket() is wanted


# -- answers ---------------------------------------------------------------------------------------------------


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> AnswerHead:
    """With a table that has seen nothing yet."""
    monkeypatch.setattr(answerhead, "_known", {})
    return AnswerHead()


def test_answer_begins_with_nothing(answer: AnswerHead) -> None:
    """Each attribute says that nothing was said."""
    assert (answer.lines, answer.chunked, answer.odd_encoding) == ([], False, False)
    assert (answer.connection, answer.content_length, answer.upgrade) == (None, None, None)
    assert answer.render(200, b"OK") == b"HTTP/1.1 200 OK\r\n\r\n"
    assert not answer.says_close()


@pytest.mark.parametrize(
    ("values", "odd"),
    [
        ([b"chunked"], False),
        ([b" Chunked\t"], False),
        ([b"gzip"], True),
        ([b"chunked", b"chunked"], True),
        ([b"chunked", b"gzip"], True),
        ([b"\x0bchunked"], True),
        ([b"Xchunked"], True),
        ([b"chunkedX"], True),
    ],
)
def test_coding_is_chunked_once_or_odd(answer: AnswerHead, values: list[bytes], odd: bool) -> None:
    """Blanks around it do not count; anything else is refused later."""
    for value in values:
        answer.add(b"Transfer-Encoding", value)
    assert answer.chunked
    assert answer.odd_encoding is odd
    assert answer.lines == []


def test_answer_fields_cross_in_order_without_those_of_the_hop(answer: AnswerHead) -> None:
    """Including what both Connection fields name; a value with a colon is no name."""
    for name, value in (
        (b"Server", b"a: b"), (b"CONNECTION", b"X-Secret"), (b"connection", b"Close"), (b"X-Secret", b"s: t"),
        (b"Set-Cookie", b"a"), (b"set-cookie", b"b"), (b"content-LENGTH", b"12"), (b"Keep-Alive", b"5"),
        (b"Upgrade", b"websocket"), (b"Trailer", b"x"), (b"Proxy-Authenticate", b"x"), (b"Proxy-Connection", b"x"),
        (b"TE", b"x"), (b"x-auth-sidecar-error", b"x"), (b"X-Empty", b""),
    ):  # fmt: skip
        answer.add(name, value)
    assert (answer.content_length, answer.connection, answer.upgrade) == (12, b"X-Secret,Close", b"websocket")
    assert answer.says_close()
    sent = b"Server: a: b\r\nSet-Cookie: a\r\nset-cookie: b\r\n"
    assert (
        answer.render(404, b"No")
        == b"HTTP/1.1 404 No\r\n" + sent + b"content-LENGTH: 12\r\nX-Empty: \r\n\r\n"
    )
    without = answer.render(204, b"", b"X: y\r\n", without_length=True)
    assert without == b"HTTP/1.1 204 \r\n" + sent + b"X-Empty: \r\nX: y\r\n\r\n"


def test_close_is_a_word_of_a_list(answer: AnswerHead) -> None:
    """Not a part of one."""
    answer.add(b"Connection", b"closed, x-close")
    assert not answer.says_close()
    answer.add(b"Connection", b" CLOSE\t")
    assert answer.says_close()


def test_plain_answer_up_to_its_bounds(answer: AnswerHead) -> None:
    """Exactly as many bytes of head, and as many fields, as may be; a body may look like the end of a head."""
    for name in (b"Server", b"Content-Length", b"Connection"):
        answer.add(name, b"1" if name == b"Content-Length" else b"x")
    body = b"a\r\n\r\nConnection: keep-alive\r\n\r\n"
    lines = b"HTTP/1.1 200 OK\r\nServer: a: b\r\nContent-Length: %d" % len(body)
    data = lines + b"\r\n\r\n" + body
    assert plain(data, len(lines)) == (data, len(lines))
    assert plain(data, len(lines) - 1) is None
    kept = lines + b"\r\nConnection: keep-alive"
    assert plain(kept + b"\r\n\r\n" + body, 4096) == (data, len(lines))
    many = b"HTTP/1.1 200 OK" + b"\r\nServer: x" * 199 + b"\r\nContent-Length: 0"
    assert plain(many + b"\r\n\r\n", 1 << 20) is not None
    assert plain(many.replace(b"\r\nContent", b"\r\nServer: x\r\nContent") + b"\r\n\r\n", 1 << 20) is None
    assert plain(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", 4096) is None
    for odd in (b"Server:  x", b"Server: \tx", b"Transfer-Encoding: chunked", b"Upgrade: x"):
        assert plain(b"HTTP/1.1 200 OK\r\n" + odd + b"\r\nContent-Length: 0\r\n\r\n", 4096) is None
