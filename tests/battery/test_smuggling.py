"""One request is one request: what two servers could read in two ways, in more shapes than test_malformed.py names."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator

import pytest

from tests.battery.stage import HOST, Stage, get
from tests.battery.wire import Malformed, Requests
from tests.harness import OK, RawRequest, Sidecar, Talk, answering, until

pytestmark = pytest.mark.battery

POST = b"POST /app/canary HTTP/1.1\r\n" + HOST
SMUGGLED = b"GET /app/smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"


async def refused(proxy: Sidecar, data: bytes, *, byte_by_byte: bool = False) -> None:
    """One 4xx, the connection closed, nothing of the input in it."""
    got = await proxy.raw(data, byte_by_byte=byte_by_byte)
    assert got.startswith(b"HTTP/1.1 4")
    assert got.count(b"HTTP/1.1 ") == 1
    assert b"X-Auth-Sidecar-Error: " in got
    assert b"canary" not in got


def no_whole_request(stage: Stage) -> bool:
    """At most a head whose body never ended."""
    return all(not r.body and r.all("Transfer-Encoding") for r in stage.upstream.requests)


@pytest.mark.parametrize("way", ["in one piece", "byte by byte"])
@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
        b"Content-Length: 5\r\ntransfer-encoding: Chunked",
        b"Content-Length: 4\r\nContent-Length: 5",
        b"Content-Length: 5,5",
        b"Transfer-Encoding: identity, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:\xa0chunked",
        b"Transfer-Encoding: \x0bchunked",
        b"Transfer-Encoding: chunked\x0c",
        b"Transfer-Encoding: \"chunked\"",
        b"Transfer-Encoding: 'chunked'",
        b"Transfer-Encoding: chu\x00nked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer_Encoding: chunked\r\nTransfer-Encoding: x",
        b"\x00Transfer-Encoding: chunked",
        b" Transfer-Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\n\tContent-Length: 5",
        b"Content-Length: 5\r\n Content-Length: 6",
        b"Content-Length: 9223372036854775808",
        b"Content-Length: 18446744073709551621",
        b"Content-Length: \xb2",
        b"Content-Length: 5 ;x",
        b"Content-Length: -0",
    ],
    ids=lambda f: f.decode("latin-1").encode("unicode_escape").decode(),
)  # fmt: skip
async def test_framing_with_two_readings_is_refused(
    proxy: Sidecar, stage: Stage, framing: bytes, way: str
) -> None:
    """Nothing at the upstream, no token request but the one at the start."""
    await refused(proxy, POST + framing + b"\r\n\r\n0\r\n\r\n" + SMUGGLED, byte_by_byte=way == "byte by byte")
    stage.nothing_happened()


@pytest.mark.parametrize(
    "framing",
    [b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", b"Content-Length: 5\r\nExpect: x\r\n\r\nhello"],
)
async def test_refusal_survives_what_is_sent_behind_the_body(
    proxy: Sidecar, stage: Stage, framing: bytes
) -> None:
    """A reset would take the answer from a caller that has not read it: our side ends, the rest is read and dropped."""
    caller = await proxy.caller()
    await caller.send(POST + framing[:-2])
    await until(lambda: caller.answers.statuses)
    for piece in (framing[-2:], *[b"GET /more HTTP/1.1\r\n"] * 50):
        await caller.send(piece)
        await asyncio.sleep(0)
    assert (await caller.answer()).status in (400, 417)
    assert await caller.closed() == b""
    await caller.send(b"x")
    assert caller.open is False  # by the other side's end, which was no reset
    assert caller.reader.exception() is None
    stage.nothing_happened()


@pytest.mark.parametrize(
    "value", [b"Chunked", b"CHUNKED", b"\tchunked", b"chunked\t", b"  chunked  ", b"chunked "], ids=repr
)
async def test_odd_spelling_of_chunked_reaches_nobody(proxy: Sidecar, stage: Stage, value: bytes) -> None:
    """White space and case are legal: the upstream gets one canonical `chunked`, or nothing."""
    caller = await proxy.caller()
    await caller.send(
        POST + b"Transfer-Encoding:" + value + b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + get("/app/next")
    )
    if value == b"chunked\t":  # llhttp takes the tab for a part of the coding's name
        assert (await caller.answer()).error == "bad_request"
        stage.nothing_happened()
        return
    assert [(await caller.answer()).body for _ in range(2)] == [b"ok", b"ok"]
    first, second = stage.upstream.requests
    assert (first.all("Transfer-Encoding"), first.body) == (["chunked"], b"abc")
    assert second.target == "/app/next"


WHOLE = (
    b"POST /app/x HTTP/1.1\r\nHost: localhost\r\n" + CHUNKED + b"X: y\r\n\r\n3\r\nabc\r\n0\r\nT: u\r\n\r\n"
)
BREAKS = [at for at in range(len(WHOLE)) if WHOLE[at : at + 2] == b"\r\n"]


@pytest.mark.parametrize("instead", [b"\n", b"\r", b"\n\r", b"\r\r\n", b"\x0b", b"\x85"], ids=repr)
@pytest.mark.parametrize("at", BREAKS)
async def test_every_line_end_is_cr_lf(proxy: Sidecar, stage: Stage, at: int, instead: bytes) -> None:
    """In the request line, the fields, the chunks and the trailers: anything else never makes a whole request."""
    data = WHOLE[:at] + instead + WHOLE[at + 2 :] + SMUGGLED
    caller = await proxy.caller()
    await caller.send(data)
    caller.writer.write_eof()
    got = await caller.closed()
    assert got.count(b" 200 ") == 0
    assert no_whole_request(stage)


@pytest.mark.parametrize(
    "chunk",
    [
        b"0x3\r\nabc\r\n",
        b"+3\r\nabc\r\n",
        b" 3\r\nabc\r\n",
        b"3_0\r\nabc\r\n",
        b"\r\nabc\r\n",
        b"03;\nx\r\nabc\r\n",
        b"00000000000000003\r\nabc\r\n",
        b"fffffffffffffffff\r\nabc\r\n",
        b"3\nabc\r\n",
        b"3\r\nabc\n",
        b"3\r\nabcd\r\n",
        b"3\r\nab\r\n",
        b"3;a=\rb\r\nabc\r\n",
        b"3;a=\x00\r\nabc\r\n",
        b"-0\r\n\r\n",
        b"3 \r\nabc\r\n",
        b"g\r\nabc\r\n",
    ],
    ids=repr,
)
async def test_chunk_that_is_none_ends_the_request(proxy: Sidecar, stage: Stage, chunk: bytes) -> None:
    """The upstream sees no end of the body, the caller 400, and what follows is no request."""
    caller = await proxy.caller()
    await caller.send(POST + CHUNKED + b"\r\n" + chunk + b"0\r\n\r\n" + SMUGGLED)
    caller.writer.write_eof()
    got = await caller.closed()
    if chunk.startswith(b"0000"):  # legal, if it is the number that it says
        assert [r.body for r in stage.upstream.requests] in ([b"abc", b""], [])
    else:
        assert b" 200 " not in got
        assert no_whole_request(stage)


async def test_ten_mebibytes_of_extensions_are_not_forwarded(proxy: Sidecar, stage: Stage) -> None:
    """Thousands of small chunks with long extensions: one body at the upstream, no extension, no long while."""
    began = time.process_time()
    caller = await proxy.caller()
    await caller.send(POST + CHUNKED + b"\r\n" + (b"1;" + b"e" * 4000 + b"\r\nx\r\n") * 2500 + b"0\r\n\r\n")
    answer = await caller.answer()
    if answer.status == 200:
        assert stage.upstream.requests[0].body == b"x" * 2500
        assert b"eeee" not in stage.upstream.requests[0].head
    else:
        assert answer.error == "bad_request"
    assert time.process_time() - began < 10  # of the processor, not of the clock


HOSTS = [
    b"Host: localhost\x00", b"Host: localhost\x00.evil", b"Host: a@localhost", b"Host: a:b@localhost",
    b"Host: localhost, evil", b"Host: localhost:80, evil", b"Host: localhost/app", b"Host: local host",
    b"Host: localhost:99999", b"Host: localhost:-1", b"Host: localhost:8080x", b"Host: [::1", b"Host: ::1",
    b"Host: localhost?x", b"Host: localhost%00", b"Host: localhost\r\nHost: evil", b"Host: evil\r\nHost: localhost",
    b"Host: localhost\r\nhost: localhost", b"Host : localhost", b"Host:", b"X: y", b"Host: \xff",
]  # fmt: skip


@pytest.mark.parametrize("way", ["in one piece", "byte by byte"])
@pytest.mark.parametrize("host", HOSTS, ids=repr)
async def test_host_with_two_readings_is_refused(proxy: Sidecar, stage: Stage, host: bytes, way: str) -> None:
    """400 or 421; nobody hears of it."""
    data = b"GET /app/canary HTTP/1.1\r\n" + host + b"\r\nConnection: close\r\n\r\n"
    got = await proxy.raw(data, byte_by_byte=way == "byte by byte")
    assert int(got.split(b" ")[1]) in (400, 421)
    assert got.count(b"HTTP/1.1 ") == 1
    stage.nothing_happened()


@pytest.mark.parametrize(
    ("line", "statuses"),
    [
        (b"GET / HTTP/0.9", {400}),
        (b"GET /", {400}),
        (b"GET  / HTTP/1.1", {400, 403}),
        (b"GET /  HTTP/1.1", {400, 403}),
        (b" GET / HTTP/1.1", {400}),
        (b"GET / HTTP/1.1 x", {400}),
        (b"GET / http/1.1", {400}),
        (b"GET\t/ HTTP/1.1", {400}),
        (b"GET / HTTP/1.10", {400}),
        (b"GET / HTTP/11", {400}),
        (b"G\x00T / HTTP/1.1", {400}),
        (b"GET app HTTP/1.1", {400}),
        (b"GET localhost HTTP/1.1", {400}),
        (b"GET */app/x HTTP/1.1", {400}),
        (b"GET ?x HTTP/1.1", {400}),
        (b"GET /app/x#frag HTTP/1.1", {400}),
        (b"GET /app/x?a#b HTTP/1.1", {400}),
        (b"GET #/app/x HTTP/1.1", {400}),
        (b"GET ftp://localhost/app/x HTTP/1.1", {400, 421}),
        (b"GET http:///app/x HTTP/1.1", {400}),
        (b"GET http://u@127.0.0.1/app/x HTTP/1.1", {400, 421}),
        (b"GET file:///etc/passwd HTTP/1.1", {400}),
        (b"PRI * HTTP/2.0", {400}),
        (b"get /app/x HTTP/1.1", {400}),
    ],
    ids=repr,
)
@pytest.mark.parametrize("way", ["in one piece", "byte by byte"])
async def test_request_line_with_two_readings_is_refused(
    proxy: Sidecar, stage: Stage, line: bytes, statuses: set[int], way: str
) -> None:
    """Targets that are neither a path nor a URL of the upstream's, fragments, other versions."""
    data = line + b"\r\n" + HOST + b"Connection: close\r\n\r\n"
    got = await proxy.raw(data, byte_by_byte=way == "byte by byte")
    assert int(got.split(b" ")[1]) in statuses
    stage.nothing_happened()


@pytest.mark.parametrize(
    ("size", "served"), [(8, True), (16, True), (31, True), (33, False), (64, False), (128, False)]
)
@pytest.mark.parametrize("where", ["one field", "many fields", "the target"])
async def test_heads_up_to_the_limit_cross(
    proxy: Sidecar, stage: Stage, size: int, served: bool, where: str
) -> None:
    """32 KiB by default, all of it together; above 431 or 414, never 400 or 500."""
    wanted = size * 1024 - 512
    many = [f"X-{n}: " + "y" * (wanted // 100) for n in range(100)]
    data = {
        "one field": get("/app/x", "X: " + "y" * wanted),
        "many fields": get("/app/x", *many),
        "the target": get("/app/" + "y" * wanted),
    }[where]
    caller = await proxy.caller()
    await caller.send(data)
    answer = await caller.answer()
    assert answer.status == 200 if served else answer.status in (414, 431)
    assert len(stage.upstream.requests) == served


@pytest.mark.parametrize(
    ("fields", "served"), [(100, True), (128, True), (199, True), (201, False), (400, False)]
)
async def test_fields_up_to_the_limit_cross(proxy: Sidecar, fields: int, served: bool) -> None:
    """Two hundred, Host included."""
    answer = await proxy.ask("/app/x", *[f"X-{n}: y" for n in range(fields - 1)])
    assert answer.status == (200 if served else 431)


async def test_body_that_comes_after_its_head_is_one_request(proxy: Sidecar, stage: Stage) -> None:
    """The head is at the upstream before the body is sent; the next request follows behind the body."""
    heads: list[RawRequest] = []

    async def note(talk: Talk) -> None:
        heads.append(talk.request)
        await talk.body()
        await talk.send(OK)

    stage.upstream.script = note
    caller = await proxy.caller()
    await caller.send(POST + b"Content-Length: 12\r\n\r\n")
    await until(lambda: heads)
    await caller.send(b"GET /x HTTP/")
    assert (await caller.answer()).status == 200
    assert (await caller.ask("/app/next")).status == 200
    assert [(r.target, r.body) for r in stage.upstream.requests] == [
        ("/app/canary", b"GET /x HTTP/"), ("/app/next", b""),
    ]  # fmt: skip


SEEDS = [
    get("/app/a") + get("/app/b", "X: y"),
    POST + b"Content-Length: 28\r\n\r\n" + b"GET /app/s HTTP/1.1\r\nX: y\r\n\r\n"[:28] + get("/app/b"),
    WHOLE + get("/app/b"),
    get("/app/a", "Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: x") + get("/app/b"),
    POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc" + get("/app/b"),
]
NOISE = [
    b"\r",
    b"\n",
    b"\x00",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"0",
    b"1",
    b"\xff",
    b"\r\n",
    b"\r\n\r\n",
    b"GET ",
]


def mutants(number: int) -> Iterator[bytes]:
    """The same ones in every run."""
    dice = random.Random(number)
    for _ in range(60):
        data = bytearray(dice.choice(SEEDS))
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            at = dice.randrange(len(data))
            match dice.randrange(3):
                case 0:
                    data[at : at + 1] = dice.choice(NOISE)
                case 1:
                    data[at:at] = dice.choice(NOISE)
                case _:
                    del data[at : at + dice.choice((1, 1, 2, 4))]
        yield bytes(data)


@pytest.mark.parametrize("number", range(8))
async def test_mutated_requests_are_counted_alike(proxy: Sidecar, stage: Stage, number: int) -> None:
    """Never more requests at the upstream than a strict reader counts, none of them 500."""
    stage.upstream.script = answering(OK)
    for data in mutants(number):
        strict, before = Requests(), len(stage.upstream.requests)
        strict.feed(data)
        caller = await proxy.caller()
        await caller.send(data)
        caller.writer.write_eof()
        got = await caller.closed()
        assert b" 500 " not in got
        assert len(stage.upstream.requests) - before <= strict.count, data
        caller.close()


def test_strict_reader_counts_the_seeds() -> None:
    """Two requests each: what the mutants are held against."""
    for seed in SEEDS:
        strict = Requests()
        try:
            strict.feed(seed)
        except Malformed:  # pragma: no cover
            pytest.fail("the seeds are well formed")
        assert strict.count == 2
        assert strict.broken is None
