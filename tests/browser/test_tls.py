"""On https with a name, behind a front where TLS ends: the cookie that only this very host can set."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import trustme

from tests.browser.elsewhere import Elsewhere, elsewhere
from tests.browser.site import Site
from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop

COOKIE = "__Host-auth-sidecar-session-"
PEOPLE = {"user": "alice", "customer": "jane@example.com"}
NEIGHBOUR = "evil.example.test"  # a browser sends it the cookies of example.test, and takes such from it
PLANTED = "P" * 43


@pytest_asyncio.fixture(loop_scope="session")
async def neighbour() -> AsyncIterator[Elsewhere]:
    """A host of the same domain that somebody else has got hold of."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert(NEIGHBOUR).configure_cert(context)
    async with elsewhere(context) as made:
        yield made


async def sign_in(guest: Visitor, secure: Site, credential: str = "user") -> None:
    await guest.go(secure.login(credential))
    await guest.sign_in(PEOPLE[credential])
    await guest.window.wait_for_url(secure.page)


@pytest.mark.parametrize("credential", PEOPLE)
async def test_cookie_is_secure_and_of_this_host_alone(guest: Visitor, secure: Site, credential: str) -> None:
    """Also the one of the attempt, while the person is at the login page."""
    await guest.go(secure.login(credential))
    ((name, cookie),) = (await guest.cookies()).items()
    assert name.startswith("__Host-auth-sidecar-login-")
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Lax")
    await guest.sign_in(PEOPLE[credential])
    await guest.window.wait_for_url(secure.page)
    ((name, cookie),) = (await guest.cookies()).items()
    assert name == COOKIE + credential
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (
        True,
        True,
        "Lax",
        "/",
    )
    assert cookie["domain"] == "app.example.test"
    served = (await guest.fetch(f"/demo/echo/{credential}"))["json"]["servedFor"]
    assert served["subject"] == PEOPLE[credential]
    await guest.shot(f"tls-{credential}")


async def test_signs_out_over_tls(guest: Visitor, secure: Site) -> None:
    """By the page's form, through the authorization server's page, and back."""
    await sign_in(guest, secure)
    await guest.window.locator("form", has_text="user:").locator("button", has_text="Sign out").click()
    await guest.window.wait_for_selector("text=Sign out?")
    await guest.window.click("button.main")
    await guest.window.wait_for_url(secure.page)
    assert await guest.cookies() == {}
    assert (await guest.fetch("/demo/echo/user"))["code"] == "login_required"


@pytest.mark.parametrize("name", [f"{COOKIE}user", "auth-sidecar-session-user"])
async def test_neighbour_cannot_plant_a_session(
    guest: Visitor, neighbour: Elsewhere, secure: Site, name: str
) -> None:
    """By script or by header, with the cookie's name or the one without the prefix: the person's own session counts."""
    await sign_in(guest, secure)
    served = (await guest.fetch("/demo/echo/user"))["json"]["servedFor"]["subject"]
    line = f"{name}={PLANTED}; Domain=example.test; Path=/; Secure"
    neighbour.put("<h1>Next door</h1>", Set_Cookie=line)
    await guest.go(neighbour.at(NEIGHBOUR))
    await guest.window.evaluate("(line) => { document.cookie = line }", line)
    planted = [one for one in await guest.context.cookies() if one["value"] == PLANTED]
    assert len(planted) == (
        0 if name.startswith("__Host-") else 1
    )  # the browser refuses the prefix from there
    await guest.go(secure.page)
    assert (await guest.fetch("/demo/echo/user"))["json"]["servedFor"]["subject"] == served


@pytest.mark.parametrize("path", ["/.auth/logout", "/demo/echo/user"])
async def test_neighbour_s_form_is_refused(
    guest: Visitor, neighbour: Elsewhere, secure: Site, path: str
) -> None:
    """The browser sends the Lax cookie along; Origin tells."""
    await sign_in(guest, secure)
    neighbour.put(f'<form method="post" action="{secure.origin}{path}"><button>Go</button></form>')
    await guest.go(neighbour.at(NEIGHBOUR))
    async with guest.window.expect_navigation() as navigation:
        await guest.window.click("button")
    answer = await navigation.value
    assert (answer.status, answer.headers["x-auth-sidecar-error"]) == (403, "origin_not_allowed")
    assert COOKIE.encode() in bytes(secure.front.to_sidecar).rpartition(b"POST ")[2]
    assert not secure.served(path)
    await guest.go(secure.page)
    assert (await guest.fetch("/demo/echo/user"))["status"] == 200


async def test_neighbour_s_script_reaches_nothing(guest: Visitor, neighbour: Elsewhere, secure: Site) -> None:
    """Not by fetch, not as a picture, not as a script."""
    await sign_in(guest, secure)
    neighbour.put("<h1>Next door</h1>")
    await guest.go(neighbour.at(NEIGHBOUR))
    url = f"{secure.origin}/demo/echo/user"
    ways = """async (url) => {
      const load = (name, key) => new Promise((done) => {
        const it = document.createElement(name); it.onload = it.onerror = done; it[key] = url; document.body.append(it);
      });
      await fetch(url, { credentials: "include", mode: "no-cors" }).catch(() => {});
      await fetch(url, { credentials: "include", mode: "no-cors", method: "POST", body: "a=1" }).catch(() => {});
      await load("img", "src"); await load("script", "src"); await load("iframe", "src");
    }"""
    await guest.window.evaluate(ways, url)
    assert bytes(secure.front.to_sidecar).count(b" /demo/echo/user ") == 5
    assert not secure.served("/demo/echo/user")


async def test_neighbour_s_link_opens_the_page(guest: Visitor, neighbour: Elsewhere, secure: Site) -> None:
    """A link is only a link."""
    await sign_in(guest, secure)
    neighbour.put(f'<a href="{secure.page}">See this</a>')
    await guest.go(neighbour.at(NEIGHBOUR))
    await guest.window.click("a")
    await guest.window.wait_for_url(secure.page)
    await guest.window.locator("form", has_text="user: Alice").wait_for()
