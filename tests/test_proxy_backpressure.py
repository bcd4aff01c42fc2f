"""A side that is slow holds the other one up, and nothing else: memory stays bounded, and no byte is lost."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import OK, RawUpstream, Sidecar, Talk, configuration, sidecar, until

MIB = 1 << 20
H = b"Host: localhost\r\n"


@pytest.fixture
async def proxy(upstream: RawUpstream, tmp_path: Path) -> AsyncIterator[Sidecar]:
    mapping = configuration(upstream.url, upstream={"idle_timeout": "600ms", "response_timeout": "20s"})
    async with sidecar(mapping, tmp_path) as started:
        yield started


async def test_upload_waits_for_a_slow_upstream_and_goes_on(proxy: Sidecar, upstream: RawUpstream) -> None:
    """The caller can send no more than buffers hold while the upstream does not read; then all of it arrives."""
    body = bytes(range(256)) * (16 * MIB // 256)
    goes_on, seen = asyncio.Event(), hashlib.sha256()

    async def script(talk: Talk) -> None:
        transport = talk.reader._transport  # type: ignore[attr-defined]
        transport.pause_reading()
        await goes_on.wait()
        transport.resume_reading()
        left = len(body)
        while left:
            piece = await talk.reader.read(65536)
            seen.update(piece)
            left -= len(piece)
        await talk.send(OK)

    upstream.script = script
    caller = await proxy.caller()
    caller.writer.write(b"POST /up HTTP/1.1\r\n" + H + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await until(lambda: upstream.requests, "the request is at the upstream")
    before = -1
    while before != (now := caller.writer.transport.get_write_buffer_size()):
        before = now
        await asyncio.sleep(0.05)
    assert before > 4 * MIB, "the sidecar takes an upload that its upstream does not"
    goes_on.set()
    assert (await caller.answer()).status == 200
    assert seen.digest() == hashlib.sha256(body).digest()


async def test_caller_that_reads_slowly_but_steadily_gets_all_of_it(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """For longer than idle_timeout the upstream is not read, and it is not given up: the caller still takes some."""
    body = bytes(range(256)) * (12 * MIB // 256)

    async def script(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    upstream.script = script
    loop = asyncio.get_running_loop()
    host, _, port = proxy.app.proxy_address.rpartition(":")
    with socket.socket() as sock:
        sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVBUF, 65536
        )  # what it has not read, the sidecar still has
        sock.setblocking(False)
        await loop.sock_connect(sock, (host, int(port)))
        await loop.sock_sendall(sock, b"GET / HTTP/1.1\r\n" + H + b"\r\n")
        got, began = b"", loop.time()
        while loop.time() - began < 2.0:  # three times idle_timeout
            got += await loop.sock_recv(sock, 16384)
            await asyncio.sleep(0.02)
        assert len(got) < len(body)
        while len(got.partition(b"\r\n\r\n")[2]) < len(body):
            piece = await loop.sock_recv(sock, MIB)
            assert piece, "cut, though it went on reading"
            got += piece
    assert got.partition(b"\r\n\r\n")[2] == body


async def test_caller_that_stops_reading_is_cut_and_the_upstream_let_go(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """After idle_timeout, not before; nobody else waits for it."""
    gone = asyncio.Event()

    async def script(talk: Talk) -> None:
        try:
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
            for _ in range(64):
                await talk.send(b"x" * MIB)
        except ConnectionError:
            gone.set()
            raise

    upstream.script = script
    caller = await proxy.caller()
    caller.reader._transport.pause_reading()  # type: ignore[attr-defined]
    await caller.send(b"GET / HTTP/1.1\r\n" + H + b"\r\n")
    async with asyncio.timeout(15):
        await gone.wait()
    await until(lambda: proxy.app.proxy.metrics.in_flight == 0, "the request has ended")
    assert await proxy.metric("auth_sidecar_errors_total", code="request_timeout", route="all") == 1
