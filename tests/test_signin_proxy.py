"""Requests of people who have signed in, over a running sidecar: their tokens, their cookies, who is kept out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sidecar.demo.standin import StandIn
from sidecar.errors import OriginNotAllowed
from sidecar.proxy.headers import RequestFields, RequestHead
from sidecar.signin import cookies
from sidecar.signin.person import Person
from sidecar.tokens.view import TokenView
from sidecar.whose import FromSession
from tests.fake_clock import FakeClock
from tests.harness import OK, RawUpstream, Script, Sidecar, Talk, sidecar, until
from tests.session_process import USER, moving, process
from tests.signin_browser import (
    FOREIGN_FORM,
    FOREIGN_FRAME,
    FOREIGN_IMAGE,
    FORM,
    LINK,
    NEAR_FORM,
    NEAR_FRAME,
    NEAR_IMAGE,
    NEAR_LINK,
    OPAQUE_FORM,
    SCRIPT,
    TYPED,
    USER_SESSION,
    Browser,
    location,
    people,
)

FETCH = [(b"Sec-Fetch-Mode", b"navigate"), (b"Sec-Fetch-Dest", b"document"), (b"Cookie", b"a=b")]
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 3\r\n\r\nno!"


@pytest.fixture
async def egain(clock: FakeClock) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock, lifetime=100) as standin:
        yield standin


@pytest.fixture
async def proxy(
    egain: StandIn, upstream: RawUpstream, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Sidecar]:
    async with sidecar(people(egain, upstream.url, tmp_path), tmp_path, clock) as started:
        yield started


@pytest.fixture
async def browser(proxy: Sidecar, egain: StandIn) -> AsyncIterator[Browser]:
    made = Browser(proxy, egain)
    yield made
    await made.close()


def refreshes(egain: StandIn) -> int:
    return sum(seen.grant == "refresh_token" for seen in egain.token_requests)


def tokens(upstream: RawUpstream) -> set[str]:
    return {line for request in upstream.requests for line in request.all("Authorization")}


# -- what crosses --------------------------------------------------------------------------------------------------


def test_what_only_people_need_is_looked_at_only_where_they_sign_in() -> None:
    """Every browser sends these fields with every request: elsewhere they cross without a look."""
    fields = RequestFields()
    assert RequestHead(fields, FETCH).fetch_mode is None
    assert set(fields.known.values()) == {0}
    assert RequestHead(RequestFields((), cookies.without_ours), FETCH).navigates


async def test_no_cookie_of_the_sidecar_goes_up_and_all_others_do(
    browser: Browser, upstream: RawUpstream
) -> None:
    """On every route, also those without a person; a `Cookie` of ours alone goes as a whole."""
    await browser.sign_in()
    await browser.login()
    for path in ("/api/x", "/open/x", "/app/x"):
        assert (await browser.get(path, *SCRIPT)).status == 200
        assert upstream.requests[-1].all("Cookie") == []
    ours = dict(browser.cookies)
    browser.cookies = {"theme": "dark", **ours, "a": "b=c"}
    assert (await browser.get("/api/x", *SCRIPT)).status == 200
    assert upstream.requests[-1].all("Cookie") == ["theme=dark; a=b=c"]
    assert not any(value.encode() in r.head for r in upstream.requests for value in ours.values())


async def test_fetch_metadata_crosses(browser: Browser, upstream: RawUpstream) -> None:
    """The API may want to look at it, too."""
    await browser.sign_in()
    await browser.get("/api/x", *SCRIPT)
    request = upstream.requests[-1]
    found = [request.all(f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest")]
    assert found == [["same-origin"], ["cors"], ["empty"]]


async def test_a_bearer_token_of_the_browsers_own_does_not_go_up(
    browser: Browser, upstream: RawUpstream
) -> None:
    """The session decides, nothing else."""
    await browser.sign_in()
    await browser.get("/api/x", *SCRIPT, "Authorization: Bearer mine")
    (value,) = upstream.requests[-1].all("Authorization")
    assert value != "Bearer mine"


# -- nobody has signed in ------------------------------------------------------------------------------------------


async def test_a_script_is_told_to_log_in(browser: Browser, upstream: RawUpstream) -> None:
    """401 with the login URL; not a redirect, which a script would follow to another origin."""
    for how in (
        SCRIPT,
        ("Accept: text/html", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"),
        ("Accept: */*",),
    ):
        answer = await browser.get("/api/x", *how)
        assert (answer.status, answer.error) == (401, "login_required")
        assert answer.all("WWW-Authenticate") == ['Session realm="sign-in"']
        told = json.loads(answer.body)
        assert (told["login_url"], told["credential"]) == ("/.auth/login?credential=user", "user")
    assert upstream.requests == []


@pytest.mark.parametrize(
    "how", [TYPED, LINK, NEAR_LINK, ("Accept: text/html",)], ids=["typed", "link", "near", "old"]
)
async def test_whoever_opens_a_page_goes_to_login_and_back(browser: Browser, how: tuple[str, ...]) -> None:
    """At once, and with the way back; a form that was sent is not sent again."""
    answer = await browser.get("/api/x?y=1&z=%20", *how)
    assert answer.status == 303
    assert location(answer) == "/.auth/login?credential=user&return_to=%2Fapi%2Fx%3Fy%3D1%26z%3D%2520"
    assert (await browser.get("/api/x", *FORM, method="POST", body=b"a=b")).error == "login_required"


async def test_the_whole_way_from_a_link_to_the_page(browser: Browser, upstream: RawUpstream) -> None:
    """The last redirect is still the link's: a cross-site navigation, with the new cookie."""
    answer = await browser.get("/api/x?y", *LINK)
    answer = await browser.get(location(answer), *LINK)
    answer = await browser.get(await browser.allow(location(answer)), *LINK)
    assert (await browser.get(location(answer), *LINK)).status == 200
    assert upstream.requests[-1].target == "/api/x?y"


async def test_an_address_that_looks_like_another_host_leads_nowhere(browser: Browser) -> None:
    """`//evil.example` as a path: nobody is sent there after signing in."""
    answer = await browser.get("//evil.example/../api/x", *TYPED)
    assert answer.error == "path_not_canonical"
    answer = await browser.get("//api/evil.example", *TYPED)
    assert answer.status == 303
    answer = await browser.get(location(answer), *TYPED)
    assert (answer.status, answer.all("Location")) == (400, [])


# -- other sites ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "method"),
    [
        (FOREIGN_FORM, "POST"),
        (OPAQUE_FORM, "POST"),
        (FOREIGN_IMAGE, "GET"),
        (FOREIGN_FRAME, "GET"),
        (NEAR_FORM, "POST"),
        (NEAR_IMAGE, "GET"),
        (NEAR_FRAME, "GET"),
        (("Origin: https://evil.example",), "GET"),
        (("Origin: https://shop.example.com",), "POST"),
        (("Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin"), "GET"),
        (("Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: same-origin"), "GET"),
        (("Sec-Fetch-Site: Cross-Site",), "GET"),
        (LINK, "POST"),
        (LINK, "DELETE"),
    ],
)
async def test_other_sites_pages_send_nothing_in_a_persons_name(
    browser: Browser, upstream: RawUpstream, how: tuple[str, ...], method: str
) -> None:
    """Even with the cookie, should a browser send it."""
    await browser.sign_in()
    answer = await browser.get("/api/x", *how, method=method)
    assert (answer.status, answer.error) == (403, "origin_not_allowed")
    assert upstream.requests == []


@pytest.mark.parametrize("how", [LINK, NEAR_LINK, TYPED], ids=["link", "near", "typed"])
async def test_a_link_opens_a_page_of_a_person_and_none_of_the_application(
    browser: Browser, upstream: RawUpstream, how: tuple[str, ...]
) -> None:
    """The application's credential needs no cookie, so there nothing of another site's gets through."""
    await browser.sign_in()
    assert (await browser.get("/api/x", *how)).status == 200
    count = len(upstream.requests)
    answer = await browser.get("/app/x", *how)
    assert (answer.error == "origin_not_allowed") == (how is LINK)
    assert len(upstream.requests) == count + (how is not LINK)


async def test_a_page_on_the_host_of_one_persona_sends_no_form_in_the_name_of_the_other(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """Both hosts are this sidecar's, so both are known origins: the customers' one is a neighbour to users."""
    mapping = people(egain, upstream.url, tmp_path)
    mapping["credentials"]["customer"]["redirect_url"] = "https://shop.example.com/.auth/callback"
    async with sidecar(mapping, tmp_path) as started:
        browser = Browser(started, egain)
        await browser.sign_in()
        answer = await browser.get("/api/x", *NEAR_FORM, method="POST")
        assert (answer.status, answer.error) == (403, "origin_not_allowed")
        assert (await browser.get("/api/x", *FORM, method="POST")).status == 200
        await browser.close()


async def test_another_sites_link_does_not_use_the_sign_in_of_this_machine() -> None:
    """`auth-sidecar login`: there is no cookie that SameSite could keep back, so the link alone would do."""
    async with process() as one:
        found = await one.source.sign_in("the-code", "the-verifier")
        assert isinstance(found, tuple)
        cookie = await one.source.begin(*found, {}, cookie="of-the-terminal")
        subject_of = FromSession(Person("user", USER, "id", one.source, cookie))
        head = RequestHead(RequestFields((), cookies.without_ours), [])
        assert subject_of(head) == one.keeper(cookie).name
        head.from_elsewhere = True
        with pytest.raises(OriginNotAllowed):
            subject_of(head)


@pytest.mark.parametrize("change", ["twice", "cut", "longer", "other-name", "empty", "upper", "latin"])
async def test_a_cookie_that_is_not_quite_it_is_nobody(
    browser: Browser, upstream: RawUpstream, change: str
) -> None:
    """Two of a name are none: somebody else has set one."""
    await browser.sign_in()
    value = browser.cookies[USER_SESSION]
    lines = {
        "twice": f"{USER_SESSION}={value}; {USER_SESSION}={value}",
        "cut": f"{USER_SESSION}={value[:-1]}",
        "longer": f"{USER_SESSION}={value}x",
        "other-name": f"auth-sidecar-session-user={value}",
        "empty": f"{USER_SESSION}=",
        "upper": f"{USER_SESSION.upper()}={value}",
        "latin": f"{USER_SESSION}={value}\xe4",
    }
    browser.cookies = {}
    answer = await browser.get("/api/x", *SCRIPT, f"Cookie: {lines[change]}")
    assert (answer.error, upstream.requests) == ("login_required", [])


# -- tokens --------------------------------------------------------------------------------------------------------


async def test_hundred_requests_at_the_moment_of_expiry_make_one_refresh(
    browser: Browser, egain: StandIn, upstream: RawUpstream, clock: FakeClock
) -> None:
    """The stand-in rotates: a second refresh with the same token would end the sign-in."""
    await browser.sign_in()
    await browser.get("/api/x", *SCRIPT)
    clock.monotonic += 101
    clock.epoch += 101
    answers = await asyncio.gather(*(browser.get("/api/x", *SCRIPT) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert (refreshes(egain), len(tokens(upstream))) == (1, 2)
    clock.monotonic += 101
    clock.epoch += 101
    assert (await browser.get("/api/x", *SCRIPT)).status == 200
    assert refreshes(egain) == 2


def of_user(browser: Browser) -> list[TokenView]:
    return [view for view in browser.sidecar.app.tokens() if view.credential == "user"]


async def test_a_session_is_refreshed_ahead_while_it_is_used(
    browser: Browser, egain: StandIn, upstream: RawUpstream, clock: FakeClock
) -> None:
    """Again and again, each time with the refresh token that came last."""
    await browser.sign_in()
    for count in range(1, 8):
        assert (await browser.get("/api/x", *SCRIPT)).status == 200
        await moving(clock, lambda count=count: refreshes(egain) == count)  # type: ignore[misc]
        await until(lambda count=count: [view.rotations for view in of_user(browser)] == [count + 1])  # type: ignore[misc]
    assert {seen.status for seen in egain.token_requests} == {200}
    assert len(tokens(upstream)) == 7


async def test_a_revoked_sign_in_ends_the_session(
    browser: Browser, egain: StandIn, clock: FakeClock, proxy: Sidecar
) -> None:
    """`invalid_grant`: a script gets 401 with the login URL, whoever opens a page goes there."""
    await browser.sign_in()
    egain.revoke_grants()
    clock.monotonic += 101
    clock.epoch += 101
    answers = await asyncio.gather(*(browser.get("/api/x", *SCRIPT) for _ in range(20)))
    assert {answer.error for answer in answers} == {"login_required"}
    assert refreshes(egain) == 1
    assert location(await browser.get("/api/x", *TYPED)).startswith("/.auth/login?")
    labels = {"credential": "user", "reason": "refused"}
    assert await proxy.metric("auth_sidecar_sessions_ended_total", **labels) == 1
    assert await proxy.metric("auth_sidecar_sessions", credential="user") == 0


def rejecting(number: int) -> Script:
    """An upstream that says 401 so many times."""
    answers = iter([UNAUTHORIZED] * number)

    async def script(talk: Talk) -> None:
        await talk.send(next(answers, OK))

    return script


async def test_a_token_the_api_rejects_is_replaced_unseen(
    browser: Browser, egain: StandIn, upstream: RawUpstream
) -> None:
    """The session goes on with the next one."""
    await browser.sign_in()
    upstream.script = rejecting(1)
    assert (await browser.get("/api/x", *SCRIPT)).status == 200
    assert (refreshes(egain), len(tokens(upstream))) == (1, 2)


async def test_without_refresh_tokens_a_session_ends_with_its_token(
    browser: Browser, egain: StandIn, clock: FakeClock
) -> None:
    """Then one has to sign in again."""
    egain.sign_in.refresh_tokens = "none"
    await browser.sign_in()
    assert (await browser.get("/api/x", *SCRIPT)).status == 200
    await clock.passes(101)
    assert (await browser.get("/api/x", *SCRIPT)).error == "login_required"


async def test_signing_out_with_requests_under_way_ends_no_more_than_it_should(
    browser: Browser, egain: StandIn, upstream: RawUpstream, clock: FakeClock
) -> None:
    """Those that wait for a token are told to log in; none hangs, and the refresh brings nobody back."""
    await browser.sign_in()
    held = dict(browser.cookies)
    clock.monotonic += 101
    clock.epoch += 101
    egain.faults.token.on(kind="hold")
    waiting = [asyncio.create_task(browser.get("/api/x", *SCRIPT)) for _ in range(10)]
    await until(lambda: browser.sidecar.app.metrics.in_flight == 10 and refreshes(egain) == 1)
    assert (await browser.get("/.auth/logout", *FORM, method="POST")).status == 303
    egain.faults.token.off()
    egain.faults.token.release()
    assert {answer.error for answer in await asyncio.gather(*waiting)} == {"login_required"}
    assert upstream.requests == []
    browser.cookies = held
    assert (await browser.get("/api/x", *SCRIPT)).error == "login_required"


# -- what is logged, what survives ---------------------------------------------------------------------------------


async def test_a_session_has_one_digest_in_all_lines(
    capfd: pytest.CaptureFixture[str], clock: FakeClock, egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """So that a request can be found by the token it got, and neither tells the cookie."""
    async with sidecar(people(egain, upstream.url, tmp_path), tmp_path, clock) as started:
        browser = Browser(started, egain)
        await browser.sign_in()
        await browser.get("/api/x", *SCRIPT)
        await moving(clock, lambda: refreshes(egain) == 1)
        await until(lambda: [view.rotations for view in of_user(browser)] == [2])
        await browser.get("/api/x", *SCRIPT)
        await browser.close()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    found = {line["subject"] for line in lines if line.get("credential") == "user" and "subject" in line}
    events = {line["event"] for line in lines if "subject" in line}
    assert (len(found), events) == (1, {"request", "token_obtained"})


async def test_people_stay_signed_in_through_a_restart(
    egain: StandIn, upstream: RawUpstream, clock: FakeClock, tmp_path: Path
) -> None:
    """With a file; and whoever has signed out stays out."""
    mapping = people(egain, upstream.url, tmp_path)
    mapping["sessions"]["store"] = f"sqlite:{tmp_path / 'sessions'}"
    async with sidecar(mapping, tmp_path, clock) as first:
        stays, leaves = Browser(first, egain), Browser(first, egain)
        await stays.sign_in()
        await leaves.sign_in()
        copied = dict(leaves.cookies)
        await leaves.get("/.auth/logout", *FORM, method="POST")
    async with sidecar(mapping, tmp_path, clock) as second:
        for browser in (stays, leaves):
            browser.sidecar = second
        leaves.cookies = copied
        answers = await asyncio.gather(*(stays.get("/api/x", *SCRIPT) for _ in range(10)))
        assert {answer.status for answer in answers} == {200}
        assert (await leaves.get("/api/x", *SCRIPT)).error == "login_required"
        assert refreshes(egain) == 0
        await stays.close()
        await leaves.close()
