"""The stand-in's end-session endpoint (OpenID Connect RP-Initiated Logout 1.0), and faults of its pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest

from sidecar.demo.faults import SignInFaultKind
from sidecar.demo.standin import StandIn
from tests.form_browser import Page, SignInPages

GONE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionResetError)
HOME = "http://127.0.0.1:8080/"
LOGIN = "<h1>Sign in</h1>"


@pytest.fixture
async def alice(egain: StandIn) -> AsyncIterator[SignInPages]:
    pages = SignInPages(egain)
    yield pages
    await pages.browser.http.close()


async def logout(pages: SignInPages, **parameters: str) -> Page:
    egain = pages.egain
    url = egain.customer_logout_url if pages.customer else egain.user_logout_url
    return await pages.browser.get(f"{url}?{urlencode(parameters)}" if parameters else url)


async def signed_in(pages: SignInPages) -> bool:
    return (await pages.browser.get(pages.url(prompt="none"))).query.get("error") != "login_required"


@pytest.mark.parametrize("customer", [False, True])
async def test_id_token_of_the_session_signs_out_at_once_and_leads_back(
    egain: StandIn, customer: bool
) -> None:
    """The tokens of the session end; the next sign-in shows the form."""
    pages = SignInPages(egain, customer=customer)
    async with pages.browser.http:
        told = await pages.tokens()
        hint = told["id_token"]
        back = await logout(pages, id_token_hint=hint, post_logout_redirect_uri=HOME, state="s 1")
        assert (back.status, back.url) == (None, f"{HOME}?state=s+1")
        assert LOGIN in (await pages.browser.get(pages.url())).text
        assert (await pages.refresh(told["refresh_token"]))[1]["error"] == "invalid_grant"
        assert await pages.api(told["access_token"]) == 401


async def test_without_proof_the_person_is_asked(alice: SignInPages) -> None:
    """Any page could send the browser here; the form's answer then signs out, and leads back as told."""
    await alice.tokens()
    client = alice.egain.client_id
    for parameters, end in (
        ({}, None),
        ({"client_id": client, "post_logout_redirect_uri": HOME, "state": "x"}, f"{HOME}?state=x"),
    ):
        await alice.sign_in()
        page = await logout(alice, **parameters)
        assert (page.status, "<h1>Sign out?</h1>" in page.text) == (200, True)
        assert await signed_in(alice)
        forged = await alice.browser.send(page, csrf="x")
        assert "<h1>Sign out?</h1>" in forged.text
        assert await signed_in(alice)
        done = await alice.browser.send(page)
        assert done.url == end if end else "You are signed out" in done.text
        assert not await signed_in(alice)


async def test_id_token_of_another_session_is_no_proof(egain: StandIn, alice: SignInPages) -> None:
    """Mallory's own, which she may put into a link."""
    mallory = SignInPages(egain)
    async with mallory.browser.http:
        mallory.name = "bob"
        hint = (await mallory.tokens())["id_token"]
    await alice.tokens()
    assert "<h1>Sign out?</h1>" in (await logout(alice, id_token_hint=hint)).text
    assert await signed_in(alice)


@pytest.mark.parametrize("uri", ["https://evil.example/", f"{HOME}x", "http://localhost:8080/"])
async def test_unregistered_address_is_told_to_the_person_and_nothing_is_done(
    alice: SignInPages, uri: str
) -> None:
    """No open redirector; nor is there one without a client to look at."""
    hint = (await alice.tokens())["id_token"]
    for parameters in ({"id_token_hint": hint}, {"client_id": alice.egain.client_id}, {"client_id": "x"}, {}):
        page = await logout(alice, post_logout_redirect_uri=uri, **parameters)
        assert (page.status, "not registered" in page.text) == (400, True)
    assert await signed_in(alice)


async def test_wrong_hint_is_refused(egain: StandIn, alice: SignInPages) -> None:
    """Not ours, not an ID token, or another client's."""
    told = await alice.tokens()
    for parameters in (
        {"id_token_hint": "x"},
        {"id_token_hint": told["access_token"]},
        {"id_token_hint": egain.idp_token("alice@example.com", sid="x")},
        {"id_token_hint": told["id_token"], "client_id": egain.public_client_id},
    ):
        assert (await logout(alice, **parameters)).status == 400
    assert await signed_in(alice)


async def test_nobody_signed_in_is_signed_out_already(egain: StandIn, alice: SignInPages) -> None:
    """The browser is led back all the same."""
    assert "You are signed out" in (await logout(alice)).text
    back = await logout(alice, client_id=egain.client_id, post_logout_redirect_uri=HOME)
    assert back.url == HOME


async def test_form_is_taken_too(egain: StandIn, alice: SignInPages) -> None:
    """Section 2: GET and POST. Other methods and bodies are not."""
    hint = (await alice.tokens())["id_token"]
    http, url = alice.browser.http, egain.user_logout_url
    async with http.put(url, data={"id_token_hint": hint}) as answer:
        assert answer.status == 400
    async with http.post(url, json={"id_token_hint": hint}) as answer:
        assert answer.status == 400
    async with http.post(url, data={"id_token_hint": hint}) as answer:
        assert (answer.status, "You are signed out" in await answer.text()) == (200, True)
    assert not await signed_in(alice)


@pytest.mark.parametrize("kind", ["reset", "close"])
async def test_pages_can_be_down(egain: StandIn, alice: SignInPages, kind: SignInFaultKind) -> None:
    """As the token endpoint and the API can; for one page only, if so wished."""
    egain.faults.signin.on(kind=kind, times=1, path=urlsplit(egain.user_logout_url).path)
    assert LOGIN in (await alice.browser.get(alice.url())).text
    with pytest.raises(GONE):
        await alice.browser.http.post(egain.user_logout_url)  # not sent again by itself, as a GET would be
    assert "You are signed out" in (await logout(alice)).text


async def test_pages_can_be_replaced_and_held(egain: StandIn, alice: SignInPages) -> None:
    """Any status in place of a page; or the page, when it is let go."""
    egain.faults.signin.on(kind="status", status=503, body="busy", times=1)
    page = await alice.browser.get(alice.url())
    assert (page.status, page.text) == (503, "busy")
    egain.faults.signin.on(kind="hold", times=1)
    held = asyncio.create_task(alice.browser.get(alice.url()))
    async with asyncio.timeout(10):
        while egain.faults.signin.fault.times:
            await asyncio.sleep(0.01)
    assert not held.done()
    egain.faults.release()
    assert LOGIN in (await held).text


async def test_authorization_response_can_be_made_wrong(egain: StandIn, alice: SignInPages) -> None:
    """An error of the server's, another `iss`, no state: what a client has to withstand."""
    await alice.sign_in()
    egain.faults.signin.on(kind="error", error="temporarily_unavailable", times=1)
    back = await alice.browser.get(alice.url())
    assert (back.query["error"], back.query["state"]) == ("temporarily_unavailable", "the state")
    egain.faults.signin.on(set={"iss": "https://evil.example"}, omit=["state"])
    back = await alice.browser.get(alice.url())
    assert (back.query["iss"], "state" in back.query, "code" in back.query) == (
        "https://evil.example", False, True
    )  # fmt: skip
    async with alice.browser.http.post(f"{egain.base}/demo/faults", json={"signin": {}}) as answer:
        assert (await answer.json())["signin"]["set"] == {}
    assert (await alice.browser.get(alice.url())).query["iss"] == egain.issuer


async def test_signing_out_ends_this_session_for_good_and_no_other(
    egain: StandIn, alice: SignInPages
) -> None:
    """The cookie is worth nothing afterwards, to whoever kept it; the same person elsewhere stays signed in."""
    elsewhere = SignInPages(egain)
    async with elsewhere.browser.http as http:
        there = await elsewhere.tokens()
        here = await alice.tokens()
        (cookie,) = (cookie.value for cookie in alice.browser.http.cookie_jar)
        await logout(alice, id_token_hint=here["id_token"])
        assert not list(alice.browser.http.cookie_jar)
        assert await elsewhere.api(there["access_token"]) == 200
        assert (await elsewhere.refresh(there["refresh_token"]))[0] == 200
        assert await signed_in(elsewhere)
        http.cookie_jar.clear()
        async with http.get(alice.url(), headers={"Cookie": f"egain_session={cookie}"}) as answer:
            assert LOGIN in await answer.text()
