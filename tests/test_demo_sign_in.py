"""The stand-in's sign-in pages: login, consent, denial, and when which of them is skipped."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from cachetools import LRUCache

from sidecar.demo.signin.answers import Cookie
from sidecar.demo.signin.browsers import BrowserSession
from sidecar.demo.signin.settings import SignInSettings
from sidecar.demo.standin import StandIn
from tests.fake_clock import FakeClock
from tests.form_browser import REDIRECT_URI, SCOPE, SignInPages

LOGIN, CONSENT = "<h1>Sign in</h1>", "<h1>Allow access?</h1>"


@pytest.fixture
async def egain(clock: FakeClock) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock) as standin:
        yield standin


@pytest.fixture
async def alice(egain: StandIn) -> AsyncIterator[SignInPages]:
    pages = SignInPages(egain)
    yield pages
    await pages.browser.http.close()


@pytest.mark.parametrize("customer", [False, True])
async def test_person_logs_in_consents_and_comes_back_with_code_state_and_iss(
    egain: StandIn, customer: bool
) -> None:
    """The login form, the consent page that names client and scopes, then the redirect of RFC 6749 and 9207."""
    pages = SignInPages(egain, customer=customer)
    async with pages.browser.http:
        login = await pages.browser.get(pages.url())
        assert (login.status, LOGIN in login.text) == (200, True)
        assert f'<label for="name">{"Email" if customer else "User name"}</label>' in login.text
        assert egain.authorization_requests[-1].outcome == "login"
        consent = await pages.log_in(login)
        assert (consent.status, CONSENT in consent.text) == (200, True)
        shown = ["Demo web application", pages.name, *SCOPE.split()]
        assert all(text in consent.text for text in shown)
        assert consent.form.buttons == ["allow", "deny"]
        assert egain.authorization_requests[-1].outcome == "consent"
        back = await pages.browser.send(consent, decision="allow")
    assert back.url.startswith(REDIRECT_URI + "?")
    assert back.query == {"code": back.query["code"], "state": "the state", "iss": egain.issuer}
    seen = egain.authorization_requests[-1]
    assert (seen.endpoint, seen.outcome) == ("customer" if customer else "user", "code")
    assert (seen.parameters["scope"], len(egain.authorization_requests)) == (SCOPE, 1)


@pytest.mark.parametrize("at", [LOGIN, CONSENT])
async def test_denial_goes_back_with_access_denied(egain: StandIn, alice: SignInPages, at: str) -> None:
    """Cancel on the login page and Deny on the consent page both tell the client."""
    page = await alice.browser.get(alice.url())
    if at == CONSENT:
        page = await alice.log_in(page)
    assert at in page.text
    back = await alice.browser.send(page, decision="deny")
    assert (back.query["error"], back.query["state"]) == ("access_denied", "the state")
    assert (back.query["iss"], "code" in back.query) == (egain.issuer, False)
    assert egain.authorization_requests[-1].outcome == "access_denied"


@pytest.mark.parametrize(
    ("name", "password"), [("alice", "wrong"), ("alice", ""), ("nobody", "demo-password")]
)
async def test_wrong_name_or_password_shows_the_form_again(
    alice: SignInPages, name: str, password: str
) -> None:
    """Which of both was wrong is not told; the name stays; the right password then does it."""
    page = await alice.log_in(await alice.browser.get(alice.url()), name, password)
    assert (page.status, page.form.fields["name"]) == (403, name)
    assert 'role="alert"' in page.text
    assert "User name or password is wrong." in page.text
    assert CONSENT in (await alice.log_in(page)).text


async def test_persons_of_the_other_endpoint_are_unknown(egain: StandIn) -> None:
    """-U signs users in and no customers, -C customers and no users, each with its own session."""
    user, customer = SignInPages(egain), SignInPages(egain, customer=True)
    async with user.browser.http, customer.browser.http:
        page = await user.log_in(await user.browser.get(user.url()), "jane@example.com")
        assert page.status == 403
        page = await customer.log_in(await customer.browser.get(customer.url()), "alice")
        assert page.status == 403
        await user.sign_in()
        customer.browser = user.browser
        assert LOGIN in (await customer.browser.get(customer.url())).text


async def test_second_sign_in_of_the_same_browser_shows_no_page(alice: SignInPages) -> None:
    """The cookie knows the person, the session what was allowed; other scopes are asked for."""
    first = await alice.sign_in()
    second = await alice.browser.get(alice.url())
    assert (second.status, second.query["code"] != first.query["code"]) == (None, True)
    more = await alice.browser.get(alice.url(scope="core.aiservices.read core.aiservices.manage"))
    assert CONSENT in more.text
    fewer = await alice.browser.get(alice.url(scope="core.aiservices.read", prompt="none"))
    assert "code" in fewer.query


async def test_public_client_on_this_machine_asks_for_consent_each_time(egain: StandIn) -> None:
    """Anybody could claim its id and a loopback port (RFC 8252 section 8.6); at its web address, nobody can."""
    pages = SignInPages(egain, public=True)
    async with pages.browser.http:
        await pages.sign_in()
        assert CONSENT in (await pages.browser.get(pages.url())).text
        silent = await pages.browser.get(pages.url(prompt="none"))
        assert silent.query["error"] == "consent_required"
        web = "https://app.example.com/.auth/callback"
        assert "code" in (await pages.browser.get(pages.url(redirect_uri=web))).query


async def test_prompt_and_max_age_and_login_hint_are_honoured(alice: SignInPages, clock: FakeClock) -> None:
    """OpenID Connect Core section 3.1.2.1: what the client says about the person's presence."""
    nobody = await alice.browser.get(alice.url(prompt="none"))
    assert nobody.query["error"] == "login_required"
    hinted = await alice.browser.get(alice.url(login_hint="bob"))
    assert hinted.form.fields["name"] == "bob"
    await alice.sign_in()
    for asks in ("login", "select_account", "login consent"):
        assert LOGIN in (await alice.browser.get(alice.url(prompt=asks))).text
    assert CONSENT in (await alice.browser.get(alice.url(prompt="consent"))).text
    assert LOGIN in (await alice.browser.get(alice.url(login_hint="bob"))).text
    other = await alice.browser.get(alice.url(login_hint="bob", prompt="none"))
    assert other.query["error"] == "login_required"
    for same in ("alice", "alice@example.com"):
        assert "code" in (await alice.browser.get(alice.url(login_hint=same, prompt="none"))).query
    clock.advance(100)
    assert "code" in (await alice.browser.get(alice.url(max_age="100"))).query
    assert LOGIN in (await alice.browser.get(alice.url(max_age="99"))).text
    assert "code" in (await alice.sign_in(max_age="99")).query


async def test_session_ends_after_its_lifetime(clock: FakeClock) -> None:
    """Then the password is asked for again."""
    async with StandIn(clock=clock, sign_in=SignInSettings(session_lifetime=50)) as egain:
        pages = SignInPages(egain)
        async with pages.browser.http:
            await pages.sign_in()
            clock.advance(49)
            assert "code" in (await pages.browser.get(pages.url())).query
            clock.advance(1)
            assert LOGIN in (await pages.browser.get(pages.url())).text


async def test_pages_are_closed_to_scripts_frames_caches_and_other_sites(alice: SignInPages) -> None:
    """One document each, one style sheet known by its hash, a form that leads here or to the client only."""
    login = await alice.browser.get(alice.url())
    pages = [login, await alice.log_in(login), await alice.browser.get(alice.url(client_id="x"))]
    for page in pages:
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'; style-src 'sha256-" in policy
        assert "base-uri 'none'; frame-ancestors 'none'" in policy
        assert page.headers["Cache-Control"] == "no-store"
        assert page.headers["Referrer-Policy"] == "no-referrer"
        assert not re.search(r"<script|\son\w+=|\sstyle=|src=|href=|https?://", page.text)
        assert re.search(r'<html lang="en">.*<title>[^<]+</title>.*<h1>', page.text, re.DOTALL)
    assert "form-action 'self' http://127.0.0.1:8080;" in login.headers["Content-Security-Policy"]
    ipv6 = await alice.browser.get(alice.url(redirect_uri="http://[::1]:8080/callback", prompt="login"))
    assert "form-action 'self' http:;" in ipv6.headers["Content-Security-Policy"]


async def test_login_gives_the_browser_a_new_cookie_that_scripts_cannot_read(alice: SignInPages) -> None:
    """HttpOnly, SameSite=Lax, of the endpoint's path; a cookie from before the login is worth nothing after it."""
    login = await alice.browser.get(alice.url())
    attributes = {part.strip() for part in login.headers["Set-Cookie"].split(";")}
    assert {"HttpOnly", "SameSite=Lax", "Path=/system/auth/TMPRODB88619984-U/oauth2"} <= attributes
    before = [cookie.value for cookie in alice.browser.http.cookie_jar]
    consent = await alice.log_in(login)
    after = [cookie.value for cookie in alice.browser.http.cookie_jar]
    assert (len(before), len(after), before != after) == (1, 1, True)
    other = SignInPages(alice.egain)
    async with other.browser.http:
        headers = {"Cookie": f"egain_session={before[0]}"}
        async with other.browser.http.get(alice.url(), headers=headers) as answer:
            assert LOGIN in await answer.text()
        async with other.browser.http.get(consent.url, headers=headers) as answer:
            assert answer.status == 403


async def test_forged_form_does_nothing(egain: StandIn, alice: SignInPages) -> None:
    """Without the page's hidden values, or in another browser, neither form is taken."""
    login = await alice.browser.get(alice.url())
    consent = await alice.log_in(login)
    mallory = SignInPages(egain)
    async with mallory.browser.http:
        await mallory.sign_in()
        for page in (login, consent):
            for forged in ({"csrf": "x"}, {"interaction": "x"}, {"csrf": ""}):
                refused = await alice.browser.send(page, name="alice", decision="allow", **forged)
                assert (refused.status, "out of date" in refused.text) == (403, True)
            assert (await mallory.browser.send(page, decision="allow")).status == 403
    assert egain.authorization_requests[0].outcome == "consent"
    assert "code" in (await alice.browser.send(consent, decision="allow")).query


async def test_consent_of_one_person_is_not_given_by_the_next(alice: SignInPages) -> None:
    """Bob signs in in another tab while alice's consent page is still open."""
    consent = await alice.log_in(await alice.browser.get(alice.url()))
    bob = await alice.log_in(await alice.browser.get(alice.url(prompt="login")), "bob")
    fresh = bob.form.fields["csrf"]
    assert (await alice.browser.send(consent, decision="allow", csrf=fresh)).status == 403
    assert "code" in (await alice.browser.send(bob, decision="allow")).query


async def test_second_click_leads_to_the_same_place(alice: SignInPages) -> None:
    """A double click on Allow: one code, however often the form is sent."""
    consent = await alice.log_in(await alice.browser.get(alice.url()))
    answers = await asyncio.gather(*(alice.browser.send(consent, decision="allow") for _ in range(5)))
    assert len({answer.url for answer in answers}) == 1


async def test_many_people_sign_in_at_once(egain: StandIn) -> None:
    """Each gets tokens of their own."""
    egain.directory.open = True

    async def subject(n: int) -> str:
        pages = SignInPages(egain, public=n % 2 == 0)
        pages.name = f"person-{n}"
        async with pages.browser.http:
            await pages.tokens()
            return str(egain._mint.verify((await pages.tokens())["access_token"]).subject)

    subjects = await asyncio.gather(*(subject(n) for n in range(20)))
    assert subjects == [f"person-{n}" for n in range(20)]


def test_cookie_is_secure_when_the_stand_in_speaks_tls() -> None:
    """And cannot be without it."""
    for secure in (True, False):
        response = Cookie("/x", secure).write(web.Response(), BrowserSession(0.0, LRUCache(1)))
        assert bool(response.cookies["egain_session"]["secure"]) is secure
