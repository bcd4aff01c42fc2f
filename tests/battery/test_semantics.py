"""What crosses the proxy, both ways: RFC 9110 as a proxy has to keep it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import (
    OK,
    RawUpstream,
    Sidecar,
    Talk,
    answer_ok,
    answering,
    configuration,
    sidecar,
    until,
)

NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"


@pytest.fixture(params=["new connection", "kept connection"])
async def proxy(
    upstream: RawUpstream, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Sidecar]:
    """A request that finds a connection at hand is served by callbacks, the first one by a task."""
    async with sidecar(configuration(upstream.url), tmp_path) as started:
        if request.param == "kept connection":
            await started.ask("/")
            upstream.requests.clear()
        yield started


async def test_end_to_end_fields_cross_in_order_with_duplicates(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """Values, order, spelling and repetition are the caller's; nothing is added but Host."""
    sent = [f"X-Field-{n}: value {n}" for n in range(18)] + [
        "x-oDD: a",
        "x-oDD: b",
        "X-Empty:",
        "Cookie: a=b; c=d",
    ]
    await proxy.ask("/a?b=c", *sent)
    got = [f"{n}: {v}".rstrip() for n, v in upstream.requests[0].headers]
    assert upstream.requests[0].line == "GET /a?b=c HTTP/1.1"
    assert got == [f"Host: 127.0.0.1:{upstream.port}", *sent]


async def test_hop_by_hop_fields_stay(proxy: Sidecar, upstream: RawUpstream) -> None:
    """RFC 9110 section 7.6.1: they are between the caller and the sidecar."""
    await proxy.ask(
        "/", "Connection: keep-alive, X-Foo", "Keep-Alive: 5", "Proxy-Connection: x", "Proxy-Authorization: Basic eA==",
        "TE: gzip", "Trailer: X", "X-Foo: gone", "X-Bar: kept", "X-Auth-Sidecar-Error: forged", "HTTP2-Settings: x",
    )  # fmt: skip
    assert [n for n, _ in upstream.requests[0].headers] == ["Host", "X-Bar"]


async def test_naming_guarded_fields_in_connection_changes_nothing(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """Host and Content-Length cannot be taken off by naming them."""
    await proxy.ask("/", "Connection: Host, Content-Length, Authorization", method="POST", body=b"abc")
    assert upstream.requests[0].all("Content-Length") == ["3"]
    assert upstream.requests[0].all("Host") == [f"127.0.0.1:{upstream.port}"]
    assert upstream.requests[0].body == b"abc"


async def test_callers_authorization_never_crosses(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Also on a route without a token, in any spelling and number."""
    await proxy.ask("/", "Authorization: Bearer mine", "aUTHORIZATION: Basic eA==")
    assert upstream.requests[0].all("Authorization") == []


ANSWER = (
    b'HTTP/1.1 207 Strange Reason\r\nSet-Cookie: a=1\r\nX-D: 1\r\nset-cookie: b=2\r\nETag: W/"x"\r\nX-D: 2\r\n'
    b"Server: theirs\r\nSet-Cookie: c=3\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\n\x00\xff\x1f\x8b"
)


async def test_answer_crosses_untouched(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Status, reason, fields in order with duplicates, and body bytes: byte for byte."""
    upstream.script = answering(ANSWER)
    answer = await proxy.ask("/")
    assert answer.head + b"\r\n\r\n" + answer.body == ANSWER


async def test_hop_by_hop_fields_of_the_answer_stay(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Those that `Connection` names, and a forged error field."""
    upstream.script = answering(
        b"HTTP/1.1 200 OK\r\nConnection: X-Secret, Keep-Alive\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nX-Kept: 1\r\n"
        b"X-Auth-Sidecar-Error: forged\r\nContent-Length: 0\r\n\r\n"
    )
    answer = await proxy.ask("/")
    assert [n for n, _ in answer.headers] == ["X-Kept", "Content-Length"]


@pytest.mark.parametrize(
    ("method", "upstream_answer", "head"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", b"Content-Length: 1234"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"200 OK"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", b"X: y"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n", b"Content-Length: 99"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n", b"304 Not Modified"),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", b"204 No Content"),
    ],
)
async def test_answers_without_body_keep_both_connections_usable(
    proxy: Sidecar, upstream: RawUpstream, method: str, upstream_answer: bytes, head: bytes
) -> None:
    """HEAD, 204 and 304 end with their head; the next requests use the same connections."""
    upstream.script = answering(upstream_answer)
    caller = await proxy.caller()
    for _ in range(3):
        answer = await caller.ask("/", method=method)
        assert head in answer.head
        if answer.status == 204:  # RFC 9110 section 8.6
            assert answer.all("Content-Length") == []
    upstream.script = answer_ok
    assert (await caller.ask("/")).body == b"ok"
    assert upstream.connections == 1


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\nhello"),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nstowaway",
        ),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok!"),
        # Nothing but the first line of the stowaway tells of it, or not even all of that.
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + NO_CONTENT),
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nX: "),
        ("GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + NO_CONTENT),
    ],
)
async def test_bytes_too_many_reach_nobody(
    proxy: Sidecar, upstream: RawUpstream, method: str, answer: bytes
) -> None:
    """A stowaway answer is never given to the next request: its connection is not used again."""
    upstream.script = answering(answer)
    first = await proxy.ask("/", method=method)
    assert first.status in (200, 204)
    assert first.body in (b"", b"ok")
    upstream.script = answer_ok
    for _ in range(3):
        assert (await proxy.ask("/")).body == b"ok"
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        NO_CONTENT,
    ],
    ids=["counted", "chunked", "without a body"],
)
async def test_answer_that_nobody_asked_for_ends_its_connection(
    proxy: Sidecar, upstream: RawUpstream, answer: bytes
) -> None:
    """It comes while the connection rests, long after the answer before it: nobody is sent over that connection."""
    first_is_served = asyncio.Event()

    async def speaks_again(talk: Talk) -> None:
        await talk.send(answer)
        await first_is_served.wait()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nstowaway")
        await talk.reader.read()

    upstream.script = speaks_again
    assert (await proxy.ask("/")).status in (200, 204)
    pool = proxy.app.proxy.serving.pool
    await until(lambda: pool.counts() == (1, 0), "the connection resting")
    first_is_served.set()
    await until(lambda: upstream.open == 0, "the connection's end")
    upstream.script = answer_ok
    assert (await proxy.ask("/")).body == b"ok"
    assert upstream.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    ],
)
async def test_upstream_that_dies_in_the_body_cuts_the_caller(
    proxy: Sidecar, upstream: RawUpstream, answer: bytes
) -> None:
    """Never a complete 200, never a last chunk."""
    upstream.script = answering(answer, close=True)
    got = await proxy.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    if not got.startswith(b"HTTP/1.1 502 "):  # noticed before anything had been passed on
        assert got == b"" or (got.startswith(b"HTTP/1.1 200 OK\r\n") and b"\r\n0\r\n" not in got)
        assert len(got.partition(b"\r\n\r\n")[2].replace(b"5\r\n", b"").strip()) <= len(b"short")
    assert await proxy.metric("auth_sidecar_errors_total", code="upstream_protocol_error", route="all") == 1


async def test_close_delimited_answer_is_framed_anew(proxy: Sidecar, upstream: RawUpstream) -> None:
    """A body that ends with the upstream's connection reaches a kept-alive caller whole."""
    upstream.script = answering(b"HTTP/1.0 200 OK\r\nX: y\r\n\r\nall of it", close=True)
    caller = await proxy.caller()
    for _ in range(2):
        answer = await caller.ask("/")
        assert (answer.status, answer.body) == (200, b"all of it")


@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5, b"HTTP/1.1 102 P\r\n\r\n"]
)
async def test_interim_answers_are_never_merged(
    proxy: Sidecar, upstream: RawUpstream, interim: bytes
) -> None:
    """Their fields belong to nobody else."""
    upstream.script = answering(interim + OK)
    answer = await proxy.ask("/")
    assert answer.head == b"HTTP/1.1 200 OK\r\nContent-Length: 2"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nframe",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 O\x1bK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x50",
        b"HTTP/1.1 200 OK\r\n"
        + b"".join(b"X-%d: y\r\n" % n for n in range(250))
        + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"",
    ],
    ids=lambda a: a[:60].decode("latin-1"),
)
async def test_unreadable_answer_is_a_502(proxy: Sidecar, upstream: RawUpstream, answer: bytes) -> None:
    """One generic problem document; nothing of what the upstream said is in it."""
    upstream.script = answering(answer, close=True)
    got = await proxy.ask("/", method="POST", body=b"x")
    assert (got.status, got.error) == (502, "upstream_protocol_error")
    assert b"folded" not in got.body
    assert await proxy.metric("auth_sidecar_errors_total", code="upstream_protocol_error", route="all") == 1


async def test_large_response_head_within_the_limit_crosses(proxy: Sidecar, upstream: RawUpstream) -> None:
    """As large as a request's may be, and as many fields."""
    fields = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 100) for n in range(190))
    upstream.script = answering(b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: 0\r\n\r\n")
    assert len((await proxy.ask("/")).headers) == 191


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_passed_on_never_followed(
    proxy: Sidecar, upstream: RawUpstream, status: int
) -> None:
    """Whoever asked follows, or not."""
    upstream.script = answering(
        b"HTTP/1.1 %d R\r\nLocation: %b/b\r\nContent-Length: 0\r\n\r\n" % (status, b"http://x")
    )
    answer = await proxy.ask("/a")
    assert (answer.status, answer.all("Location")) == (status, ["http://x/b"])
    assert len(upstream.requests) == 1


async def test_http_1_0_caller_gets_no_chunks_and_a_close(proxy: Sidecar, upstream: RawUpstream) -> None:
    """With and without Host; a chunked answer is sent plainly and ends with the connection."""
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    for host in (b"", b"Host: localhost\r\n"):
        got = await proxy.raw(b"GET / HTTP/1.0\r\n" + host + b"\r\n")
        assert got == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "PROPFIND", "PATCH"])
async def test_bodies_cross_with_any_method(proxy: Sidecar, upstream: RawUpstream, method: str) -> None:
    """A body is never dropped while its length is kept."""
    await proxy.ask("/", method=method, body=b"body!")
    assert (upstream.requests[0].body, upstream.requests[0].line) == (b"body!", f"{method} / HTTP/1.1")


async def test_chunked_body_and_its_trailers(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Chunks cross, extensions and trailers are dropped: none becomes a field, of this request or the next."""
    caller = await proxy.caller()
    await caller.send(
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3;ext=1\r\nabc\r\n"
        b"0\r\nAuthorization: Bearer evil\r\nX-Trailer: 1\r\n\r\n"
        b"GET /b HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    assert (await caller.answer()).status == (await caller.answer()).status == 200
    first, second = upstream.requests
    assert (first.body, first.all("Transfer-Encoding"), first.all("Content-Length")) == (
        b"abc",
        ["chunked"],
        [],
    )
    assert [n for n, _ in second.headers] == ["Host"]


async def test_trailers_of_the_answer_are_dropped(proxy: Sidecar, upstream: RawUpstream) -> None:
    """They never become header fields."""
    upstream.script = answering(
        b"HTTP/1.1 200 OK\r\nTrailer: Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n0\r\nSet-Cookie: a=b\r\n\r\n"
    )
    caller = await proxy.caller()
    answer = await caller.ask("/")
    assert (answer.body, answer.all("Set-Cookie"), answer.all("Trailer")) == (b"abc", [], [])
    upstream.script = answer_ok
    assert (await caller.ask("/")).body == b"ok"
    assert upstream.connections == 1


async def test_trailer_without_end_is_cut_off(proxy: Sidecar, upstream: RawUpstream) -> None:
    """A field that never ends costs no memory and no time, wherever it stands."""

    async def drones(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: ")
        while True:
            await talk.send(b"x" * 65536)

    upstream.script = drones
    got = await proxy.raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert not got.endswith(b"0\r\n\r\n")
    assert await proxy.metric("auth_sidecar_errors_total", code="upstream_protocol_error", route="all") == 1


async def test_connection_that_ends_behind_an_odd_body_says_so(proxy: Sidecar, upstream: RawUpstream) -> None:
    """A chunked body of very many empty lines: served, and the end of the connection announced or not needed."""
    caller = await proxy.caller()
    body = b"\r\n\r\n" * 2000
    chunked = (
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    )
    await caller.send(chunked % (len(body), body))
    answer = await caller.answer()
    assert answer.body == b"ok"
    if answer.all("Connection") != ["close"]:
        assert (await caller.ask("/b")).body == b"ok"
    assert upstream.requests[0].body == body


async def test_length_with_thousands_of_zeros(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Legal, and as short as it can be when it goes up."""
    caller = await proxy.caller()
    await caller.send(
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"0" * 6000 + b"5\r\n\r\nhello"
    )
    assert (await caller.answer()).status == 200
    assert (upstream.requests[0].all("Content-Length"), upstream.requests[0].body) == (["5"], b"hello")


async def test_leading_zeros_of_a_length_are_taken_off(proxy: Sidecar, upstream: RawUpstream) -> None:
    """`010` is ten to one server and eight to another."""
    caller = await proxy.caller()
    await caller.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 010\r\n\r\n0123456789")
    assert (await caller.answer()).status == 200
    assert upstream.requests[0].all("Content-Length") == ["10"]


async def test_unknown_upgrade_is_served_plainly(proxy: Sidecar, upstream: RawUpstream) -> None:
    """h2c and its settings stay here, and the requests behind it are answered, in order, once each."""
    caller = await proxy.caller()
    await caller.send(
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: x\r\nContent-Length: 3\r\n\r\nabc"
        b"GET /b HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n"
        b"GET /c HTTP/1.1\r\nHost: localhost\r\n\r\n"
    )
    for _ in range(3):
        assert (await caller.answer()).body == b"ok"
    assert [r.line.split()[1] for r in upstream.requests] == ["/a", "/b", "/c"]
    assert [n for r in upstream.requests for n, _ in r.headers] == ["Host", "Content-Length", "Host", "Host"]


async def test_pipelined_requests_are_answered_once_in_order(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Two hundred in one segment, then one byte per segment."""

    async def echo(talk: Talk) -> None:
        path = talk.request.line.split()[1].encode()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    upstream.script = echo
    caller = await proxy.caller()
    await caller.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(200)))
    assert [(await caller.answer()).body for _ in range(200)] == [b"/%d" % n for n in range(200)]
    got = await proxy.raw(
        b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\nGET /y HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        byte_by_byte=True,
    )
    assert got.count(b"HTTP/1.1 200 OK") == 2
    assert got.index(b"/x") < got.index(b"/y")


async def test_upstream_path_is_a_prefix(upstream: RawUpstream, tmp_path: Path) -> None:
    """No slash is lost or doubled."""
    for base in ("/api", "/api/"):
        async with sidecar(configuration(upstream.url + base), tmp_path) as started:
            await started.ask("/x/")
            assert upstream.requests[-1].line == "GET /api/x/ HTTP/1.1"


async def test_many_requests_use_few_connections(proxy: Sidecar, upstream: RawUpstream) -> None:
    """One after another, from connections of their own."""
    for _ in range(50):
        await proxy.ask("/")
    assert upstream.connections == 1
