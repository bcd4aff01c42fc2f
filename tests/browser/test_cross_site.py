"""Pages of other sites: what they try with a person's session is refused; a link may lead here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.browser.elsewhere import Elsewhere
from tests.browser.site import Site
from tests.browser.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop

# Another site by name, another by address, and a neighbour: the same site to a browser, since ports do not count, so
# that its requests carry the Lax cookie.
STRANGERS = ["evil.localhost", "127.0.0.2"]
NEIGHBOUR = "127.0.0.1"
everybody = pytest.mark.parametrize("host", [*STRANGERS, NEIGHBOUR])

# Every way a page can ask without being asked, as scripts of a page; `url` is what they ask for.
WAYS = {
    "fetch": "fetch(url, {mode: 'no-cors', credentials: 'include'})",
    "fetch-cors": "fetch(url, {credentials: 'include'})",
    "fetch-post": "fetch(url, {mode: 'no-cors', credentials: 'include', method: 'POST', body: 'a=1'})",
    "fetch-json": "fetch(url, {credentials: 'include', method: 'PUT', headers: {'Content-Type': 'application/json'}})",
    "beacon": "navigator.sendBeacon(url, 'a=1')",
    "image": "new Promise((done) => { const it = new Image(); it.onload = it.onerror = done; it.src = url; })",
    "script": "new Promise((done) => { const it = document.createElement('script'); "
    "it.onload = it.onerror = done; it.src = url; document.head.append(it); })",
    "frame": "new Promise((done) => { const it = document.createElement('iframe'); "
    "it.onload = done; it.src = url; document.body.append(it); })",
}


async def sign_in(visitor: Visitor, here: Site) -> None:
    await visitor.go(here.login())
    await visitor.sign_in()
    await visitor.window.wait_for_url(here.page)


async def still_signed_in(visitor: Visitor, here: Site) -> bool:
    await visitor.go(here.page)
    return bool((await visitor.fetch("/.auth/session"))["json"]["credentials"]["user"]["signed_in"])


async def from_elsewhere(visitor: Visitor, other: Elsewhere, host: str, body: str) -> None:
    other.put(body)
    await visitor.go(other.at(host))


@everybody
async def test_form_of_another_site_signs_nobody_out(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """The page that comes instead says that nothing was done."""
    await sign_in(visitor, here)
    form = f'<form method="post" action="{here.origin}/.auth/logout"><button>Win a prize</button></form>'
    await from_elsewhere(visitor, other, host, form)
    async with visitor.window.expect_navigation() as navigation:
        await visitor.window.click("button")
    answer = await navigation.value
    assert answer.status == 403
    assert answer.headers["x-auth-sidecar-error"] == "origin_not_allowed"
    assert await visitor.heading() == "This was sent by another site"
    await visitor.shot("cross-site-logout")
    assert await still_signed_in(visitor, here)


@everybody
async def test_form_of_another_site_reaches_no_api_route(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """Refused before the API hears of it."""
    await sign_in(visitor, here)
    for path in ("/demo/echo/user", "/demo/upload"):
        form = f'<form method="post" action="{here.origin}{path}"><input name="a" value="1"><button>Go</button></form>'
        await from_elsewhere(visitor, other, host, form)
        async with visitor.window.expect_navigation() as navigation:
            await visitor.window.click("button")
        answer = await navigation.value
        assert (answer.status, answer.headers["x-auth-sidecar-error"]) == (403, "origin_not_allowed")
        assert await visitor.heading() == "This was sent by another site"
        assert not here.served(path)
    await visitor.shot("cross-site-form")
    assert await still_signed_in(visitor, here)


@everybody
async def test_no_request_of_another_site_s_page_reaches_the_api(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """Whatever it is made with, with the cookie or without; nor does a page read an answer."""
    await sign_in(visitor, here)
    await from_elsewhere(visitor, other, host, "<h1>A page with a script</h1>")
    url = f"{here.origin}/demo/echo/user"
    asked: list[str] = []
    visitor.window.on("request", lambda request: asked.append(request.url))
    for way, script in WAYS.items():
        told = await visitor.window.evaluate(
            f"(url) => (async () => (await ({script}))?.type)().catch(() => 'refused')",
            url,
        )
        assert told in (None, "opaque", "refused", "load", "error", "beacon"), (way, told)
    assert asked.count(url) >= len(WAYS) - 1  # (a request that needs a preflight is not made)
    assert not here.served("/demo/echo/user")
    assert await still_signed_in(visitor, here)


@everybody
async def test_web_socket_of_another_site_s_page_is_refused(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """Cross-site WebSocket hijacking: a handshake carries cookies from anywhere."""
    await from_elsewhere(visitor, other, host, "<h1>A page with a script</h1>")
    url = f"{here.origin.replace('http', 'ws')}/demo/ws"
    script = """(url) => new Promise((done) => {
      const it = new WebSocket(url); it.onopen = () => done("open"); it.onerror = () => done("refused");
    })"""
    assert await visitor.window.evaluate(script, url) == "refused"
    await visitor.go(here.page)
    assert await visitor.window.evaluate(script, url) == "open"
    assert len(here.served("/demo/ws")) == 1


@everybody
async def test_link_of_another_site_opens_a_page_with_the_session(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """As from a mail or a search: the person is known there."""
    await sign_in(visitor, here)
    for path, text in (("/demo/page", "user: Alice"), ("/demo/echo/user", '"alice"')):
        await from_elsewhere(visitor, other, host, f'<a href="{here.origin}{path}">See this</a>')
        await visitor.window.click("a")
        await visitor.window.wait_for_url(f"{here.origin}{path}")
        await visitor.window.locator("body", has_text=text).wait_for()


@everybody
async def test_link_of_another_site_leads_whoever_is_unknown_to_the_login_page(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """And from there back to where the link led."""
    await from_elsewhere(visitor, other, host, f'<a href="{here.origin}/demo/echo/user">See this</a>')
    await visitor.window.click("a")
    await visitor.window.wait_for_selector("#password")
    await visitor.sign_in()
    assert visitor.window.url == f"{here.origin}/demo/echo/user"


@everybody
async def test_link_of_another_site_does_not_sign_out(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """Signing out takes a form of this very site."""
    await sign_in(visitor, here)
    await from_elsewhere(visitor, other, host, f'<a href="{here.origin}/.auth/logout">See this</a>')
    async with visitor.window.expect_navigation() as navigation:
        await visitor.window.click("a")
    assert (await navigation.value).status == 405
    assert await visitor.heading() == "There is nothing to see at this address"
    await visitor.shot("cross-site-logout-link")
    assert await still_signed_in(visitor, here)


@everybody
@pytest.mark.parametrize(
    "path",
    [
        "/.auth/login?credential=user", "/.auth/login?credential=x", "/.auth/callback?state=x", "/.auth/session",
        "/demo/page", "/demo/echo/user",
    ],
)  # fmt: skip
async def test_nothing_is_shown_in_a_frame_of_another_site(
    visitor: Visitor, other: Elsewhere, here: Site, host: str, path: str
) -> None:
    """Clickjacking: neither the pages of the sign-in nor those of the app."""
    await sign_in(visitor, here)
    answers: list[Any] = []
    visitor.window.on("response", lambda answer: answers.append(answer))
    await from_elsewhere(visitor, other, host, f'<iframe src="{here.origin}{path}"></iframe>')
    await visitor.window.wait_for_load_state("load")
    await visitor.shot("cross-site-frame")
    framed = [answer for answer in answers if answer.frame.parent_frame is not None]
    assert framed[0].url == f"{here.origin}{path}"
    assert framed[-1].status != 303
    assert all(_not_to_be_framed(answer.status, answer.headers) for answer in framed)
    texts = [await frame.evaluate("document.body?.innerText ?? ''") for frame in visitor.window.frames[1:]]
    assert not any("Alice" in text or "alice" in text or "Sign" in text for text in texts), texts
    visitor.violations.clear()  # that a frame was refused


def _not_to_be_framed(status: int, headers: Mapping[str, str]) -> bool:
    """Refused; or nothing that a browser shows; or told not to be shown in a frame."""
    if status in (303, 403) or headers.get("x-frame-options") == "DENY":
        return True
    return "frame-ancestors 'none'" in headers.get("content-security-policy", "")


@pytest.mark.parametrize("host", STRANGERS)
async def test_login_that_another_site_begins_signs_nobody_in_unasked(
    visitor: Visitor, other: Elsewhere, here: Site, host: str
) -> None:
    """The link may begin it; without the person nothing comes of it, and it cannot end elsewhere."""
    url = f"{here.origin}/.auth/login?credential=user&return_to=//{host}:{other.port}/"
    await from_elsewhere(visitor, other, host, f'<a href="{url}">See this</a>')
    await visitor.window.click("a")
    await visitor.window.wait_for_url(url)
    assert await visitor.heading() == "This link leads somewhere else"
    await visitor.go(here.page)
    assert not (await visitor.fetch("/.auth/session"))["json"]["credentials"]["user"]["signed_in"]


async def test_sign_out_of_the_site_s_own_page_works_without_javascript_tricks(
    visitor: Visitor, here: Site
) -> None:
    """A plain form of this origin, as a page without scripts has it."""
    await sign_in(visitor, here)
    await visitor.window.locator("form", has_text="user:").locator("button", has_text="Sign out").click()
    await visitor.window.wait_for_selector("text=Sign out?")
    assert not await still_signed_in(visitor, here)
