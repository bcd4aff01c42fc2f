"""Refresh tokens of the stand-in: RFC 6749 section 6, rotation and reuse as in RFC 9700 section 4.14.2."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import aiohttp
import jwt
import pytest

from sidecar.demo.standin import StandIn
from tests.fake_clock import FakeClock
from tests.form_browser import SCOPE, SignInPages

GONE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionResetError)


@pytest.fixture
async def egain(clock: FakeClock) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock) as standin:
        yield standin


@pytest.fixture(params=[(False, False), (True, True)], ids=["confidential user", "public customer"])
async def alice(egain: StandIn, request: pytest.FixtureRequest) -> AsyncIterator[SignInPages]:
    public, customer = request.param
    pages = SignInPages(egain, public=public, customer=customer)
    yield pages
    await pages.browser.http.close()


def claims_of(token: str) -> dict[str, str]:
    claims: dict[str, str] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def test_each_refresh_gives_new_tokens_for_the_same_person_and_scopes(
    egain: StandIn, alice: SignInPages
) -> None:
    """Again and again; the access tokens before stay good until they expire."""
    first = told = await alice.tokens()
    seen = {told["refresh_token"]}
    for _ in range(5):
        status, told = await alice.refresh(told["refresh_token"])
        assert (status, told["scope"], told["expires_in"]) == (200, SCOPE, 3600)
        assert told["refresh_token"] not in seen
        seen.add(told["refresh_token"])
        was, now = claims_of(first["access_token"]), claims_of(told["access_token"])
        assert all(was[name] == now[name] for name in ("sub", "persona", "scope", "grant_id"))
        assert was["jti"] != now["jti"]
        was, now = claims_of(first["id_token"]), claims_of(told["id_token"])
        assert all(was[name] == now[name] for name in ("iss", "sub", "aud", "auth_time", "sid"))
        assert ("nonce" in was, "nonce" in now) == (True, False)
    assert await alice.api(first["access_token"]) == await alice.api(told["access_token"]) == 200
    grants = [request.grant for request in egain.token_requests]
    assert grants == ["authorization_code", *["refresh_token"] * 5]


async def test_retired_token_ends_the_whole_sign_in(egain: StandIn, alice: SignInPages) -> None:
    """Whoever uses it again: thief or owner, the server cannot tell. Other sign-ins go on."""
    other = await alice.tokens()
    first = await alice.tokens()
    _, second = await alice.refresh(first["refresh_token"])
    status, refusal = await alice.refresh(first["refresh_token"])
    assert (status, refusal["error"]) == (400, "invalid_grant")
    assert egain.token_requests[-1].error == "invalid_grant"
    assert (await alice.refresh(second["refresh_token"]))[1]["error"] == "invalid_grant"
    for tokens in (first, second):
        assert await alice.api(tokens["access_token"]) == 401
    assert (await alice.refresh(other["refresh_token"]))[0] == 200


async def test_of_parallel_refreshes_with_one_token_one_wins_and_the_losers_revoke_it(
    alice: SignInPages,
) -> None:
    """What a strict server does: a client has to refresh one at a time, or the person is signed out."""
    told = await alice.tokens()
    answers = await asyncio.gather(*(alice.refresh(told["refresh_token"]) for _ in range(10)))
    assert sorted(status for status, _ in answers) == [200] + [400] * 9
    (won,) = (told for status, told in answers if status == 200)
    assert (await alice.refresh(won["refresh_token"]))[1]["error"] == "invalid_grant"
    assert await alice.api(won["access_token"]) == 401


async def test_refreshes_of_many_people_at_once_disturb_nobody(egain: StandIn) -> None:
    """Twenty sign-ins, each refreshed ten times, all at the same time."""

    async def one(public: bool) -> int:
        pages = SignInPages(egain, public=public)
        async with pages.browser.http:
            told = await pages.tokens()
            for _ in range(10):
                status, told = await pages.refresh(told["refresh_token"])
                assert status == 200, told
            return await pages.api(told["access_token"])

    assert await asyncio.gather(*(one(n % 2 == 0) for n in range(20))) == [200] * 20
    assert [request.status for request in egain.token_requests] == [200] * 220


async def test_refresh_token_is_bound_to_client_and_endpoint(egain: StandIn, alice: SignInPages) -> None:
    """A stranger gets nothing, and cannot end the sign-in either."""
    told = await alice.tokens()
    for public, customer in itertools.product((False, True), repeat=2):
        if (public, customer) == (alice.public, alice.customer):
            continue
        stranger = SignInPages(egain, public=public, customer=customer)
        async with stranger.browser.http:
            status, refusal = await stranger.refresh(told["refresh_token"])
        assert (status, refusal["error"]) == (400, "invalid_grant")
    assert (await alice.refresh(told["refresh_token"]))[0] == 200


async def test_made_up_refresh_token_is_unknown_and_ends_nothing(alice: SignInPages) -> None:
    """Also one that looks like a retired one."""
    told = await alice.tokens()
    id, number, mac = told["refresh_token"].split(".")
    made_up = [
        "x", "é", f"{id}.", f"{id}.0.{mac}", f"{id}.2.{mac}", f"{id}.{number}.{mac}x", f"{id}.{number}",
        f"x.{number}.{mac}", f"{id}.٣.{mac}", f"{id}.{'9' * 30}.{mac}",
    ]  # fmt: skip
    for text in made_up:
        status, refusal = await alice.refresh(text)
        assert (status, refusal["error"]) == (400, "invalid_grant"), text
    assert (await alice.refresh(told["refresh_token"]))[0] == 200


async def test_scope_may_only_narrow_and_only_for_that_access_token(alice: SignInPages) -> None:
    """RFC 6749 section 6: the refresh token keeps the scopes that the person consented to."""
    told = await alice.tokens()
    status, refusal = await alice.refresh(told["refresh_token"], scope="core.aiservices.manage")
    assert (status, refusal["error"]) == (400, "invalid_scope")
    _, narrow = await alice.refresh(told["refresh_token"], scope="core.aiservices.read")
    assert (narrow["scope"], claims_of(narrow["access_token"])["scope"]) == ("core.aiservices.read",) * 2
    _, wide = await alice.refresh(narrow["refresh_token"])
    assert wide["scope"] == SCOPE


async def test_refresh_token_expires_when_it_is_not_used(
    egain: StandIn, alice: SignInPages, clock: FakeClock
) -> None:
    """Each lives its own lifetime from its issue."""
    egain.sign_in.refresh_lifetime = 10
    told = await alice.tokens()
    for _ in range(3):
        clock.advance(9)
        status, told = await alice.refresh(told["refresh_token"])
        assert status == 200
    clock.advance(10)
    status, refusal = await alice.refresh(told["refresh_token"])
    assert (status, refusal["error"]) == (400, "invalid_grant")


async def test_refresh_token_can_be_fixed(egain: StandIn, alice: SignInPages) -> None:
    """A server that does not rotate answers no new one, and takes the old one at any time, in parallel too."""
    egain.sign_in.refresh_tokens = "fixed"
    told = await alice.tokens()
    answers = await asyncio.gather(*(alice.refresh(told["refresh_token"]) for _ in range(5)))
    assert [(status, "refresh_token" in told) for status, told in answers] == [(200, False)] * 5


async def test_faults_befall_refreshes_as_any_token_request(egain: StandIn, alice: SignInPages) -> None:
    """Down before anything is decided: the token is still good."""
    told = await alice.tokens()
    egain.faults.token.on(kind="down", times=1)
    with pytest.raises(GONE):
        await alice.refresh(told["refresh_token"])
    egain.faults.token.on(omit=["id_token"], set={"expires_in": "7"})
    status, told = await alice.refresh(told["refresh_token"])
    assert (status, told["expires_in"], "id_token" in told) == (200, "7", False)


async def test_lost_answer_leaves_the_client_with_a_retired_token(egain: StandIn, alice: SignInPages) -> None:
    """The rotation took place, the new token never arrived: trying again ends the sign-in."""
    told = await alice.tokens()
    egain.faults.token.on(kind="lost", times=1)
    with pytest.raises(GONE):
        await alice.refresh(told["refresh_token"])
    lost = egain.token_requests[-1]
    assert (lost.status, lost.refresh_token is not None) == (None, True)
    assert (await alice.refresh(told["refresh_token"]))[1]["error"] == "invalid_grant"


async def test_administrator_can_end_all_sign_ins(egain: StandIn, alice: SignInPages) -> None:
    """Refresh tokens and access tokens of people end; those of applications do not."""
    told = await alice.tokens()
    code = (await alice.sign_in()).query["code"]
    app = egain.issue("app", "app.knowledge.portalmgr.read")
    egain.revoke_grants()
    assert (await alice.refresh(told["refresh_token"]))[1]["error"] == "invalid_grant"
    assert (await alice.redeem(code))[1]["error"] == "invalid_grant"
    assert (await alice.api(told["access_token"]), await alice.api(app)) == (401, 200)
