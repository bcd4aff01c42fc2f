"""Bodies in motion: both ways at once, slowly, endlessly, broken off."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.standin import StandIn
from tests.harness import (
    DEADLINE,
    OK,
    RawUpstream,
    Sidecar,
    Talk,
    answer_ok,
    answering,
    configuration,
    load_mapping,
    sidecar,
    until,
    with_tokens,
)


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


H = b"Host: localhost\r\n"


async def test_chunks_go_up_as_they_come(proxy: Sidecar, upstream: RawUpstream) -> None:
    """The first chunk is at the upstream before the caller sends the second."""
    caller = await proxy.caller()
    await caller.send(b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n")
    got: list[bytes] = []

    async def record(talk: Talk) -> None:
        while not b"".join(got).endswith(b"0\r\n\r\n"):
            got.append(await talk.reader.read(1000))
        await talk.send(OK)

    upstream.script = record
    for n in range(3):
        await caller.send(b"3\r\nab%d\r\n" % n)
        while b"ab%d" % n not in b"".join(got):
            await asyncio.sleep(0.001)
    await caller.send(b"0\r\n\r\n")
    assert (await caller.answer()).body == b"ok"
    assert b"".join(got) == b"3\r\nab0\r\n3\r\nab1\r\n3\r\nab2\r\n0\r\n\r\n"


@pytest.mark.parametrize("framing", [b"Content-Type: text/event-stream;charset=utf-8\r\n", b"X: y\r\n"])
async def test_events_come_down_as_they_are_written(
    proxy: Sidecar, upstream: RawUpstream, framing: bytes
) -> None:
    """An event stream is never buffered, whatever its framing."""
    step = asyncio.Event()

    async def stream(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n")
        for n in range(3):
            await step.wait()
            step.clear()
            await talk.send(b"data: %d\n\n" % n)
        talk.writer.close()

    upstream.script = stream
    caller = await proxy.caller()
    await caller.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    assert (await caller.head())[0] == 200
    for n in range(3):
        step.set()
        assert await caller.reader.readexactly(14) == b"9\r\ndata: %d\n\n\r\n" % n
    assert await caller.reader.readexactly(5) == b"0\r\n\r\n"


async def test_both_ways_at_once(proxy: Sidecar, upstream: RawUpstream) -> None:
    """An echo that answers while the request is still arriving."""

    async def echo(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        for _ in range(3):
            await talk.send(await talk.reader.readexactly(3))

    upstream.script = echo
    caller = await proxy.caller()
    await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n" + H + b"\r\n")
    await caller.head()
    for piece in (b"abc", b"def", b"ghi"):
        await caller.send(piece)
        assert await caller.reader.readexactly(3) == piece


async def test_large_bodies_cross_both_ways(proxy: Sidecar, upstream: RawUpstream) -> None:
    """24 MiB up and down again, byte for byte."""
    body = bytes(range(256)) * 4096 * 24

    async def echo(talk: Talk) -> None:
        await talk.body()
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + talk.request.body)

    upstream.script = echo
    caller = await proxy.caller()
    upload = asyncio.create_task(caller.ask("/", method="POST", body=body))
    assert (await upload).body == body


async def test_deaf_caller_holds_the_upstream_back(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Memory is bounded by the buffers between: the upstream cannot send on while nobody reads."""
    sent = 0

    async def pour(talk: Talk) -> None:
        nonlocal sent
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 30))
        while True:
            await talk.send(b"x" * 65536)
            sent += 65536

    upstream.script = pour
    caller = await proxy.caller()
    await caller.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    await caller.head()
    before = -1
    while before != sent:  # until nothing moves any more
        before = sent
        for _ in range(50):
            await asyncio.sleep(0.002)
    assert sent < 64 << 20
    caller.close()
    await until(lambda: upstream.open == 0)


async def test_deaf_upstream_holds_the_caller_back(proxy: Sidecar, upstream: RawUpstream) -> None:
    """And the caller cannot send on while the upstream does not read."""
    hold = asyncio.Event()

    async def deaf(talk: Talk) -> None:
        talk.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await hold.wait()
        talk.reset()  # a caller that leaves is not noticed before idle_timeout: it is not read from

    upstream.script = deaf
    caller = await proxy.caller()
    await caller.send(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n" % (1 << 30) + H + b"\r\n")
    sent = 0
    try:
        while sent < 64 << 20:
            caller.writer.write(b"x" * 65536)
            async with asyncio.timeout(0.5):
                await caller.writer.drain()
            sent += 65536
    except TimeoutError:
        pass
    assert sent < 64 << 20
    hold.set()


async def test_early_answer_reaches_a_caller_that_is_still_sending(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """413 and close after 1 KB of 50 MB: the caller reads it, and is told that the connection ends."""

    async def refuse(talk: Talk) -> None:
        await talk.reader.readexactly(1024)
        await talk.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
        talk.writer.close()

    upstream.script = refuse
    for _ in range(5):
        caller = await proxy.caller()
        await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 52428800\r\n" + H + b"\r\n")

        async def upload(caller=caller) -> None:  # type: ignore[no-untyped-def]
            for _ in range(800):
                await caller.send(b"x" * 65536)

        uploading = asyncio.create_task(upload())
        answer = await caller.answer()
        assert (answer.status, answer.body, answer.all("Connection")) == (413, b"no!", ["close"])
        await asyncio.wait((uploading,))
        uploading.exception()


@pytest.mark.parametrize("answer", [b"413 Too Large", b"417 No", b"200 OK"])
async def test_expect_continue_answered_at_once_poisons_nothing(
    proxy: Sidecar, upstream: RawUpstream, answer: bytes
) -> None:
    """The body that was promised and never sent must not be taken from the next request."""

    async def refuse(talk: Talk) -> None:
        if talk.request.all("Expect"):
            await talk.send(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")
            await talk.body()  # whatever came over this connection next would be taken for it
        else:
            await answer_ok(talk)

    upstream.script = refuse
    for _ in range(20):
        caller = await proxy.caller()
        await caller.send(b"POST / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 10\r\n" + H + b"\r\n")
        got = await caller.answer()
        assert (got.status, got.all("Connection")) == (int(answer[:3]), ["close"])
        caller.close()
        assert (await proxy.ask("/next")).body == b"ok"


async def test_expect_continue_is_the_upstreams_to_give(proxy: Sidecar, upstream: RawUpstream) -> None:
    """100 comes from the upstream, then the body goes up."""

    async def careful(talk: Talk) -> None:
        assert talk.request.all("Expect") == ["100-continue"]
        await talk.send(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n")
        await answer_ok(talk)

    upstream.script = careful
    caller = await proxy.caller()
    for _ in range(2):
        await caller.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" + H + b"\r\n")
        assert (await caller.head())[1] == b"HTTP/1.1 100 Continue"
        await caller.send(b"abc")
        assert (await caller.answer()).body == b"ok"
        assert upstream.requests[-1].body == b"abc"
    assert upstream.connections == 1


@pytest.mark.parametrize("late", [b"", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["never", "late"])
async def test_expect_continue_is_met_when_the_upstream_keeps_silent(
    proxy: Sidecar, upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch, late: bytes
) -> None:
    """It may not know of Expect and wait for the body, as its caller waits for 100: that is given, once."""
    monkeypatch.setattr("sidecar.proxy.attempt._PATIENCE", 0.05)
    told, sent = asyncio.Event(), asyncio.Event()

    async def silent(talk: Talk) -> None:
        await told.wait()
        await talk.send(late)
        sent.set()
        await answer_ok(talk)

    upstream.script = silent
    caller = await proxy.caller()
    await caller.send(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n" + H + b"\r\n")
    assert (await caller.head())[1] == b"HTTP/1.1 100 Continue"
    told.set()
    await sent.wait()
    await caller.send(b"abc")
    assert (await caller.answer()).body == b"ok"
    assert upstream.requests[-1].body == b"abc"


@pytest.mark.parametrize("when", ["before the answer", "in the answer", "in the request"])
async def test_caller_that_leaves_ends_the_upstream_request(
    proxy: Sidecar, upstream: RawUpstream, when: str
) -> None:
    """Nobody works for someone who is gone."""
    gone = asyncio.Event()

    async def slow(talk: Talk) -> None:
        if when == "in the answer":
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        assert await talk.reader.read(100) in (b"", b"x")
        gone.set()
        await talk.reader.read(100)

    upstream.script = slow
    caller = await proxy.caller()
    if when == "in the request":
        await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n" + H + b"\r\nx")
    else:
        await caller.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    await until(lambda: upstream.requests)
    assert upstream.connections == 1
    if when == "in the answer":
        await caller.reader.readuntil(b"\r\n\r\nx")
    caller.close()
    await until(lambda: upstream.open == 0)
    await until(lambda: proxy.app.metrics.in_flight == 0)


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_stale_pooled_connection_is_retried_once(
    proxy: Sidecar, upstream: RawUpstream, method: str
) -> None:
    """An idempotent request that meets a dead connection is sent again on a fresh one, its body with it."""
    await proxy.ask("/")

    async def dead(talk: Talk) -> None:
        if talk.request.connection == 0:
            await talk.body()
            talk.reset()
        else:
            await answer_ok(talk)

    upstream.script = dead
    answer = await proxy.ask("/", method=method, body=b"abc" if method == "PUT" else b"")
    assert (answer.status, answer.body) == (200, b"ok")
    assert [r.connection for r in upstream.requests] == [0, 0, 1]
    assert upstream.requests[-1].body == upstream.requests[-2].body


@pytest.mark.parametrize(
    ("method", "dead_connections"),
    [("POST", [0]), ("PATCH", [0]), ("GET", [0, 1])],
    ids=["POST is never repeated", "PATCH is never repeated", "GET not twice"],
)
async def test_dead_connections_end_in_502(
    proxy: Sidecar, upstream: RawUpstream, method: str, dead_connections: list[int]
) -> None:
    """What is not safe to send again is sent at most once."""
    await proxy.ask("/")

    async def dead(talk: Talk) -> None:
        await talk.body()
        talk.reset()

    upstream.script = dead
    answer = await proxy.ask("/", method=method)
    assert (answer.status, answer.error) == (502, "upstream_protocol_error")
    assert [r.connection for r in upstream.requests[1:]] == dead_connections


async def test_silent_upstream_is_a_504(upstream: RawUpstream, tmp_path: Path) -> None:
    """response_timeout: request sent, no response head."""
    mapping = configuration(upstream.url, upstream={"response_timeout": "200ms"})
    hold = asyncio.Event()

    async def silent(talk: Talk) -> None:
        await hold.wait()

    async with sidecar(mapping, tmp_path) as started:
        upstream.script = silent
        caller = await started.caller()
        answer = await caller.ask("/")
        assert (answer.status, answer.error) == (504, "upstream_timeout")
        upstream.script = answer_ok
        assert (await caller.ask("/")).body == b"ok"
        hold.set()


async def test_silence_inside_a_body_cuts_it(upstream: RawUpstream, tmp_path: Path) -> None:
    """idle_timeout, in the answer: cut; in the request: 408."""
    mapping = configuration(upstream.url, upstream={"idle_timeout": "200ms", "response_timeout": "10s"})
    hold = asyncio.Event()

    async def stalls(talk: Talk) -> None:
        if talk.request.line.startswith("GET"):
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await hold.wait()

    upstream.script = stalls
    async with sidecar(mapping, tmp_path) as started:
        got = await started.raw(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        assert got.endswith(b"half")
        caller = await started.caller()
        await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n" + H + b"\r\nhalf")
        answer = await caller.answer()
        assert (answer.status, answer.error) == (408, "request_timeout")
        await until(lambda: started.app.metrics.in_flight == 0)
        hold.set()


async def test_slow_stream_has_no_total_limit(upstream: RawUpstream, tmp_path: Path) -> None:
    """Only silence counts: many pauses shorter than idle_timeout are fine, though together they are longer."""
    mapping = configuration(upstream.url, upstream={"idle_timeout": "600ms", "response_timeout": "600ms"})

    async def drip(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            await asyncio.sleep(0.05)
            await talk.send(b"x")

    upstream.script = drip
    async with sidecar(mapping, tmp_path) as started:
        assert (await started.ask("/")).body == b"x" * 20


async def test_unreachable_upstream_is_a_502(tmp_path: Path) -> None:
    """Nobody listens there; the request log and the metric say so, the caller learns no address."""
    async with RawUpstream().running() as gone:
        port = gone.port
    async with sidecar(configuration(f"http://127.0.0.1:{port}"), tmp_path) as started:
        answer = await started.ask("/")
        assert (answer.status, answer.error) == (502, "upstream_unreachable")
        assert str(port).encode() not in answer.body
        assert await started.metric("auth_sidecar_requests_total", route="all", status="502") == 1


async def test_no_free_connection_is_overloaded(upstream: RawUpstream, tmp_path: Path) -> None:
    """max_connections: whoever gets none within connect_timeout is told to come back; a freed one is lent on."""
    hold = asyncio.Event()

    async def busy(talk: Talk) -> None:
        await hold.wait()
        await answer_ok(talk)

    upstream.script = busy
    limits = {"max_connections": 2, "connect_timeout": "300ms"}
    async with sidecar(configuration(upstream.url, upstream=limits), tmp_path) as started:
        served = [asyncio.create_task(started.ask("/")) for _ in range(2)]
        await until(lambda: upstream.connections == 2)
        answer = await started.ask("/")
        assert (answer.status, answer.error, answer.all("Retry-After")) == (503, "overloaded", ["1"])
        waiting = [asyncio.create_task(started.ask("/")) for _ in range(6)]
        await until(lambda: started.app.metrics.in_flight == 8)
        hold.set()
        assert [(await task).status for task in (*served, *waiting)] == [200] * 8
        assert upstream.connections == 2


async def test_too_many_requests_at_once_are_overloaded(upstream: RawUpstream, tmp_path: Path) -> None:
    """max_in_flight: the one above gets 503 at once, the others are not disturbed."""
    hold = asyncio.Event()

    async def busy(talk: Talk) -> None:
        await hold.wait()
        await answer_ok(talk)

    upstream.script = busy
    async with sidecar(configuration(upstream.url, limits={"max_in_flight": 2}), tmp_path) as started:
        served = [asyncio.create_task(started.ask("/")) for _ in range(2)]
        await until(lambda: len(upstream.requests) == 2)
        answer = await started.ask("/")
        assert (answer.status, answer.error) == (503, "overloaded")
        hold.set()
        assert [(await task).status for task in served] == [200, 200]


async def test_refused_upload_is_answered_and_closed(upstream: RawUpstream, tmp_path: Path) -> None:
    """A refusal does not wait for the body; the caller can read it while it is still sending."""
    mapping = configuration(upstream.url, routes=[{"path": "/a", "credential": "none"}])
    async with sidecar(mapping, tmp_path) as started:
        caller = await started.caller()
        await caller.send(b"POST /b HTTP/1.1\r\nContent-Length: 100000\r\n" + H + b"\r\n")
        answer = await caller.answer()
        assert (answer.status, answer.error, answer.all("Connection")) == (403, "route_not_mapped", ["close"])
        await caller.send(b"x" * 100_000)
        assert await caller.closed() == b""
        assert not upstream.requests


async def test_answer_to_a_caller_of_http_1_0_that_breaks_off_is_a_reset(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """A clean end would look like the end of the body."""

    async def breaks(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await until(lambda: received)
        talk.reset()

    received: list[bytes] = []
    upstream.script = breaks
    caller = await proxy.caller()
    await caller.send(b"GET / HTTP/1.0\r\n\r\n")
    received.append(await caller.reader.readuntil(b"hello"))
    with pytest.raises(ConnectionResetError):
        await caller.reader.read()


@pytest.mark.parametrize("how", ["a reset", "an end"])
async def test_reset_is_no_end_of_a_body_without_length(
    proxy: Sidecar, upstream: RawUpstream, how: str
) -> None:
    """A body that ends with its connection ends with a clean end of it; anything else is a cut for the caller."""
    received = asyncio.Event()

    async def ends(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await received.wait()
        if how == "a reset":
            talk.reset()
        else:
            talk.writer.close()

    upstream.script = ends
    caller = await proxy.caller()
    await caller.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    await caller.reader.readuntil(b"hello\r\n")
    received.set()
    if how == "a reset":
        assert await caller.closed() == b""
    else:
        assert await caller.reader.readexactly(5) == b"0\r\n\r\n"


async def test_answering_script_reads_bodies(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Requests with small bodies share one upstream connection."""
    upstream.script = answering(OK)
    caller = await proxy.caller()
    for n in range(20):
        await caller.ask("/", method="POST", body=b"x" * n)
    assert upstream.connections == 1


async def test_caller_that_leaves_at_an_early_answer_leaves_nothing_behind(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    """The upload is being called off in that very moment; its connection must not be lost to the pool."""

    async def early(talk: Talk) -> None:
        await talk.send(OK)
        while await talk.reader.read(65536):
            pass
        raise ConnectionError

    upstream.script = early
    async with sidecar(configuration(upstream.url, upstream={"max_connections": 2}), tmp_path) as started:
        for _ in range(200):
            caller = await started.caller()
            await caller.send(b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n" + H + b"\r\nhello")
            await caller.reader.read(1)
            caller.writer.transport.abort()
        await until(lambda: started.app.proxy.serving.pool.counts() == (0, 0), "the pool being empty")
        await until(lambda: started.app.metrics.in_flight == 0)


async def test_slow_reader_of_a_closing_answer_gets_all_of_it(
    proxy: Sidecar, upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of our side waits for what is still to be taken, however long that is."""
    monkeypatch.setattr("sidecar.proxy.caller._LINGER", 0.02)
    body = b"x" * (8 << 20)
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    caller = await proxy.caller()
    caller.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await caller.send(b"GET / HTTP/1.1\r\nConnection: close\r\n" + H + b"\r\n")
    await until(lambda: upstream.requests)
    await asyncio.sleep(0.2)  # many times as long as the linger
    caller.reader._transport.resume_reading()  # type: ignore[attr-defined]
    answer = await caller.answer()
    assert answer.body == body


async def test_connection_left_paused_by_a_slow_reader_serves_the_next_request(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """Backpressure of one caller stays with its own answer."""
    body = b"x" * (4 << 20)
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    slow = await proxy.caller()
    slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await slow.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    await until(lambda: upstream.requests)
    for _ in range(20):
        assert (await proxy.ask("/")).body == body
    slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
    assert (await slow.answer()).body == body


def small_buffers(transport: Any) -> None:
    """The kernel keeps little of what is on its way to or from here."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)


@pytest.mark.parametrize("framing", ["counted", "chunked"])
async def test_answer_whose_last_bytes_find_a_full_buffer_leaves_its_connection_usable(
    proxy: Sidecar, upstream: RawUpstream, framing: str
) -> None:
    """Reading was stopped by the very segment that ended the answer: it goes on for the next caller."""
    for size in range(64 << 10, 640 << 10, 32 << 10):
        body = b"x" * size
        head, end = b"Content-Length: %d\r\n\r\n" % size, b""
        if framing == "chunked":
            head, end = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % size, b"\r\n0\r\n\r\n"
        upstream.script = answering(b"HTTP/1.1 200 OK\r\n" + head + body + end)
        slow = await proxy.caller()
        await until(lambda: proxy.app.listener.connections)
        for transport in (slow.reader._transport, *(c.transport for c in proxy.app.listener.connections)):  # type: ignore[attr-defined]
            small_buffers(transport)
        slow.reader._transport.pause_reading()  # type: ignore[attr-defined]
        asked = len(upstream.requests)
        await slow.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        await until(lambda n=asked: len(upstream.requests) > n)  # type: ignore[misc]
        await asyncio.sleep(0.02)  # for the answer to get as far as it gets
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert (await slow.answer()).body == body
        slow.close()
        upstream.script = answer_ok
        assert (await proxy.ask("/")).body == b"ok"


@pytest.mark.parametrize("target", [b"/a%00", b"/ok"], ids=["refused", "served"])
async def test_caller_that_pipelines_and_never_reads_costs_bounded_memory(
    upstream: RawUpstream, tmp_path: Path, target: bytes
) -> None:
    """Its next request waits until it has taken its answers; then it is let go."""
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 1000)
    mapping = configuration(upstream.url, upstream={"idle_timeout": "500ms"}, log={"level": "error"})
    async with sidecar(mapping, tmp_path) as started:
        caller = await started.caller()
        caller.reader._transport.pause_reading()  # type: ignore[attr-defined]
        block = (b"GET " + target + b" HTTP/1.1\r\n" + H + b"\r\n") * 1000
        most = 0
        async with asyncio.timeout(DEADLINE):
            while not caller.writer.is_closing():  # until it is let go
                caller.writer.write(block)
                with contextlib.suppress(TimeoutError, ConnectionError):
                    async with asyncio.timeout(0.05):
                        await caller.writer.drain()
                most = max(most, started.app.listener.unsent)
        assert 0 < most < 16 << 20  # the kernel's buffers


async def test_body_of_one_byte_chunks_and_empty_lines_is_cheap_and_whole(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """However it is cut, it arrives as it was sent, and the next request behind it is served."""
    for body in (b"\r\n" * 100_000, b"\r\n\r\n0\r\n\r\n" * 1000):
        caller = await proxy.caller()
        await caller.send(
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + H + b"\r\n"
            b"%x\r\n%b\r\n" % (len(body), body) + b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"
        )
        assert (await caller.answer()).body == b"ok"
        assert upstream.requests[-1].body == body + b"x" * 5000


async def test_exchange_that_outlives_a_reload_keeps_its_deadlines(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    """A request that was still arriving while the configuration changed is timed out like any other."""
    hold = asyncio.Event()

    async def silent(talk: Talk) -> None:
        await hold.wait()

    upstream.script = silent
    mapping = configuration(upstream.url, upstream={"response_timeout": "300ms"})
    async with sidecar(mapping, tmp_path) as started:
        serving = started.app.proxy.serving
        assert await started.app.reload(load_mapping(mapping, tmp_path).files[0])
        started.app.proxy.serving = serving  # as a request sees it that began before the reload
        answer = await started.ask("/")
        assert answer.error == "upstream_timeout"
        hold.set()


async def test_stale_connection_is_retried_once_also_when_the_pool_is_full(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    """A connection that somebody just gave back is no fresh one: the second sending opens its own."""
    await_dead = b"/dead"

    async def kills(talk: Talk) -> None:
        if await_dead.decode() in talk.request.line:
            talk.reset()
        else:
            await answer_ok(talk)

    upstream.script = kills
    async with sidecar(configuration(upstream.url, upstream={"max_connections": 2}), tmp_path) as started:
        stop = asyncio.Event()

        async def load() -> None:
            caller = await started.caller()
            while not stop.is_set():
                assert (await caller.ask("/busy")).status == 200

        loads = [asyncio.create_task(load()) for _ in range(12)]
        for _ in range(5):
            before = sum("/dead" in r.line for r in upstream.requests)
            assert (await started.ask("/dead")).status == 502
            assert sum("/dead" in r.line for r in upstream.requests) - before <= 2
        stop.set()
        await asyncio.gather(*loads)


async def test_steady_but_slow_reader_is_not_cut(upstream: RawUpstream, tmp_path: Path) -> None:
    """Only silence counts, and a reader that takes a little now and then is not silent."""
    body = b"x" * (24 << 20)
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    async with sidecar(configuration(upstream.url, upstream={"idle_timeout": "400ms"}), tmp_path) as started:
        caller = await started.caller()
        await caller.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        await caller.head()
        left = len(body)
        for _ in range(30):  # three times as long as idle_timeout, a third of the body
            left -= len(await caller.reader.readexactly(256 << 10))
            await asyncio.sleep(0.04)
        assert len(await caller.reader.readexactly(left)) == left


async def test_silent_upstream_behind_a_replay_is_not_the_callers_fault(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    """504, though the first sending ended while it was waiting for the caller."""
    async with StandIn() as egain:
        mapping = with_tokens(egain, upstream.url, tmp_path, upstream={"response_timeout": "300ms"})
        hold = asyncio.Event()

        async def rejects_then_hangs(talk: Talk) -> None:
            if len(upstream.requests) == 1:
                await talk.reader.readuntil(b"abc")
                await talk.send(b"HTTP/1.1 401 No\r\nContent-Length: 5\r\n\r\nstall")  # and goes on reading
                await hold.wait()
            else:
                await hold.wait()

        upstream.script = rejects_then_hangs
        async with sidecar(mapping, tmp_path) as started:
            await until(lambda: not started.app.missing())
            caller = await started.caller()
            await caller.send(b"POST /app/x HTTP/1.1\r\nContent-Length: 6\r\n" + H + b"\r\nabc")
            await until(lambda: len(upstream.requests) == 2)
            await caller.send(b"def")
            assert (await caller.answer()).error == "upstream_timeout"
            hold.set()
