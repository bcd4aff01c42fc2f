"""People sign in, call the API from a page's script, and sign out again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.site import Site
from tests.browser.visitor import Visitor
from tests.harness import until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop

PEOPLE = {"user": "alice", "customer": "jane@example.com"}
# Asks every 100 ms and keeps statuses and token ids, as a page that shows something live would.
POLL = """(path) => {
  window.seen = [];
  setInterval(async () => {
    const answer = await fetch(path);
    window.seen.push([answer.status, answer.status === 200 ? (await answer.json()).servedFor.tokenId : ""]);
  }, 100);
}"""


async def row(visitor: Visitor, credential: str) -> Any:
    """The part of the page about one credential."""
    found = visitor.window.locator("form", has_text=f"{credential}:")
    await found.wait_for()
    return found


async def sign_in(visitor: Visitor, here: Site, credential: str) -> None:
    """From the page and back to it."""
    await visitor.go(here.page)
    await (await row(visitor, credential)).locator("a").click()
    await visitor.window.wait_for_selector("#password")
    await visitor.sign_in(PEOPLE[credential])
    await visitor.window.wait_for_url(here.page)


async def call(visitor: Visitor, credential: str) -> dict[str, Any]:
    """Press the page's button; what it shows then."""
    window = visitor.window
    await window.evaluate("document.querySelector('pre').textContent = ''")
    await (await row(visitor, credential)).locator("button", has_text="Call").click()
    await window.locator("pre", has_text="{").wait_for()
    shown: dict[str, Any] = await window.evaluate("JSON.parse(document.querySelector('pre').textContent)")
    return shown


@pytest.mark.parametrize("credential", PEOPLE)
async def test_signs_in_calls_the_api_and_signs_out(visitor: Visitor, here: Site, credential: str) -> None:
    """With the client's secret as a user, with PKCE only as a customer: the page needs no OAuth code for it."""
    await visitor.go(here.page)
    assert "nobody has signed in" in await (await row(visitor, credential)).inner_text()
    await visitor.shot("page-before")
    await (await row(visitor, credential)).locator("a").click()
    await visitor.window.wait_for_selector("#password")
    await visitor.shot(f"login-{credential}")
    await visitor.sign_in(PEOPLE[credential])
    await visitor.window.wait_for_url(here.page)
    name = PEOPLE[credential].partition("@")[0].title()
    assert f"{credential}: {name}" in await (await row(visitor, credential)).inner_text()
    served = (await call(visitor, credential))["servedFor"]
    assert (served["subject"], served["persona"]) == (PEOPLE[credential], credential)
    await visitor.shot(f"page-{credential}")
    (redeemed,) = here.grants("authorization_code")
    assert redeemed.client_auth == ("client_secret_post" if credential == "user" else "none")
    assert len(redeemed.form["code_verifier"]) >= 43

    await (await row(visitor, credential)).locator("button", has_text="Sign out").click()
    await visitor.window.wait_for_selector("text=Sign out?")  # the authorization server asks, too
    await visitor.shot("logout-confirm")
    await visitor.window.click("button.main")
    await visitor.window.wait_for_url(here.page)
    assert "nobody has signed in" in await (await row(visitor, credential)).inner_text()
    assert await visitor.cookies() == {}
    refused = await visitor.fetch(f"/demo/echo/{credential}")
    assert (refused["status"], refused["code"]) == (401, "login_required")
    await visitor.go(f"{here.origin}/demo/echo/{credential}")
    assert await visitor.heading() == "Sign in"


async def test_cookie_of_before_is_worth_nothing_after_signing_out(visitor: Visitor, here: Site) -> None:
    """Whoever has copied it finds the session over: signing out is not only the browser forgetting."""
    await sign_in(visitor, here, "user")
    copied = list((await visitor.cookies()).values())
    assert (await visitor.fetch("/.auth/logout", method="POST"))["json"]["signed_in"] is False
    await visitor.context.add_cookies(copied)
    assert (await visitor.fetch("/demo/echo/user"))["code"] == "login_required"


async def test_user_and_customer_are_signed_in_side_by_side(visitor: Visitor, here: Site) -> None:
    """In one browser; each route has its person, and signing one out leaves the other."""
    for credential in PEOPLE:
        await sign_in(visitor, here, credential)
    await visitor.shot("page-both")
    for credential in PEOPLE:
        assert (await call(visitor, credential))["servedFor"]["persona"] == credential
    told = (await visitor.fetch("/.auth/logout?credential=user", method="POST"))["json"]
    assert told["continue_at"].startswith(here.egain.user_logout_url)
    assert (await visitor.fetch("/demo/echo/user"))["status"] == 401
    assert (await visitor.fetch("/demo/echo/customer"))["status"] == 200


async def test_button_that_finds_nobody_signed_in_leads_to_the_login_page(
    visitor: Visitor, here: Site
) -> None:
    """The script's 401 says where; afterwards the person is back."""
    await visitor.go(here.page)
    await (await row(visitor, "user")).locator("button", has_text="Call").click()
    await visitor.window.wait_for_selector("#password")
    await visitor.sign_in()
    await visitor.window.wait_for_url(here.page)
    assert (await call(visitor, "user"))["servedFor"]["subject"] == "alice"


async def test_opening_an_api_address_leads_to_the_login_page_and_back_to_it(
    visitor: Visitor, here: Site
) -> None:
    """A person sees no 401."""
    target = f"{here.origin}/demo/echo/user?a=1&b=%2F"
    await visitor.go(target)
    await visitor.sign_in()
    assert visitor.window.url == target
    assert '"subject":"alice"' in (await visitor.text()).replace(" ", "")


async def test_token_is_refreshed_several_times_unnoticed(visitor: Visitor, here: Site) -> None:
    """Tokens of 3 seconds: four refreshes, each with the refresh token of the one before, and every answer is 200."""
    here.egain.lifetime = 3
    await sign_in(visitor, here, "user")
    await visitor.window.evaluate(POLL, "/demo/echo/user")
    await until(lambda: len(here.grants("refresh_token")) >= 4, "the fourth refresh")
    known = here.grants("refresh_token")[3].access_token
    assert known is not None
    await until(
        lambda: any(known.encode() in s.all("Authorization")[0] for s in here.served("/demo/echo/user"))
    )
    seen = await visitor.window.evaluate("window.seen")
    assert {status for status, _ in seen} == {200}
    assert len({token for _, token in seen}) >= 4
    chain = [*here.grants("authorization_code"), *here.grants("refresh_token")]
    assert [one.form["refresh_token"] for one in chain[1:]] == [one.refresh_token for one in chain[:-1]]
    assert {seen.status for seen in here.served("/demo/echo/user")} == {200}


async def test_session_that_the_authorization_server_ends_is_begun_anew(visitor: Visitor, here: Site) -> None:
    """Access and refresh token are taken back: a script is told, and who opens a page signs in, not reads an error."""
    await sign_in(visitor, here, "user")
    before = await visitor.cookies()
    assert (await visitor.fetch("/demo/echo/user"))["status"] == 200
    here.egain.revoke_grants()
    assert (await visitor.fetch("/demo/echo/user"))["code"] == "login_required"
    # The authorization server still knows the person: it is a round trip without a page.
    assert await visitor.go(f"{here.origin}/demo/echo/user") == 200
    assert len(here.grants("authorization_code")) == 2
    assert await visitor.cookies() != before


async def test_cookie_of_the_session_is_opaque_and_out_of_reach_for_scripts(
    visitor: Visitor, here: Site
) -> None:
    """HttpOnly, Lax, for the whole host, and gone with the browser; nothing else is left of the sign-in."""
    await sign_in(visitor, here, "user")
    assert await visitor.window.evaluate("document.cookie") == ""
    ((name, cookie),) = (await visitor.cookies()).items()
    assert name == "auth-sidecar-session-user"
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"], cookie["expires"]) == (
        True,
        "Lax",
        "/",
        -1,
    )
    assert len(cookie["value"]) == 43


async def test_upstream_never_sees_the_session_cookie(visitor: Visitor, here: Site) -> None:
    """The app's own cookies cross, the sidecar's do not."""
    await sign_in(visitor, here, "user")
    await visitor.context.add_cookies([{"name": "mine", "value": "1", "url": here.origin}])
    await visitor.fetch("/demo/echo/user")
    (sent,) = here.served("/demo/echo/user")[-1].all("Cookie")
    assert b"mine=1" in sent
    assert b"auth-sidecar" not in sent
