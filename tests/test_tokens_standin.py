"""Keeper, store, request and endpoint together, against the stand-in's authorization server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from sidecar.clock import SystemClock
from sidecar.config.schema import Client, Config, Credential, Identity, Refresh, Tokens
from sidecar.demo.standin import StandIn
from sidecar.errors import SubjectTokenInvalid, TokenRefused, TokenUnavailable
from sidecar.identity import Identity as Verifier
from sidecar.tokens.endpoint import TokenEndpoint
from sidecar.tokens.store import Source, TokenStore
from tests.token_script import Events

OBO = "knowledge.portalmgr.onbehalfof.read"


class Scene:
    """A store that asks the stand-in."""

    def __init__(self, egain: StandIn, directory: Path, events: Events) -> None:
        self.egain, self.directory, self.events = egain, directory, events
        self.secret = directory / "secret"
        self.secret.write_text(egain.client_secret + "\n")
        (directory / "key").write_text(egain.client_private_key)
        self.config = Config.model_validate({"upstream": {"url": egain.base}})
        self.endpoint = TokenEndpoint(self.config)
        # Refreshed late: a test sees a refresh only where it asks for one.
        self.store = TokenStore(SystemClock(), self.endpoint, events, Refresh(at=0.9), Tokens())

    def client(self, auth: str = "client_secret_post") -> Client:
        values = {
            "id": self.egain.client_id,
            "auth": auth,
            "secret": {"file": self.secret},
            "private_key": {"file": self.directory / "key"},
            "key_id": self.egain.client_key_id,
        }
        return Client.model_validate(values)

    def source(self, *scopes: str, auth: str = "client_secret_post", **values: Any) -> Source:
        values = {"token_url": self.egain.user_token_url, **values}
        return self.store.source("cred", Credential.model_validate(values), self.client(auth), scopes)

    def agent(self) -> Source:
        return self.source(OBO, grant="on_behalf_of", subject={"username": {"header": "X"}})


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with StandIn() as egain:
        scene = Scene(egain, tmp_path, Events())
        async with scene.endpoint, scene.store:
            yield scene


def claims(bearer: bytes) -> dict[str, Any]:
    return dict(jwt.decode(bearer.removeprefix(b"Bearer "), options={"verify_signature": False}))


@pytest.mark.parametrize("auth", ["client_secret_post", "client_secret_basic", "private_key_jwt"])
async def test_every_way_of_proving_who_the_client_is(scene: Scene, auth: str) -> None:
    """A real server's checks: form-encoding in Basic, audience and signature of the assertion."""
    source = scene.source("app.core.aiservices.read", auth=auth, grant="client_credentials")
    keeper = source.keeper()
    token = await keeper.get()
    assert claims(token.bearer)["scope"] == "app.core.aiservices.read"
    assert keeper.reject(token)
    assert await keeper.get() is not token  # the second one, too: an assertion's id may be used once


async def test_every_grant(scene: Scene) -> None:
    """The guide's flows, each with its own subject."""
    egain = scene.egain
    anonymous = scene.source(
        "core.aiservices.read",
        grant="anonymous",
        token_url=egain.anonymous_token_url,
        token_query=egain.anonymous_token_query,
        scope_prefix=egain.anonymous_scope_prefix,
    )
    token = await anonymous.keeper().get()
    assert token.scopes == {"core.aiservices.read"}
    user = egain.directory.users[0]
    token = await scene.agent().keeper(user.username).get()
    assert claims(token.bearer)["sub"] == user.username
    customer = sorted(egain.directory.customers)[0]
    shopper = scene.source(
        OBO,
        grant="on_behalf_of",
        token_url=egain.customer_token_url,
        subject={"email": {"header": "X"}},
    )
    token = await shopper.keeper(customer).get()
    assert claims(token.bearer)["sub"] == customer
    okta = scene.source(grant="token_exchange", registration_id=egain.registration_id)
    token = await okta.keeper(egain._identity.token(user.email, lifetime=300)).get()
    assert claims(token.bearer)["sub"] == user.username
    assert 290 < token.lifetime <= 301


async def test_unknown_subject_is_refused_and_nobody_else(scene: Scene) -> None:
    """invalid_grant is one subject's, and never another credential's token."""
    agent = scene.agent()
    with pytest.raises(TokenRefused, match="invalid_grant"):
        await agent.keeper("nobody").get()
    known = scene.egain.directory.users[0].username
    assert claims((await agent.keeper(known).get()).bearer)["sub"] == known
    assert "nobody" not in str(scene.events.seen)


async def test_rotated_secret_needs_no_restart(scene: Scene) -> None:
    """The next token request has what is in the file by then."""
    source = scene.source("app.core.aiservices.read", grant="client_credentials")
    token = await source.keeper().get()
    scene.egain.directory.set_secret(scene.egain.client_id, "another one")
    scene.secret.write_text("another one\r\n")
    assert source.keeper().reject(token)
    assert await source.keeper().get() is not token
    assert [r[2] for r in scene.events.of("requested")] == ["ok", "ok"]


async def test_authorization_server_down_is_a_503_and_mended_in_the_background(scene: Scene) -> None:
    """A start-up token comes by itself once the server is back."""
    source = scene.source("app.core.aiservices.read", grant="client_credentials")
    scene.egain.faults.token.on(kind="status", status=503)
    scene.store.hold([source])
    with pytest.raises(TokenUnavailable):
        await source.keeper().get()
    assert scene.store.missing()
    scene.egain.faults.clear()
    async with asyncio.timeout(20):
        while scene.store.missing():
            await asyncio.sleep(0.01)
    assert source.keeper().usable()


async def test_callers_token_is_verified_by_the_providers_keys(scene: Scene) -> None:
    """The key set comes over the same endpoint."""
    egain = scene.egain
    settings = Identity.model_validate(
        {"jwks_url": f"{egain.base}/idp/keys", "issuer": egain.idp_issuer, "audience": egain.idp_audience}
    )
    verifier = Verifier(settings, SystemClock(), scene.endpoint)
    token = egain._identity.token("pa@example.com")
    assert (await verifier.verify(token))["email"] == "pa@example.com"
    assert verifier.known(token)
    with pytest.raises(SubjectTokenInvalid):
        await verifier.verify(token[:-8] + "AAAAAAAA")
