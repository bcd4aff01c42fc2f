"""Tokens of three seconds are replaced again and again under load, and no request notices."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from benchmarks.steady import OK, Steady, get
from tests.real.front import AGENT, APPLICATION, EXCHANGE, Front, front
from tests.real.servers import Server

pytestmark = pytest.mark.real

RATE = 150  # requests a second
ROTATIONS = 42  # of each token, one every 1.4 s or so: twenty lifetimes
TOKENS = {"app": 2, "agent": 2, "okta": 1}  # of each credential: two scopes, two subjects, one caller
_LONGEST = 180.0


@pytest.fixture(params=["provider_server", "glewlwyd_server"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the authorization servers."""
    server: Server = request.getfixturevalue(request.param)
    return server


def credentials(server: Server) -> dict[str, dict[str, Any]]:
    """All that this server can do."""
    known = {"app": APPLICATION, "agent": AGENT}
    return {**known, "okta": EXCHANGE} if server.name == "oidc-provider" else known


def requests(server: Server) -> dict[str, bytes]:
    """One for each token there will be: the application, two subjects, a caller whose token is exchanged."""
    claims = {"sub": "carol", "exp": int(time.time()) + 3600}
    token = jwt.encode(claims, server.key.read_text(), "RS256")
    return {
        "app": get("/read/app"),
        "alice": get("/read/agent", "X-On-Behalf-Of: alice"),
        "bob": get("/read/agent", "X-On-Behalf-Of: bob"),
        "okta": get("/read/okta", f"Authorization: Bearer {token}"),
    }


async def counts(it: Front, credential: str) -> tuple[float, float]:
    """(requests that waited for a token, times the token was replaced ahead of its end)."""
    waited = await it.sidecar.metric("auth_sidecar_token_wait_seconds_count", credential=credential)
    ahead = await it.sidecar.metric(
        "auth_sidecar_token_requests_total", credential=credential, trigger="ahead", outcome="ok"
    )
    return waited or 0.0, ahead or 0.0


async def test_no_request_fails_or_waits_over_many_rotations(server: Server, tmp_path: Path) -> None:
    """150 requests a second: every answer 200, every token valid, no request waits once it had its first token."""
    known = credentials(server)
    wanted = [request for name, request in requests(server).items() if name != "okta" or "okta" in known]
    async with front(server, known, tmp_path) as it:
        first = Steady(it.sidecar.app.proxy_address, wanted, rate=50, connections=1)
        first.on_reply = lambda _: first.stop() if first.sent == len(wanted) else None
        await first.run()
        assert first.outcomes == {OK: len(wanted)}
        before = {name: await counts(it, name) for name in known}
        load = Steady(it.sidecar.app.proxy_address, wanted, RATE, connections=4)
        began = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(_LONGEST):
            tasks.create_task(load.run())
            replaced = dict.fromkeys(known, 0.0)
            while any(replaced[name] < ROTATIONS * TOKENS[name] for name in known):
                await asyncio.sleep(0.5)
                replaced = {name: (await counts(it, name))[1] - before[name][1] for name in known}
            load.stop()
        seconds = asyncio.get_running_loop().time() - began
        waited = {name: (await counts(it, name))[0] - before[name][0] for name in known}
    print(
        f"\n{server.name}: {load.sent} requests in {seconds:.0f} s, {dict(load.outcomes)}, "
        f"{len(it.api.served)} tokens sent, slowest {max(load.latencies) * 1000:.0f} ms; replaced {replaced}"
    )
    assert load.outcomes == {OK: load.sent}
    assert it.api.refused == []
    assert waited == dict.fromkeys(known, 0.0)
    assert load.sent >= 100 * seconds
