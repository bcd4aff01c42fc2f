"""glewlwyd, which does a few things its own way: `bearer` in lower case, a 403 without a body."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.real.front import AGENT, APPLICATION, front
from tests.real.servers import Server

pytestmark = pytest.mark.real


@pytest.mark.parametrize("auth", ["client_secret_post", "client_secret_basic"])
async def test_client_authenticates(glewlwyd_server: Server, tmp_path: Path, auth: str) -> None:
    """Either way of sending the secret gets a token with the route's scope; `bearer` is as good as `Bearer`."""
    app = {**APPLICATION, "client": {**glewlwyd_server.client, "auth": auth}}
    async with front(glewlwyd_server, {"app": app}, tmp_path) as it:
        for scope in ("read", "write"):
            answer = await it.sidecar.ask(f"/{scope}/app")
            assert answer.status == 200, answer.body
            claims = json.loads(answer.body)
            assert (claims["scope"], claims["client_id"]) == (scope, "svc")
    assert it.api.refused == []


async def test_on_behalf_of_gives_the_token_of_a_user(glewlwyd_server: Server, tmp_path: Path) -> None:
    """The password grant's token speaks for somebody who is not the client."""
    async with front(glewlwyd_server, {"agent": AGENT}, tmp_path) as it:
        answer = await it.sidecar.ask("/read/agent", "X-On-Behalf-Of: robot")
        assert answer.status == 200, answer.body
        claims = json.loads(answer.body)
    assert claims["client_id"] == "svc"
    assert claims["sub"] != "svc"


async def test_refusal_without_a_body_is_a_refusal(glewlwyd_server: Server, tmp_path: Path) -> None:
    """403 and nothing else for a wrong secret: 502 token_refused, counted as http_4xx, no error code made up."""
    secret = tmp_path / "secret"
    secret.write_text("wrong")
    app = {**APPLICATION, "client": {**glewlwyd_server.client, "secret": {"file": str(secret)}}}
    async with front(glewlwyd_server, {"app": app}, tmp_path) as it:
        answer = await it.sidecar.ask("/read/app")
        assert (answer.status, answer.error) == (502, "token_refused")
        assert "oauth_error" not in json.loads(answer.body)
        failures = await it.sidecar.metric("auth_sidecar_token_failures_total", reason="http_4xx")
    assert failures is not None
    assert failures >= 1
