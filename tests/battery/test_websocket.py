"""WebSockets through the sidecar: a tunnel, with the token on the handshake."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from sidecar.demo.standin import StandIn
from tests.harness import RawUpstream, Sidecar, Talk, answer_ok, configuration, sidecar, until, with_tokens

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3p\r\n\r\n"
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


async def echo(talk: Talk) -> None:
    await talk.send(SWITCH)
    while data := await talk.reader.read(65536):
        await talk.send(data)


@pytest.mark.other_clients
async def test_a_real_client_and_server_talk_through_it(tmp_path: Path) -> None:
    """Text, binary, 8 MiB, ping, subprotocol, close code: as if nothing were between them."""
    async with StandIn() as egain:
        egain.directory.open = True
        mapping = with_tokens(egain, egain.base, tmp_path)
        mapping["routes"] = [
            {
                "path": "/demo/ws",
                "credential": "app",
                "scopes": ["app.knowledge.portalmgr.read"],
                "name": "ws",
            }
        ]
        async with sidecar(mapping, tmp_path) as started, aiohttp.ClientSession() as session:
            url = f"http://{started.app.proxy_address}/demo/ws"
            async with session.ws_connect(url, max_msg_size=1 << 26, protocols=("echo", "other")) as ws:
                await ws.send_str("héllo")
                assert await ws.receive_str() == "héllo"
                for size in (0, 125, 126, 65536, 8 << 20):
                    await ws.send_bytes(b"x" * size)
                    assert len(await ws.receive_bytes()) == size
                await ws.ping(b"p")
                await ws.close(code=4001)
            await until(lambda: started.app.metrics.in_flight == 0)
            assert await started.metric("auth_sidecar_requests_total", route="ws", status="101") == 1
        (seen,) = [r for r in egain.api_requests if r.path == b"/demo/ws"]
        assert seen.claims is not None


async def test_frames_sent_with_the_handshake_are_not_lost(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Both ways: bytes behind the request's head, and bytes behind the 101."""

    async def eager(talk: Talk) -> None:
        await talk.send(SWITCH + b"welcome")
        await talk.send(await talk.reader.readexactly(5))
        talk.writer.close()

    upstream.script = eager
    caller = await proxy.caller()
    await caller.send(HANDSHAKE + b"early")
    assert (await caller.head())[0] == 101
    assert await caller.closed() == b"welcomeearly"
    fields = {n.lower(): v for n, v in upstream.requests[0].headers}
    assert (fields["connection"], fields["upgrade"]) == ("Upgrade", "websocket")
    assert fields["sec-websocket-key"] == "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.mark.parametrize("status", [401, 403, 426, 200])
async def test_refused_handshake_is_an_ordinary_answer(
    proxy: Sidecar, upstream: RawUpstream, status: int
) -> None:
    """No 101, the body crosses, and the connection goes on with what came behind it."""

    async def refuse(talk: Talk) -> None:
        if talk.request.all("Upgrade"):
            await talk.send(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % status)
        else:
            await answer_ok(talk)

    upstream.script = refuse
    caller = await proxy.caller()
    await caller.send(HANDSHAKE + b"GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert ((await caller.answer()).status, (await caller.answer()).body) == (status, b"ok")
    assert (await caller.ask("/third", method="POST", body=b"x" * 70_000)).body == b"ok"


@pytest.mark.parametrize("who", ["caller", "upstream"])
async def test_a_side_that_ends_takes_the_other_with_it(
    proxy: Sidecar, upstream: RawUpstream, who: str
) -> None:
    """And nothing stays behind."""
    leave = asyncio.Event()

    async def until_told(talk: Talk) -> None:
        await talk.send(SWITCH)
        if who == "upstream":
            await leave.wait()
            talk.writer.close()
        else:
            await talk.reader.read()

    upstream.script = until_told
    caller = await proxy.caller()
    await caller.send(HANDSHAKE)
    await caller.head()
    if who == "caller":
        caller.close()
    else:
        leave.set()
        assert await caller.closed() == b""
    await until(lambda: upstream.open == 0)
    await until(lambda: proxy.app.metrics.in_flight == 0)


async def test_silent_tunnel_ends_after_idle_timeout(upstream: RawUpstream, tmp_path: Path) -> None:
    """And one that talks does not."""
    upstream.script = echo
    mapping = configuration(upstream.url, upstream={"idle_timeout": "300ms"})
    async with sidecar(mapping, tmp_path) as started:
        caller = await started.caller()
        await caller.send(HANDSHAKE)
        await caller.head()
        for _ in range(10):
            await asyncio.sleep(0.06)
            await caller.send(b"x")
            assert await caller.reader.readexactly(1) == b"x"
        assert await caller.closed() == b""


async def test_deaf_side_holds_the_other_back(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Backpressure crosses the tunnel."""
    sent = 0

    async def pour(talk: Talk) -> None:
        nonlocal sent
        await talk.send(SWITCH)
        while True:
            await talk.send(b"x" * 65536)
            sent += 65536

    upstream.script = pour
    caller = await proxy.caller()
    await caller.send(HANDSHAKE)
    await caller.head()
    before = -1
    while before != sent:
        before = sent
        for _ in range(50):
            await asyncio.sleep(0.002)
    assert sent < 64 << 20


async def test_deaf_upstream_holds_the_caller_of_a_tunnel_back(proxy: Sidecar, upstream: RawUpstream) -> None:
    """And what was held back arrives once it listens again, all of it."""
    listen, got = asyncio.Event(), 0

    async def deaf(talk: Talk) -> None:
        nonlocal got
        await talk.send(SWITCH)
        talk.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await listen.wait()
        talk.reader._transport.resume_reading()  # type: ignore[attr-defined]
        while data := await talk.reader.read(1 << 20):
            got += len(data)

    upstream.script = deaf
    caller = await proxy.caller()
    await caller.send(HANDSHAKE)
    await caller.head()
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < 64 << 20:
            caller.writer.write(b"x" * 65536)
            sent += 65536
            async with asyncio.timeout(0.5):
                await caller.writer.drain()
    assert sent < 64 << 20
    listen.set()
    await until(lambda: got == sent, "all that was held back")
    caller.close()


async def test_post_with_upgrade_smuggles_nothing(proxy: Sidecar, upstream: RawUpstream) -> None:
    """One request, its body intact, whatever the body looks like; the header stays here."""
    body = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
    caller = await proxy.caller()
    answer = await caller.ask("/", "Connection: Upgrade", "Upgrade: websocket", method="POST", body=body)
    assert answer.body == b"ok"
    assert (await caller.ask("/next")).body == b"ok"
    first, second = upstream.requests
    assert (first.body, first.all("Upgrade"), second.line) == (body, [], "GET /next HTTP/1.1")


@pytest.mark.parametrize(
    "request_",
    [HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"), HANDSHAKE[:-2] + b"Content-Length: 2\r\n\r\nhi"],
    ids=["HTTP/1.0", "with a body"],
)
async def test_what_is_no_handshake_is_served_plainly(
    proxy: Sidecar, upstream: RawUpstream, request_: bytes
) -> None:
    """RFC 9110 section 7.8; the header stays here."""
    caller = await proxy.caller()
    await caller.send(request_)
    assert (await caller.answer()).body == b"ok"
    assert upstream.requests[0].all("Upgrade") == []


async def test_switch_to_another_protocol_is_refused(proxy: Sidecar, upstream: RawUpstream) -> None:
    """A 101 that nobody asked for."""

    async def other(talk: Talk) -> None:
        await talk.send(SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"))

    upstream.script = other
    caller = await proxy.caller()
    await caller.send(HANDSHAKE)
    assert (await caller.answer()).error == "upstream_protocol_error"


async def test_websocket_of_a_foreign_page_is_refused(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Browsers send no preflight for these: Origin is all there is."""
    caller = await proxy.caller()
    await caller.send(HANDSHAKE[:-2] + b"Origin: https://evil.example\r\n\r\n")
    assert (await caller.answer()).error == "origin_not_allowed"
    assert not upstream.requests


async def test_long_tail_behind_a_declined_handshake_is_served(proxy: Sidecar, upstream: RawUpstream) -> None:
    """More than aiohttp holds back without pausing: the connection must be resumed, not forgotten."""
    caller = await proxy.caller()
    body = b"x" * 500_000
    upload = b"POST /b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    hold = asyncio.Event()

    async def decline_late(talk: Talk) -> None:
        if talk.request.all("Upgrade"):
            await hold.wait()
        await answer_ok(talk)

    upstream.script = decline_late
    await caller.send(HANDSHAKE)
    sending = asyncio.create_task(caller.send(upload))
    await until(lambda: upstream.requests)
    hold.set()
    assert [(await caller.answer()).status for _ in range(2)] == [200, 200]
    await sending
    assert upstream.requests[-1].body == body


async def test_requests_behind_a_declined_handshake_are_parsed_like_any_others(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """In one segment with it: a chunked one with a trailer, a plain one without that trailer, a malformed one."""
    caller = await proxy.caller()
    await caller.send(
        HANDSHAKE + b"POST /b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        b"0\r\nX-Trailer: evil\r\n\r\nGET /c HTTP/1.1\r\nHost: localhost\r\n\r\nBAD\x00 / HTTP/1.1\r\n\r\n"
    )
    assert [(await caller.answer()).status for _ in range(4)] == [200, 200, 200, 400]
    assert [r.line for r in upstream.requests] == ["GET /ws HTTP/1.1", "POST /b HTTP/1.1", "GET /c HTTP/1.1"]
    assert [n for n, _ in upstream.requests[-1].headers] == ["Host"]
