"""Requests that two servers could read differently: refused, and the upstream hears nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import RawUpstream, Sidecar, configuration, sidecar, until


@pytest.fixture
async def proxy(upstream: RawUpstream, tmp_path: Path) -> AsyncIterator[Sidecar]:
    async with sidecar(configuration(upstream.url), tmp_path) as started:
        yield started


H = b"Host: localhost\r\n"
POST = b"POST /canary HTTP/1.1\r\n" + H

MALFORMED = {
    "CL + TE": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE + CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two CL": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "CL list": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "two TE": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    **{
        f"TE {te!r}": POST + b"Transfer-Encoding: " + te + b"\r\n\r\n0\r\n\r\n"
        for te in (b",chunked", b"chunked, chunked", b"gzip, chunked", b"identity", b"xchunked", b"\x0bchunked",
                   b"chunked\xa0", b"chunked;q=1", b"chunked, identity")
    },
    **{
        f"CL {cl!r}": POST + b"Content-Length: " + cl + b"\r\n\r\nhello"
        for cl in (b"+5", b"-5", b"0x10", b"1_0", b"5 5", b"", b"1" + b"0" * 25, "٥".encode(), b"5;", b"5.0")
    },
    **{
        f"chunk {size!r}": POST + b"Transfer-Encoding: chunked\r\n\r\n" + size + b"hello\r\n0\r\n\r\n"
        for size in (b"0x5\r\n", b"+5\r\n", b" 5\r\n", b"5_0\r\n", b"\r\n", b"1" * 17 + b"\r\n", b"5\n", b"5;a=\rb\r\n",
                     b"5 \r\n", b"-5\r\n")
    },
    "bare LF after the request line": b"GET /canary HTTP/1.1\n" + H + b"\r\n",
    "bare LF after a field": b"GET /canary HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare CR in a field": b"GET /canary HTTP/1.1\r\n" + H + b"X: a\rb\r\n\r\n",
    "obs-fold": b"GET /canary HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n",
    "NUL in a value": b"GET /canary HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n",
    "CTL in a value": b"GET /canary HTTP/1.1\r\n" + H + b"X: a\x01b\r\n\r\n",
    "CTL in a name": b"GET /canary HTTP/1.1\r\n" + H + b"X\x01: a\r\n\r\n",
    "space before the colon": b"GET /canary HTTP/1.1\r\n" + H + b"X : a\r\n\r\n",
    "empty name": b"GET /canary HTTP/1.1\r\n" + H + b": a\r\n\r\n",
    "no colon": b"GET /canary HTTP/1.1\r\n" + H + b"canary\r\n\r\n",
    "no Host": b"GET /canary HTTP/1.1\r\n\r\n",
    "two Hosts": b"GET /canary HTTP/1.1\r\n" + H + H + b"\r\n",
    **{
        f"Host {host!r}": b"GET /canary HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        for host in (b"", b"u@localhost", b"localhost, localhost", b"localhost/x", b"local host", b"localhost:99999",
                     b"localhost:x", b"[::1", b"localhost#", b"localhost\\x")
    },
    "HTTP/2.0": b"GET /canary HTTP/2.0\r\n" + H + b"\r\n",
    "RTSP": b"GET /canary RTSP/1.0\r\n" + H + b"\r\n",
    "RTSP behind empty lines": b"\r\n\r\nGET /canary RTSP/1.0\r\n" + H + b"\r\n",
    "ICE": b"SOURCE /canary ICE/1.0\r\n" + H + b"\r\n",
    "HTTP/1.2": b"GET /canary HTTP/1.2\r\n" + H + b"\r\n",
    "no slash": b"GET canary HTTP/1.1\r\n" + H + b"\r\n",
    "asterisk": b"GET * HTTP/1.1\r\n" + H + b"\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n",
    "asterisk and path": b"GET */canary HTTP/1.1\r\n" + H + b"\r\n",
    "authority-form": b"GET localhost:80 HTTP/1.1\r\n" + H + b"\r\n",
    "tab in the target": b"GET /can\tary HTTP/1.1\r\n" + H + b"\r\n",
    "DEL in the target": b"GET /can\x7fary HTTP/1.1\r\n" + H + b"\r\n",
    "unknown method": b"CANARY / HTTP/1.1\r\n" + H + b"\r\n",
    "TLS on a plain port": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}  # fmt: skip


@pytest.mark.parametrize("way", ["in one piece", "byte by byte"])
@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
async def test_malformed_request_is_refused(
    proxy: Sidecar, upstream: RawUpstream, data: bytes, way: str
) -> None:
    """400, nothing of the input in it, the connection closed; no whole request at the upstream."""
    got = await proxy.raw(data, byte_by_byte=way == "byte by byte")
    assert got.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert got.count(b"HTTP/1.1 4") == 1
    assert b"X-Auth-Sidecar-Error: bad_request\r\n" in got
    assert b"Connection: close\r\n" in got
    assert b"canary" not in got
    await until(lambda: upstream.open == 0 or not upstream.requests)
    assert all(not r.body and r.all("Transfer-Encoding") for r in upstream.requests)


async def test_good_request_before_a_malformed_one_is_answered(proxy: Sidecar, upstream: RawUpstream) -> None:
    """One request's fate never decides another's: 200, then 400."""
    got = await proxy.raw(b"GET /a HTTP/1.1\r\n" + H + b"\r\nGET /b HTTP/1.1\r\nX Y: z\r\n\r\n")
    assert got.index(b"200 OK") < got.index(b"400 Bad Request")
    assert len(upstream.requests) == 1


async def test_bytes_behind_connection_close_are_no_request(proxy: Sidecar, upstream: RawUpstream) -> None:
    """The first request is answered, the rest is dropped with the connection."""
    got = await proxy.raw(
        b"GET /a HTTP/1.1\r\nConnection: close\r\n" + H + b"\r\nGET /b HTTP/1.1\r\n" + H + b"\r\n"
    )
    assert got.count(b"HTTP/1.1 ") == 1
    assert got.endswith(b"ok")
    assert [r.line for r in upstream.requests] == ["GET /a HTTP/1.1"]


async def test_refusal_is_read_by_a_caller_that_goes_on_sending(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """RFC 9112 section 9.6. Closing as soon as the body is read would reset the connection, and the answer with it."""
    for turns in range(20):
        caller = await proxy.caller()
        await caller.send(b"POST /canary HTTP/1.1\r\nHost: a:b:c\r\nContent-Length: 5\r\n\r\nhel")
        for piece in (b"l", b"o", b"nonsense\r\n\r\n", b"x" * 1000):
            caller.writer.write(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        answer = await caller.answer()
        assert (answer.status, answer.error) == (400, "bad_request")
        assert await caller.closed() == b""
        caller.close()
    assert not upstream.requests


async def test_refusal_is_read_also_when_the_body_turns_out_malformed(proxy: Sidecar) -> None:
    """It is not wanted any more, and not looked at."""
    for turns in range(20):
        caller = await proxy.caller()
        await caller.send(
            b"POST /canary HTTP/1.1\r\nHost: a:b:c\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        )
        for piece in (b"zz\r\n", *[b"x" * 1000] * turns):
            caller.writer.write(piece)
            for _ in range(turns):
                await asyncio.sleep(0)
        answer = await caller.answer()
        assert (answer.status, answer.error) == (400, "bad_request")
        assert await caller.closed() == b""
        caller.close()


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"3\r\nabc\r\n", b"zz\r\n"),
        (b"3\r\nabc", b"\r\nzz\r\n"),
        (b"3\r\nabc", b"\r\n0\r\nA: b\r\n\r\xa0\r\n\r\n"),
    ],
    ids=["in a chunk's size", "behind a chunk's end", "in the trailers"],
)
async def test_body_that_turns_out_malformed_is_a_cut_at_the_upstream(
    proxy: Sidecar, upstream: RawUpstream, first: bytes, then: bytes
) -> None:
    """Its head has gone out by then: the caller gets 400, the upstream no last chunk.

    A chunk's end wakes whoever waits for the body; an error in the same segment must not be missed by that.
    """
    seen: list[bytes] = []

    async def record(talk: object) -> None:
        reader = talk.reader  # type: ignore[attr-defined]
        while piece := await reader.read(100):
            seen.append(piece)

    upstream.script = record
    caller = await proxy.caller()
    await caller.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + first)
    await until(lambda: b"".join(seen) == b"3\r\nabc\r\n")
    await caller.send(then)
    answer = await caller.answer()
    assert (answer.status, answer.error) == (400, "bad_request")
    assert await caller.closed() == b""
    await until(lambda: upstream.open == 0)
    assert b"".join(seen) == b"3\r\nabc\r\n"


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + H + b"\r\n", (200,)),
        (b"GET / HTTP/1.1\r\n" + H + b"X: " + b"y" * 30_000 + b"\r\n\r\n", (200,)),
        (b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * 198 + b"\r\n", (200,)),
        (b"GET / HTTP/1.1\r\n" + H + b"X: y\r\n" * 250 + b"\r\n", (431,)),
        (b"GET / HTTP/1.1\r\n" + H + b"X: " + b"y" * 33_000 + b"\r\n\r\n", (431,)),
        (b"GET / HTTP/1.1\r\n" + H + (b"X: " + b"y" * 1000 + b"\r\n") * 40 + b"\r\n", (431,)),
        (b"GET / HTTP/1.1\r\n" + H + b"X" * 70_000 + b": y\r\n\r\n", (431,)),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n" + H + b"\r\n", (414, 431)),
        (b"GET / HTTP/1.1\r\n" + H + (b"X: " + b"y" * 1000 + b"\r\n") * 200, (431,)),
    ],
)  # fmt: skip
async def test_head_passes_up_to_the_limit(proxy: Sidecar, data: bytes, statuses: tuple[int, ...]) -> None:
    """max_header_bytes over request line and fields together, 200 fields; above: 431, closed."""
    caller = await proxy.caller()
    await caller.send(data)
    answer = await caller.answer()
    assert answer.status in statuses
    if answer.status != 200:
        assert answer.error == "headers_too_large"
        assert await caller.closed() == b""


async def test_slow_head_is_closed_with_408(upstream: RawUpstream, tmp_path: Path) -> None:
    """A connection that has not sent a whole head by header_timeout; one that has is not touched."""
    mapping = configuration(upstream.url, limits={"header_timeout": "300ms"})
    async with sidecar(mapping, tmp_path) as started:
        silent, slow, done = await started.caller(), await started.caller(), await started.caller()
        await slow.send(b"GET / HT")
        assert (await done.ask("/")).status == 200
        for caller in (silent, slow):
            answer = await caller.answer()
            assert (answer.status, answer.error) == (408, "request_timeout")
            assert await caller.closed() == b""
        assert (await done.ask("/")).status == 200
        assert (
            await started.metric("auth_sidecar_errors_total", code="request_timeout", route="(unmapped)") == 2
        )


@pytest.mark.parametrize("method", ["CONNECT", "TRACE"])
async def test_connect_and_trace_are_405(proxy: Sidecar, upstream: RawUpstream, method: str) -> None:
    """CONNECT with a hint at what to do instead."""
    target = b"example.com:443" if method == "CONNECT" else b"/"
    got = await proxy.raw(
        method.encode() + b" " + target + b" HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n"
    )
    assert got.startswith(b"HTTP/1.1 405 ")
    assert b"\r\nAllow: " in got
    assert method == "TRACE" or b"http:// base URL" in got
    assert not upstream.requests


async def test_other_expectations_are_417(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Only 100-continue can be met."""
    answer = await proxy.ask("/", "Expect: bogus")
    assert (answer.status, answer.error) == (417, "expectation_failed")
    assert not upstream.requests
