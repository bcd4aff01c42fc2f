"""Authorization codes at the stand-in's token endpoint: RFC 6749 section 4.1.3, RFC 7636 section 4.6."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest

from sidecar.demo.directory import ClientApp
from sidecar.demo.signin.settings import SignInSettings
from sidecar.demo.standin import StandIn
from tests.fake_clock import FakeClock
from tests.form_browser import REDIRECT_URI, SCOPE, SignInPages


@pytest.fixture
async def egain(clock: FakeClock) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock) as standin:
        yield standin


@pytest.fixture(params=[False, True], ids=["confidential", "public"])
async def alice(egain: StandIn, request: pytest.FixtureRequest) -> AsyncIterator[SignInPages]:
    pages = SignInPages(egain, public=request.param)
    yield pages
    await pages.browser.http.close()


async def code_of(pages: SignInPages, **changes: str | None) -> str:
    return (await pages.sign_in(**changes)).query["code"]


@pytest.mark.parametrize("customer", [False, True])
async def test_code_gives_tokens_of_the_person_that_the_api_takes(
    egain: StandIn, customer: bool, alice: SignInPages
) -> None:
    """Access token, refresh token and ID token; both tokens verify with the published keys."""
    pages = SignInPages(egain, customer=customer, public=alice.public)
    async with pages.browser.http as http:
        status, told = await pages.redeem(await code_of(pages))
        assert (status, set(told)) == (
            200, {"access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token"}
        )  # fmt: skip
        assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 3600, SCOPE)
        async with http.get(egain.jwks_url) as answer:
            keys = jwt.PyJWKSet.from_dict(await answer.json())
        assert await pages.api(told["access_token"]) == 200
        assert await pages.api(told["id_token"]) == 401
    checks: dict[str, Any] = {"issuer": egain.issuer, "options": {"verify_exp": False, "verify_iat": False}}
    access = jwt.decode(told["access_token"], keys["egain"], ["RS256"], audience=egain.base, **checks)
    persona = "customer" if customer else "user"
    assert (access["persona"], access["sub"], access["scope"]) == (persona, pages.name, SCOPE)
    client = egain.public_client_id if pages.public else egain.client_id
    identity = jwt.decode(told["id_token"], keys["egain"], ["RS256"], audience=client, **checks)
    assert (identity["sub"], identity["nonce"], identity["preferred_username"]) == (
        pages.name, "the nonce", pages.name
    )  # fmt: skip
    assert (identity["name"], identity["email"]) == (
        ("Jane", "jane@example.com") if customer else ("Alice", "alice@example.com")
    )
    assert identity["exp"] - identity["iat"] == 3600
    assert egain.api_requests[0].claims is not None
    assert egain.api_requests[0].claims.persona == persona
    seen = egain.token_requests[-1]
    assert (seen.grant, seen.status, seen.refresh_token) == ("authorization_code", 200, told["refresh_token"])
    assert (seen.endpoint, seen.client_auth) == (persona, "none" if pages.public else "client_secret_post")


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code": None}, "invalid_request"),
        ({"code": "made up"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:8081/.auth/callback"}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": "é"}, "invalid_grant"),
        ({"client_id": "unknown"}, "invalid_client"),
    ],
    ids=str,
)
async def test_wrong_token_request_is_refused_and_leaves_the_code_good(
    egain: StandIn, alice: SignInPages, changes: dict[str, str | None], error: str
) -> None:
    """The code is bound to redirect URI and verifier; a wrong guess does not spoil it for its owner."""
    code = await code_of(alice)
    status, told = await alice.redeem(code, **changes)
    assert (status, told["error"]) == (401 if error == "invalid_client" else 400, error)
    assert egain.token_requests[-1].error == error
    assert (await alice.redeem(code))[0] == 200


async def test_code_is_bound_to_client_and_endpoint(egain: StandIn, alice: SignInPages) -> None:
    """Another client, and the same one at the other persona's token URL, get nothing and spoil nothing."""
    code = await code_of(alice)
    others = [
        SignInPages(egain, public=not alice.public, verifier=alice.verifier),
        SignInPages(egain, public=alice.public, customer=True, verifier=alice.verifier),
    ]
    for other in others:
        async with other.browser.http:
            status, told = await other.redeem(code)
        assert (status, told["error"]) == (400, "invalid_grant")
    assert (await alice.redeem(code))[0] == 200


async def test_replayed_code_revokes_what_was_issued_for_it(alice: SignInPages) -> None:
    """RFC 6749 section 4.1.2: one of the two is a thief; other sign-ins go on."""
    before = await alice.tokens()
    code = await code_of(alice)
    _, told = await alice.redeem(code)
    _, refreshed = await alice.refresh(told["refresh_token"])
    status, refusal = await alice.redeem(code)
    assert (status, refusal["error"]) == (400, "invalid_grant")
    for tokens in (told, refreshed):
        assert await alice.api(tokens["access_token"]) == 401
        assert (await alice.refresh(tokens["refresh_token"]))[1]["error"] == "invalid_grant"
    assert await alice.api(before["access_token"]) == 200
    assert (await alice.refresh(before["refresh_token"]))[0] == 200


async def test_of_parallel_requests_with_one_code_one_wins(alice: SignInPages) -> None:
    """And by the others its tokens are revoked again."""
    code = await code_of(alice)
    answers = await asyncio.gather(*(alice.redeem(code) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 9
    (won,) = (told for status, told in answers if status == 200)
    assert await alice.api(won["access_token"]) == 401


async def test_code_expires(alice: SignInPages, egain: StandIn, clock: FakeClock) -> None:
    """After 60 seconds, or as many as were set."""
    for seconds in (60.0, 2.0):
        egain.sign_in.code_lifetime = seconds
        late, in_time = await code_of(alice), await code_of(alice)
        clock.advance(seconds - 0.5)
        assert (await alice.redeem(in_time))[0] == 200
        clock.advance(0.5)
        status, told = await alice.redeem(late)
        assert (status, told["error"]) == (400, "invalid_grant")


async def test_confidential_client_may_leave_pkce_out_altogether(egain: StandIn) -> None:
    """But a verifier without a challenge is a sign that somebody took it away (RFC 9700 section 2.1.1)."""
    pages = SignInPages(egain)
    async with pages.browser.http:
        code = await code_of(pages, code_challenge=None, code_challenge_method=None)
        status, told = await pages.redeem(code)
        assert (status, told["error"]) == (400, "invalid_grant")
        assert (await pages.redeem(code, code_verifier=None))[0] == 200


async def test_confidential_client_has_to_authenticate(egain: StandIn) -> None:
    """The verifier does not stand in for the secret."""
    pages = SignInPages(egain)
    async with pages.browser.http:
        code = await code_of(pages)
        for secret in (None, "wrong"):
            status, told = await pages.redeem(code, client_secret=secret)
            assert (status, told["error"]) == (401, "invalid_client")


async def test_flow_must_be_enabled_for_the_application(egain: StandIn) -> None:
    """As with the other flows."""
    egain.directory.register(ClientApp("other", "s", flows=frozenset()))
    pages = SignInPages(egain)
    async with pages.browser.http:
        changes = {"client_id": "other", "client_secret": "s"}
        for status, told in (await pages.redeem("x", **changes), await pages.refresh("x", **changes)):
            assert (status, told["error"]) == (400, "unauthorized_client")


async def test_scopes_of_openid_connect_are_answered_but_in_no_access_token(alice: SignInPages) -> None:
    """They are no permissions."""
    told = await alice.tokens(scope="openid email core.aiservices.read offline_access")
    assert told["scope"] == "openid email core.aiservices.read offline_access"
    claims = jwt.decode(told["access_token"], options={"verify_signature": False})
    assert claims["scope"] == "core.aiservices.read"


async def test_refresh_tokens_can_be_left_out() -> None:
    """A server that has none."""
    async with StandIn(sign_in=SignInSettings(refresh_tokens="none")) as egain:
        pages = SignInPages(egain)
        async with pages.browser.http:
            told = await pages.tokens()
    assert ("access_token" in told, "refresh_token" in told) == (True, False)


async def test_code_in_the_query_of_the_token_url_is_refused(egain: StandIn, alice: SignInPages) -> None:
    """What is in a query is in logs."""
    url = f"{egain.user_token_url}?code=x"
    form = {"grant_type": "authorization_code", "client_id": "x", "redirect_uri": REDIRECT_URI}
    async with alice.browser.http.post(url, data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


async def test_records_show_no_code_and_no_token(egain: StandIn, alice: SignInPages) -> None:
    """What is remembered for assertions does not print secrets."""
    code = await code_of(alice)
    _, told = await alice.redeem(code)
    shown = repr(egain.token_requests) + repr(egain.authorization_requests) + repr(egain.directory)
    secrets = (code, alice.verifier, told["access_token"], told["refresh_token"], told["id_token"])
    assert not any(text in shown for text in (*secrets, "demo-password"))
