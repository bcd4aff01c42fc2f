"""The admin listener below the application: malformed requests, and what is relied on in aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from sidecar import logs
from sidecar.admin import runner
from tests.admin_state import StubState
from tests.log_state import _restored_logging  # noqa: F401 - a fixture


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listening = runner(StubState())
    await listening.setup()
    await web.TCPSite(listening, "127.0.0.1", 0).start()
    yield listening.addresses[0][1]
    await listening.cleanup()


async def talk(port: int, raw: bytes) -> bytes:
    """Send bytes, read until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nCanary Header: canary\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer canary\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: canary\x00\r\n\r\n",
        b"CANARY@ / HTTP/1.1\r\nHost: canary\r\n\r\n",
        b"GET /canary HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\ncanary",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"canary" * 20_000 + b"\r\n\r\n",
    ],
    ids=["space-in-name", "space-before-colon", "nul", "method", "smuggling", "too-large"],
)
async def test_a_malformed_request_is_refused_without_repeating_it(port: int, raw: bytes) -> None:
    """400 in the usual shape, closed, nothing of the input in answer or log, no Server field."""
    stream = io.StringIO()
    logs.configure(stream=stream)
    answer = await talk(port, raw)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0]
    assert b"bad_request" in body
    assert b"\r\nServer:" not in head
    assert b"\r\nX-Content-Type-Options: nosniff" in head
    assert b"canary" not in answer.lower()
    assert "canary" not in stream.getvalue().lower()


async def test_requests_on_one_connection_are_answered_in_order(port: int) -> None:
    """Keep-alive and pipelining work as with any server."""
    answer = await talk(
        port,
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /nope HTTP/1.1\r\nHost: a\r\n\r\n"
        b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    assert re.findall(rb"HTTP/1\.1 (\d+)", answer) == [b"200", b"404", b"200"]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"GET /healthz HT",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
    ids=["nothing", "half a line", "half a head", "one request and then nothing"],
)
async def test_a_connection_that_asks_nothing_is_closed(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little it sends, it cannot hold a descriptor for ever."""
    monkeypatch.setattr("sidecar.admin.listener.IDLE_SECONDS", 0.05)
    listening = runner(StubState())
    await listening.setup()
    await web.TCPSite(listening, "127.0.0.1", 0).start()
    try:
        with contextlib.suppress(ConnectionResetError):
            answer = await talk(listening.addresses[0][1], raw)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 200 ")
        assert listening.server is not None
        assert not listening.server.connections
    finally:
        await listening.cleanup()
