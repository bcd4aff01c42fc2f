"""Sign-ins that must not succeed: each ends on a page that says what happened, and nobody is signed in by it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from tests.browser.elsewhere import Elsewhere
from tests.browser.site import Site
from tests.browser.visitor import Visitor, visiting

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop

FORGED = "This sign-in cannot be completed"


async def signed_in(visitor: Visitor, credential: str = "user") -> bool:
    """As the page's script is told, and as the API routes see it."""
    told = (await visitor.fetch("/.auth/session"))["json"]["credentials"][credential]["signed_in"]
    status = (await visitor.fetch(f"/demo/echo/{credential}"))["status"]
    assert (told, status) in ((True, 200), (False, 401))
    return bool(told)


async def nobody(visitor: Visitor, here: Site) -> None:
    await visitor.go(here.page)
    assert not await signed_in(visitor)


async def kept_back(visitor: Visitor, here: Site) -> str:
    """Sign in, but stop at the door: the callback's address, which the sidecar has not seen yet."""
    here.front.keep_back = b"GET /.auth/callback"
    await visitor.go(here.login())
    await visitor.sign_in()
    here.front.keep_back = None
    return f"{here.origin}{here.front.kept_back.pop()}"


@pytest.mark.parametrize("step", ["login", "consent"])
async def test_person_who_says_no_reads_so_and_may_change_their_mind(
    visitor: Visitor, here: Site, step: str
) -> None:
    """At either page; the answer leads to a second try, which ends where the first would have."""
    await visitor.go(here.login(return_to="/demo/page?kept=1"))
    if step == "consent":
        await visitor.window.fill("#name", "alice")
        await visitor.window.fill("#password", "demo-password")
        await visitor.window.click("button[value=allow]")
        await visitor.window.wait_for_selector("text=Allow access?")
        await visitor.shot("consent")
    await visitor.window.click("button[value=deny]")
    await visitor.window.wait_for_url(f"{here.callback}**")
    assert await visitor.heading() == "You have not been signed in"
    await visitor.shot(f"refused-denied-{step}")
    await visitor.window.click("a.do")
    if step == "login":
        await visitor.sign_in()
    else:
        await visitor.window.click("button[value=allow]")
    await visitor.window.wait_for_url(f"{here.page}?kept=1")
    assert await signed_in(visitor)


async def test_wrong_password_is_the_authorization_server_s_business(visitor: Visitor, here: Site) -> None:
    """The person stays there and tries again."""
    await visitor.go(here.login())
    await visitor.window.fill("#name", "alice")
    await visitor.window.fill("#password", "wrong")
    await visitor.window.click("button[value=allow]")
    await visitor.window.wait_for_selector("[role=alert]")
    await visitor.shot("login-wrong-password")
    await visitor.sign_in()
    await visitor.window.wait_for_url(here.page)
    assert await signed_in(visitor)


async def test_code_that_has_run_out(visitor: Visitor, here: Site) -> None:
    """The token endpoint refuses it."""
    here.egain.sign_in.code_lifetime = 0.0
    await visitor.go(here.login())
    await visitor.sign_in()
    assert await visitor.heading() == "Signing in took too long"
    await visitor.shot("refused-expired")
    assert here.egain.token_requests[-1].error == "invalid_grant"
    await nobody(visitor, here)


async def test_callback_is_good_once(visitor: Visitor, here: Site) -> None:
    """Opened again, from the history say, it changes nothing: neither a second session nor the end of the first."""
    url = await kept_back(visitor, here)
    await visitor.go(url)
    assert visitor.window.url == here.page
    session = (await visitor.cookies())["auth-sidecar-session-user"]["value"]
    assert await visitor.go(url) == 400
    assert await visitor.heading() == FORGED
    await visitor.shot("refused-replayed")
    assert (await visitor.cookies())["auth-sidecar-session-user"]["value"] == session
    assert len([seen for seen in here.egain.token_requests if seen.grant == "authorization_code"]) == 1
    await visitor.go(here.page)
    assert await signed_in(visitor)


async def test_callback_of_somebody_else_s_sign_in(
    visitor: Visitor, browser: Any, here: Site, tmp_path: Path
) -> None:
    """Login CSRF: nobody is signed in as the attacker by opening the attacker's link, and the code is not spent."""
    async with visiting(browser, tmp_path) as attacker:
        url = await kept_back(attacker, here)
        assert await visitor.go(url) == 400
        assert await visitor.heading() == FORGED
        assert not here.egain.token_requests
        await nobody(visitor, here)
        await attacker.go(url)
        assert await signed_in(attacker)  # where it was begun it is good, and still is


@pytest.mark.parametrize(
    ("found", "forged"),
    [
        (r"state=([\w-]{8})[\w-]+", r"state=\1forged"),
        (r"state=[\w-]+", "state=forged"),
        (r"state=[\w-]+", ""),
        (r"(state=[\w-]+)", r"\1&\1"),
        (r"(iss=[^&]+)", r"\1&iss=x"),
        (r"iss=[^&]+", "iss=http%3A%2F%2Fevil.localhost"),
    ],
    ids=["state's rest", "state", "no state", "two states", "two issuers", "issuer"],
)
async def test_forged_callback(visitor: Visitor, here: Site, found: str, forged: str) -> None:
    """Anything about it that is not as the sidecar and the authorization server have made it."""
    url = await kept_back(visitor, here)
    changed = re.sub(found, forged, url)
    assert changed != url
    assert await visitor.go(changed) == 400
    assert await visitor.heading() == FORGED
    await visitor.shot("refused-forged")
    assert not here.egain.token_requests
    await nobody(visitor, here)


async def test_authorization_server_that_says_to_be_another(visitor: Visitor, here: Site) -> None:
    """Mix-up: the code is not sent anywhere."""
    here.egain.faults.signin.on(set={"iss": "https://evil.example.com/"})
    await visitor.go(here.login())
    await visitor.sign_in()
    assert await visitor.heading() == FORGED
    assert not here.egain.token_requests
    await nobody(visitor, here)


async def test_tampered_cookie_of_the_attempt(visitor: Visitor, here: Site) -> None:
    """Changed in one character it opens nothing."""
    url = await kept_back(visitor, here)
    ((_, cookie),) = (await visitor.cookies()).items()
    await visitor.context.add_cookies([{**cookie, "value": _changed(cookie["value"])}])
    assert await visitor.go(url) == 400
    assert await visitor.heading() == FORGED
    assert not here.egain.token_requests
    await nobody(visitor, here)


async def test_tampered_cookie_of_the_session(visitor: Visitor, here: Site) -> None:
    """It leads nowhere; the right one goes on."""
    await visitor.go(here.login())
    await visitor.sign_in()
    ((_, cookie),) = (await visitor.cookies()).items()
    await visitor.context.add_cookies([{**cookie, "value": _changed(cookie["value"])}])
    assert not await signed_in(visitor)
    await visitor.context.add_cookies([cookie])
    assert await signed_in(visitor)


def _changed(value: str) -> str:
    middle = len(value) // 2
    return value[:middle] + ("A" if value[middle] != "A" else "B") + value[middle + 1 :]


async def test_session_cannot_be_planted(visitor: Visitor, here: Site) -> None:
    """Fixation: what was there before signing in is not what is there afterwards."""
    planted = {"name": "auth-sidecar-session-user", "value": "A" * 43, "url": here.origin}
    await visitor.context.add_cookies([planted])
    await visitor.go(here.login())
    await visitor.sign_in()
    await visitor.window.wait_for_url(here.page)
    assert (await visitor.cookies())["auth-sidecar-session-user"]["value"] != "A" * 43
    await visitor.context.add_cookies([planted])
    assert not await signed_in(visitor)


@pytest.mark.parametrize(
    "return_to",
    [
        "//{evil}/", "///{evil}/", "http://{evil}/", "\\\\{evil}/", "/\\{evil}/", "/\t/{evil}/", "/\n/{evil}",
        "{evil}", "@{evil}", "javascript:alert(1)", "data:text/html,x", "/.auth/login", " //{evil}", "/ö",
    ],
)  # fmt: skip
async def test_address_to_go_back_to_elsewhere_is_refused(
    visitor: Visitor, other: Elsewhere, here: Site, return_to: str
) -> None:
    """No open redirect: a page says so, and nobody is asked to sign in first."""
    target = return_to.format(evil=f"evil.localhost:{other.port}")
    assert await visitor.go(here.login(return_to=quote(target, safe=""))) == 400
    assert await visitor.heading() == "This link leads somewhere else"
    await visitor.shot("refused-return-to")
    assert visitor.window.url.startswith(here.origin)
    assert other.asked == []
    assert await visitor.cookies() == {}


@pytest.mark.parametrize(
    "return_to", ["/x/..//{evil}/", "/%2F{evil}/", "/;//{evil}", "/?//{evil}", "/#@{evil}"]
)
async def test_odd_address_to_go_back_to_stays_on_the_site(
    visitor: Visitor, other: Elsewhere, here: Site, return_to: str
) -> None:
    """It looks like one elsewhere, and is none to a browser."""
    target = return_to.format(evil=f"evil.localhost:{other.port}")
    await visitor.go(here.login(return_to=quote(target, safe="")))
    await visitor.sign_in()
    assert urlsplit(visitor.window.url).netloc == urlsplit(here.origin).netloc
    assert other.asked == []


async def test_unknown_way_to_sign_in(visitor: Visitor, here: Site) -> None:
    """A link that names none, or one that is not there."""
    for query in ("?credential=nobody", "?credential=app", "", "?credential=user&credential=customer"):
        assert await visitor.go(f"{here.origin}/.auth/login{query}") == 400
        assert await visitor.heading() == "There is no such way to sign in"
    await visitor.shot("refused-unknown")


@pytest.mark.parametrize(
    ("kind", "status", "heading"),
    [
        ("down", 503, "Signing in is not possible at the moment"),
        ("garbage", 503, "Signing in is not possible at the moment"),
        ("error", 502, "Signing in did not work"),
    ],
)
async def test_token_endpoint_that_fails(
    visitor: Visitor, here: Site, kind: Any, status: int, heading: str
) -> None:
    """The page tells whether another try is worth it."""
    here.egain.faults.token.on(kind=kind, error="invalid_client", status=401)
    answers: list[int] = []
    visitor.window.on("response", lambda answer: answers.append(answer.status))
    await visitor.go(here.login())
    await visitor.sign_in()
    assert (answers[-1], await visitor.heading()) == (status, heading)
    await visitor.shot(f"refused-token-{kind}")
    here.egain.faults.clear()
    await nobody(visitor, here)


async def test_authorization_server_that_answers_with_an_error(visitor: Visitor, here: Site) -> None:
    """Its own words are not shown: anybody could have written them."""
    here.egain.faults.signin.on(kind="error", error="server_error")
    assert await visitor.go(here.login()) == 400
    assert await visitor.heading() == "Signing in did not work"
    assert "server_error" not in await visitor.text()
    await visitor.shot("refused-server-error")


async def test_two_windows_sign_in_at_the_same_time(visitor: Visitor, here: Site) -> None:
    """Neither attempt spoils the other."""
    second = await visitor.context.new_page()
    await visitor.go(here.login(return_to="/demo/page?first"))
    await visitor.go(here.login(return_to="/demo/page?second"), second)
    await visitor.sign_in()
    await visitor.window.wait_for_url(f"{here.page}?first")
    await second.reload()  # it is known by now who this is
    await second.wait_for_url(f"{here.page}?second")
    assert await signed_in(visitor)
    assert len(await visitor.cookies()) == 1
