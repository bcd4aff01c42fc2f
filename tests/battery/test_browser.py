"""Web pages: neither one of another origin nor one whose name was made to point here may use the tokens."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.battery.stage import Stage, get
from tests.harness import Caller, Sidecar

pytestmark = pytest.mark.battery

FOREIGN = [
    ("Origin: https://evil.example",),
    ("Origin: null",),
    ("Origin: http://localhost.evil.example",),
    ("Origin: http://localhost@evil.example",),
    ("Origin: https://evil.example, http://localhost",),
    ("Sec-Fetch-Site: cross-site",),
    ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"),
    ("Origin: https://evil.example", "Sec-Fetch-Site: same-origin"),
    ("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"),
]


@pytest.mark.parametrize("fields", FOREIGN, ids=" + ".join)
@pytest.mark.parametrize("kind", ["GET", "POST", "preflight", "WebSocket"])
async def test_foreign_page_gets_nothing(
    proxy: Sidecar, stage: Stage, fields: tuple[str, ...], kind: str
) -> None:
    """403 to simple requests, preflights and handshakes alike; no CORS field, no upstream, no token request."""
    more: dict[str, tuple[str, ...]] = {
        "POST": ("Content-Type: text/plain",),
        "preflight": ("Access-Control-Request-Method: DELETE", "Access-Control-Request-Headers: authorization"),
        "WebSocket": ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: a"),
    }  # fmt: skip
    method = {"POST": "POST", "preflight": "OPTIONS"}.get(kind, "GET")
    answer = await proxy.ask(
        "/agent/x", *fields, *more.get(kind, ()), "X-On-Behalf-Of: alice", method=method,
        body=b'{"x": 1}' if kind == "POST" else b"",
    )  # fmt: skip
    assert (answer.status, answer.error) == (403, "origin_not_allowed")
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    stage.nothing_happened()


async def test_page_of_a_neighbour_sends_no_form_and_reads_nothing(proxy: Sidecar, stage: Stage) -> None:
    """Another port of the same name: what docs/security.md says stays possible is a GET, blindly, and no more."""
    neighbour = ("Origin: http://localhost:3000", "Sec-Fetch-Site: same-site")
    for method in ("GET", "POST", "OPTIONS", "DELETE"):
        assert (await proxy.ask("/app/x", *neighbour, method=method)).error == "origin_not_allowed"
    handshake = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: a",
    )
    assert (await proxy.ask("/app/x", *neighbour, *handshake)).error == "origin_not_allowed"
    stage.nothing_happened()
    answer = await proxy.ask("/app/x", "Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: no-cors")
    assert answer.status == 200
    assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.nip.io", "127.0.0.2", "0.0.0.0", "[::]",
     "2130706433", "0x7f000001", "127.1", "localhost.localdomain", "metadata.google.internal", "169.254.169.254"],
)  # fmt: skip
async def test_rebound_name_gets_nothing(proxy: Sidecar, stage: Stage, host: str) -> None:
    """The page's own name is in Host; 421 whatever else the request says."""
    caller = await proxy.caller()
    await caller.send(get("/app/x", f"Origin: http://{host}", "Sec-Fetch-Site: same-origin").replace(
        b"Host: localhost", b"Host: " + host.encode()))  # fmt: skip
    assert (await caller.answer()).error == "host_not_allowed"
    stage.nothing_happened()


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:65535",
        "[::1]",
        "[::1]:80",
        "my.alias:9",
        "MY.ALIAS.",
    ],
)
async def test_own_names_and_aliases_are_served(stage: Stage, host: str) -> None:
    """With and without a port, in any case, with one trailing dot."""
    async with stage.sidecar(allowed_hosts=["localhost", "127.0.0.1", "[::1]", "my.alias"]) as proxy:
        caller = await proxy.caller()
        await caller.send(get("/app/x").replace(b"Host: localhost", b"Host: " + host.encode()))
        assert (await caller.answer()).status == 200


@pytest.mark.parametrize("fields", FOREIGN, ids=" + ".join)
async def test_foreign_page_gets_nothing_from_the_admin_listener(
    proxy: Sidecar, fields: tuple[str, ...]
) -> None:
    """Not the metrics, not the configuration; and no CORS field either."""
    host, _, port = proxy.app.admin_address.rpartition(":")
    caller = Caller(*await asyncio.open_connection(host, int(port)))
    for page in ("/metrics", "/config", "/status.json"):
        answer = await caller.ask(page, *fields)
        assert answer.status == 403
        assert not answer.all("Access-Control-Allow-Origin")
        assert b"auth_sidecar" not in answer.body
    caller.close()


async def test_listeners_answer_on_loopback_only(proxy: Sidecar) -> None:
    """By default: another address of this machine is refused, though the port is open."""
    for address in (proxy.app.proxy_address, proxy.app.admin_address):
        host, _, port = address.rpartition(":")
        assert host == "127.0.0.1"
        with socket.socket() as sock:
            sock.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.2", int(port)))
