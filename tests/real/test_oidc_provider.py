"""Every flow and client authentication against oidc-provider, judged by a resource server that verifies."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.harness import until
from tests.real.front import AGENT, APPLICATION, EXCHANGE, front
from tests.real.servers import Server

pytestmark = pytest.mark.real

BASIC_SECRET = "s3cr3t:with/odd%chars"  # wrong in every way of encoding but the right one


def client(auth: str, server: Server, folder: Path) -> dict[str, Any]:
    """The client registered for this way of authenticating."""
    if auth == "client_secret_post":
        return {**server.client, "auth": auth}
    if auth == "private_key_jwt":
        key = {"file": str(server.client_key)}
        return {"id": "svc-key", "auth": auth, "private_key": key, "key_id": "client"}
    secret = folder / "basic-secret"
    secret.write_text(BASIC_SECRET)
    return {"id": "svc-basic", "auth": auth, "secret": {"file": str(secret)}}


def caller_token(server: Server, subject: str, *, key: Path | None = None, lifetime: float = 600) -> str:
    """A token a caller of the sidecar has."""
    claims = {"sub": subject, "iss": server.issuer, "exp": int(time.time() + lifetime)}
    return jwt.encode(claims, (key or server.key).read_text(), "RS256")


@pytest.mark.parametrize("auth", ["client_secret_post", "client_secret_basic", "private_key_jwt"])
async def test_client_authenticates(provider_server: Server, tmp_path: Path, auth: str) -> None:
    """Each way of proving who the client is gets a token of that client, with the route's scope alone."""
    app = {**APPLICATION, "client": client(auth, provider_server, tmp_path)}
    async with front(provider_server, {"app": app}, tmp_path) as it:
        for scope in ("read", "write"):
            answer = await it.sidecar.ask(f"/{scope}/app", "Authorization: Bearer from-the-caller")
            assert answer.status == 200, answer.body
            claims = json.loads(answer.body)
            assert claims["scope"] == scope
            assert claims["client_id"] == app["client"]["id"]
            assert claims["aud"] == provider_server.audience
    assert it.api.refused == []


async def test_on_behalf_of_gives_each_subject_its_own_token(provider_server: Server, tmp_path: Path) -> None:
    """The token speaks for the subject of the request, and the header that named it goes no further."""
    async with front(provider_server, {"agent": AGENT}, tmp_path) as it:
        for subject in ("alice", "bob", "alice"):
            answer = await it.sidecar.ask("/read/agent", f"X-On-Behalf-Of: {subject}")
            assert (answer.status, json.loads(answer.body)["sub"]) == (200, subject)
            assert "X-On-Behalf-Of" not in it.api.last_headers
        assert len(it.api.served) == 2
        missing = await it.sidecar.ask("/read/agent")
    assert (missing.status, missing.error) == (400, "subject_missing")
    assert it.api.refused == []


async def test_token_exchange_speaks_for_the_caller(provider_server: Server, tmp_path: Path) -> None:
    """The caller's own token is exchanged for one with the same subject, for the audience configured."""
    exchange = {**EXCHANGE, "audience": "urn:api:other"}
    async with front(provider_server, {"okta": exchange}, tmp_path) as it:
        for subject in ("alice", "bob"):
            token = caller_token(provider_server, subject)
            answer = await it.sidecar.ask("/read/okta", f"Authorization: Bearer {token}")
            claims = json.loads(answer.body)
            assert (answer.status, claims["sub"], claims["aud"]) == (200, subject, "urn:api:other")
    assert it.api.refused == []


async def test_forged_subject_token_is_refused_by_the_server(provider_server: Server, tmp_path: Path) -> None:
    """What the authorization server does not exchange becomes 502 with its own error code; nothing is sent on."""
    async with front(provider_server, {"okta": EXCHANGE}, tmp_path) as it:
        token = caller_token(provider_server, "mallory", key=provider_server.client_key)
        answer = await it.sidecar.ask("/read/okta", f"Authorization: Bearer {token}")
    assert (answer.status, answer.error) == (502, "token_refused")
    assert json.loads(answer.body)["oauth_error"] == "invalid_grant"
    assert token.encode() not in answer.body
    assert (it.api.refused, it.api.served) == ([], {})


async def test_opaque_token_is_sent_as_it_is(provider_server: Server, tmp_path: Path) -> None:
    """A token that is no JWT passes the resource server's introspection."""
    app = {**APPLICATION, "resource": "urn:api:opaque"}
    async with front(provider_server, {"app": app}, tmp_path) as it:
        answer = await it.sidecar.ask("/read/app")
        assert answer.status == 200, answer.body
        (token,) = it.api.served
    assert "." not in token
    assert (it.api.last["client_id"], it.api.last["aud"]) == ("svc-post", "urn:api:opaque")


async def test_resource_becomes_the_audience(provider_server: Server, tmp_path: Path) -> None:
    """`resource` (RFC 8707) reaches the server, and its refusal of two of them reaches the caller."""
    one = {**APPLICATION, "resource": "urn:api:orders"}
    two = {**APPLICATION, "resource": ["urn:api:orders", "urn:api:stock"]}
    async with front(provider_server, {"one": one, "two": two}, tmp_path) as it:
        answer = await it.sidecar.ask("/read/one")
        assert (answer.status, json.loads(answer.body)["aud"]) == (200, "urn:api:orders")
        refused = await it.sidecar.ask("/read/two")
    assert (refused.status, refused.error) == (502, "token_refused")
    assert json.loads(refused.body)["oauth_error"] == "invalid_target"


async def test_corrected_secret_is_picked_up_without_a_restart(
    provider_server: Server, tmp_path: Path
) -> None:
    """A wrong secret is `invalid_client`; once its file is right, requests are served again."""
    secret = tmp_path / "secret"
    secret.write_text("wrong")
    app = {**APPLICATION, "client": {**provider_server.client, "secret": {"file": str(secret)}}}
    retry = {"retry": {"initial": "200ms", "max": "500ms"}}
    async with front(provider_server, {"app": app}, tmp_path, refresh=retry) as it:
        refused = await it.sidecar.ask("/read/app")
        assert (refused.status, refused.error) == (502, "token_refused")
        assert json.loads(refused.body)["oauth_error"] == "invalid_client"
        assert list(it.sidecar.app.missing())
        secret.write_text(Path(provider_server.client["secret"]["file"]).read_text())
        await until(lambda: not it.sidecar.app.missing(), "the right secret was used")
        assert (await it.sidecar.ask("/read/app")).status == 200
