"""The pages under `/.auth`, over a running sidecar and the stand-in: signing in, and whatever may go wrong at it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import jwt
import pytest

from sidecar import logs
from sidecar.demo.standin import StandIn
from tests.fake_clock import FakeClock
from tests.harness import OK, RawUpstream, Script, Sidecar, Talk, sidecar, until
from tests.signin_browser import (
    CALLBACK,
    CUSTOMER_SESSION,
    FOREIGN_FORM,
    FOREIGN_FRAME,
    FORM,
    LINK,
    NEAR_FORM,
    OPAQUE_FORM,
    ORIGIN,
    SCRIPT,
    TYPED,
    USER_SESSION,
    Browser,
    location,
    people,
)


@pytest.fixture
async def egain(clock: FakeClock) -> AsyncIterator[StandIn]:
    async with StandIn(clock=clock) as standin:
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


@pytest.fixture
async def another(proxy: Sidecar, egain: StandIn) -> AsyncIterator[Browser]:
    made = Browser(proxy, egain)
    yield made
    await made.close()


def codes(egain: StandIn) -> int:
    """Token requests that were about a code."""
    return sum(seen.grant == "authorization_code" for seen in egain.token_requests)


async def session(browser: Browser) -> dict[str, object]:
    answer = await browser.get("/.auth/session", *SCRIPT)
    assert (answer.status, answer.all("Content-Type")) == (200, ["application/json"])
    found: dict[str, object] = json.loads(answer.body)
    return found


# -- signing in ----------------------------------------------------------------------------------------------------


async def test_a_person_signs_in_and_comes_back_to_the_page(
    browser: Browser, upstream: RawUpstream, egain: StandIn
) -> None:
    """PKCE with a client secret; the cookie is `__Host-`; the API gets this person's token."""
    asked = await browser.login("user", "/api/x?y=1&z=%2F#there")
    query = {name: values[0] for name, values in parse_qs(urlsplit(asked).query).items()}
    assert asked.startswith(egain.user_authorization_url + "?")
    assert (query["code_challenge_method"], query["response_type"]) == ("S256", "code")
    assert query["redirect_uri"] == CALLBACK
    assert query["scope"] == "core.aiservices.read knowledge.portalmgr.read"
    assert len(query["state"]) >= 43
    assert len(query["code_challenge"]) == 43
    back = await browser.get(await browser.allow(asked), *LINK)
    assert (back.status, location(back), back.body) == (303, "/api/x?y=1&z=%2F#there", b"")
    (kept,) = [line for line in back.all("Set-Cookie") if line.startswith(USER_SESSION)]
    assert kept.split("; ")[1:] == ["Path=/", "HttpOnly", "SameSite=Lax", "Secure"]
    assert list(browser.cookies) == [USER_SESSION]
    assert (await browser.get("/api/x", *SCRIPT)).status == 200
    (value,) = upstream.requests[-1].all("Authorization")
    told = jwt.decode(value.removeprefix("Bearer "), options={"verify_signature": False})
    assert (told["sub"], set(told["scope"].split())) == ("alice", set(query["scope"].split()))


async def test_two_personas_are_signed_in_side_by_side(browser: Browser, upstream: RawUpstream) -> None:
    """A user by a confidential client, a customer by a public one: each route takes its own."""
    await browser.sign_in("user")
    await browser.sign_in("customer")
    assert set(browser.cookies) == {USER_SESSION, CUSTOMER_SESSION}
    found = []
    for path in ("/api/x", "/shop/x", "/app/x"):
        assert (await browser.get(path, *SCRIPT)).status == 200
        (value,) = upstream.requests[-1].all("Authorization")
        found.append(jwt.decode(value.removeprefix("Bearer "), options={"verify_signature": False})["sub"])
    assert found[:2] == ["alice", "jane@example.com"]
    assert found[2] not in found[:2]
    known = await session(browser)
    states = known["credentials"]
    assert isinstance(states, dict)
    assert {name: state["signed_in"] for name, state in states.items()} == {"user": True, "customer": True}
    answer = await browser.get("/.auth/logout?credential=customer", *FORM, method="POST")
    assert location(answer).split("?")[0] == browser.egain.customer_logout_url
    assert list(browser.cookies) == [USER_SESSION]
    assert (await browser.get("/api/x", *SCRIPT)).status == 200


async def test_a_script_sees_who_is_signed_in_and_no_token(browser: Browser, clock: FakeClock) -> None:
    """Asking does not keep the session alive."""
    assert (await session(browser))["signed_in"] is False
    await browser.sign_in()
    known = await session(browser)
    assert (known["signed_in"], known["credential"]) == (True, "user")
    assert (known["expires_in"], known["idle_expires_in"]) == (12 * 3600, 1800)
    claims = known["claims"]
    assert isinstance(claims, dict)
    assert claims["sub"] == "alice"
    await clock.passes(600)
    assert (await session(browser))["idle_expires_in"] == 1200
    await clock.passes(1200)
    assert (await session(browser))["signed_in"] is False


async def test_every_sign_in_is_another_session_and_the_one_before_ends(
    browser: Browser, another: Browser, proxy: Sidecar
) -> None:
    """Session fixation: what was in the browser before, planted or not, is worth nothing afterwards."""
    await browser.sign_in()
    first = browser.cookies[USER_SESSION]
    await browser.sign_in()
    assert browser.cookies[USER_SESSION] != first
    another.cookies[USER_SESSION] = first
    assert (await another.get("/api/x", *SCRIPT)).error == "login_required"
    another.cookies[USER_SESSION] = planted = "x" * 43
    await another.sign_in()
    assert another.cookies[USER_SESSION] != planted
    labels = {"credential": "user", "reason": "replaced"}
    assert await proxy.metric("auth_sidecar_sessions_ended_total", **labels) == 1


# -- what is refused -----------------------------------------------------------------------------------------------


async def refused(
    browser: Browser, callback: str, code: str, words: str, status: int = 400, how: tuple[str, ...] = LINK
) -> None:
    """The callback ends in a page that a person understands, and in no session."""
    answer = await browser.get(callback, *how)
    assert (answer.status, answer.error) == (status, code)
    assert answer.all("Content-Type") == ["text/html; charset=utf-8"]
    assert words in answer.body.decode()
    assert "default-src 'none'" in answer.all("Content-Security-Policy")[0]
    assert answer.all("Cache-Control") == ["no-store"]
    assert answer.all("Referrer-Policy") == ["no-referrer"]
    assert answer.all("X-Frame-Options") == ["DENY"]
    assert not [name for name in browser.cookies if "session" in name]


async def test_whoever_says_no_sees_that_it_was_no(browser: Browser, proxy: Sidecar) -> None:
    """`access_denied`; and one may begin again."""
    back = await browser.deny(await browser.login(return_to="/x"))
    await refused(browser, back, "login_denied", "You have not been signed in", 403)
    assert "/.auth/login?credential=user&amp;return_to=%2Fx" in browser.seen[-1].body.decode()
    assert browser.cookies == {}
    assert await proxy.metric("auth_sidecar_logins_total", credential="user", outcome="denied") == 1


async def test_a_code_that_has_run_out_took_too_long(
    browser: Browser, egain: StandIn, clock: FakeClock
) -> None:
    """`invalid_grant` for the code."""
    back = await browser.allow(await browser.login())
    await clock.passes(egain.sign_in.code_lifetime + 1)
    await refused(browser, back, "login_failed", "took too long")


async def test_an_attempt_that_is_too_old_is_over(browser: Browser, egain: StandIn, clock: FakeClock) -> None:
    """After ten minutes, whatever the code is worth; the authorization server does not hear of it."""
    egain.sign_in.code_lifetime = 3600
    back = await browser.allow(await browser.login())
    await clock.passes(601)
    await refused(browser, back, "login_failed", "took too long")
    assert codes(egain) == 0


async def test_a_callback_is_good_once(browser: Browser, egain: StandIn) -> None:
    """Also with the cookie put back, and also in the same moment."""
    back = await browser.allow(await browser.login())
    before = dict(browser.cookies)
    answers = await asyncio.gather(*(browser.get(back, *LINK) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [303, 400, 400, 400, 400]
    assert codes(egain) == 1
    browser.cookies = before
    await refused(browser, back, "login_failed", "This sign-in cannot be completed")
    assert codes(egain) == 1


async def test_a_callback_in_another_browser_signs_nobody_in(
    browser: Browser, another: Browser, egain: StandIn
) -> None:
    """Login CSRF: the attacker's code does not become the victim's session. Nor with an attempt of the victim's own."""
    back = await browser.allow(await browser.login())
    await refused(another, back, "login_failed", "another browser")
    await another.login()
    await refused(another, back, "login_failed", "another browser")
    assert codes(egain) == 0


async def test_an_attempt_planted_by_a_neighbouring_host_signs_nobody_in(
    browser: Browser, another: Browser, egain: StandIn
) -> None:
    """It can set a cookie for the whole domain, but none with `__Host-`: the plain name is not believed."""
    back = await browser.allow(await browser.login())
    ((name, value),) = browser.cookies.items()
    another.cookies = {name.removeprefix("__Host-"): value}
    await refused(another, back, "login_failed", "another browser")
    assert codes(egain) == 0


@pytest.mark.parametrize(
    "change",
    [
        "state=forged",
        "",
        "state={state}&state={state}",
        "state={state}x",
        "state={tag}",
        "state=%ff",
        "state={state}&iss=https%3A%2F%2Fevil.example",
        "state={state}&code=again",
    ],
)
async def test_a_forged_answer_is_refused(browser: Browser, egain: StandIn, change: str) -> None:
    """`state` must be whole, there once and ours; `iss` must be the configured one."""
    asked = await browser.login()
    state = parse_qs(urlsplit(asked).query)["state"][0]
    query = "code=stolen&" + change.format(state=state, tag=state[:8])
    await refused(browser, f"/.auth/callback?{query}", "login_failed", "cannot be completed")
    assert codes(egain) == 0


async def test_a_tampered_attempt_is_none(browser: Browser, egain: StandIn) -> None:
    """Each character counts; also one put under the name of another attempt, and one cut short."""
    back = await browser.allow(await browser.login())
    ((name, value),) = browser.cookies.items()
    for at in (0, 20, len(value) // 2, len(value) - 1):
        other = "A" if value[at] != "A" else "B"
        browser.cookies = {name: value[:at] + other + value[at + 1 :]}
        await refused(browser, back, "login_failed", "cannot be completed")
    for changed in ({name: value[:-4]}, {name: ""}, {name: "%00"}, {name + "x": value}):
        browser.cookies = changed
        await refused(browser, back, "login_failed", "cannot be completed")
    assert codes(egain) == 0


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "/\t/evil.example",
        "javascript:alert(1)",
        "/.auth/callback",
        "/x\r\nSet-Cookie: a=b",
    ],
)
async def test_nobody_is_sent_elsewhere_after_signing_in(browser: Browser, target: str) -> None:
    """Open redirect: refused before anything begins."""
    answer = await browser.get(f"/.auth/login?return_to={quote(target, safe='')}&credential=user", *LINK)
    assert (answer.status, answer.error) == (400, "login_failed")
    assert "This link leads somewhere else" in answer.body.decode()
    assert (answer.all("Location"), answer.all("Set-Cookie")) == ([], [])


@pytest.mark.parametrize(
    "query", ["", "credential=nobody", "credential=app", "credential=user&credential=user"]
)
async def test_an_unknown_credential_is_no_way_to_sign_in(browser: Browser, query: str) -> None:
    """There are two, so one has to be named; an application's is none."""
    answer = await browser.get(f"/.auth/login?{query}", *TYPED)
    assert (answer.status, answer.error) == (400, "login_failed")
    assert "no such way to sign in" in answer.body.decode()


async def test_a_wrong_client_secret_is_said_plainly(
    browser: Browser, egain: StandIn, proxy: Sidecar
) -> None:
    """Trying again would not help, so no link says so."""
    back = await browser.allow(await browser.login())
    egain.rotate_secret("another one")
    await refused(browser, back, "token_refused", "does not accept this application", 502)
    assert "<a " not in browser.seen[-1].body.decode()
    assert await proxy.metric("auth_sidecar_logins_total", credential="user", outcome="refused") == 1


# -- cookies of attempts -------------------------------------------------------------------------------------------


async def test_attempts_that_were_left_are_few_and_small(browser: Browser) -> None:
    """Else tabs that were opened, by anybody's links, fill the `Cookie` line until a server in front refuses it."""
    for _ in range(12):
        await browser.login(return_to="/" + "a" * 1000)
        assert sum(len(name) + len(value) for name, value in browser.cookies.items()) < 5000
    for _ in range(12):
        await browser.login()
    assert 2 <= len(browser.cookies) <= 5
    await browser.sign_in()


async def test_attempts_in_several_tabs_all_end_well(browser: Browser) -> None:
    """Whichever is finished first."""
    backs = [await browser.allow(await browser.login(return_to=f"/{tab}")) for tab in range(3)]
    for tab in (2, 0, 1):
        assert location(await browser.get(backs[tab], *LINK)) == f"/{tab}"
    assert list(browser.cookies) == [USER_SESSION]


async def test_a_page_with_a_long_address_can_be_signed_in_for(browser: Browser) -> None:
    """The way back is lost, the person is not."""
    answer = await browser.get("/api/x?" + "q" * 3000, *TYPED)
    assert answer.status == 303
    answer = await browser.get(location(answer), *TYPED)
    assert location(await browser.get(await browser.allow(location(answer)), *LINK)) == "/"


# -- signing out ---------------------------------------------------------------------------------------------------


async def test_whoever_has_signed_out_is_out(browser: Browser, another: Browser, egain: StandIn) -> None:
    """The browser goes on to the authorization server; the cookie is dead even for who has copied it."""
    await browser.sign_in()
    another.cookies = dict(browser.cookies)
    answer = await browser.get("/.auth/logout", *FORM, method="POST")
    assert (answer.status, browser.cookies) == (303, {})
    assert location(answer) == (
        f"{egain.user_logout_url}?client_id={egain.client_id}"
        f"&post_logout_redirect_uri={quote(ORIGIN + '/', safe='')}"
    )
    assert (await another.get("/api/x", *SCRIPT)).error == "login_required"
    assert (await session(another))["signed_in"] is False


async def test_a_script_is_told_where_to_go_after_signing_out(browser: Browser, egain: StandIn) -> None:
    """A redirect of a script's request would end at another origin. Whoever was signed in decides where."""
    await browser.sign_in("customer")
    answer = await browser.get("/.auth/logout", *SCRIPT, f"Origin: {ORIGIN}", method="POST")
    assert (answer.status, browser.cookies) == (200, {})
    told = json.loads(answer.body)
    assert told["signed_in"] is False
    assert told["continue_at"].startswith(egain.customer_logout_url)


@pytest.mark.parametrize("how", [FOREIGN_FORM, OPAQUE_FORM, NEAR_FORM], ids=["foreign", "opaque", "near"])
async def test_nobody_is_signed_out_by_another_sites_form(browser: Browser, how: tuple[str, ...]) -> None:
    """CSRF: even with the cookie, which SameSite keeps back from the first two."""
    await browser.sign_in()
    answer = await browser.get("/.auth/logout", *how, method="POST")
    assert (answer.status, answer.error) == (403, "origin_not_allowed")
    assert (await browser.get("/api/x", *SCRIPT)).status == 200


async def test_a_link_signs_nobody_out(browser: Browser) -> None:
    """Only POST does."""
    await browser.sign_in()
    for how in (TYPED, LINK, FOREIGN_FRAME):
        assert (await browser.get("/.auth/logout", *how)).error in (
            "method_not_allowed",
            "origin_not_allowed",
        )
    assert (await session(browser))["signed_in"] is True


# -- the pages as HTTP ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/.auth/", "/.auth/x", "/.auth/login/", "/.auth/login;x", "//.auth/x", "/%2eauth/x"]
)
async def test_nothing_else_there_is_forwarded(browser: Browser, upstream: RawUpstream, path: str) -> None:
    """The route for everything does not have it."""
    assert (await browser.get(path, *TYPED)).error == "route_not_mapped"
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "login", "GET, HEAD"),
        ("POST", "callback", "GET, HEAD"),
        ("OPTIONS", "session", "GET, HEAD"),
        ("PUT", "logout", "POST"),
    ],
)
async def test_other_methods_are_not_allowed(browser: Browser, method: str, path: str, allow: str) -> None:
    """Nothing is signed in or out by them."""
    answer = await browser.get(f"/.auth/{path}?credential=user", *SCRIPT, f"Origin: {ORIGIN}", method=method)
    assert (answer.status, answer.all("Allow"), answer.all("Set-Cookie")) == (405, [allow], [])


async def test_head_has_the_fields_and_no_body(browser: Browser) -> None:
    """Of a page, and of what the script is told; the connection goes on."""
    for path, status in (
        ("/.auth/session", 200),
        ("/.auth/login?credential=x", 400),
        ("/.auth/callback", 400),
    ):
        answer = await browser.get(path, *TYPED, method="HEAD")
        assert (answer.status, answer.body) == (status, b"")
        assert int(answer.all("Content-Length")[0]) > 0


async def test_requests_behind_a_page_are_answered_in_order(proxy: Sidecar, upstream: RawUpstream) -> None:
    """Pipelined, with a forwarded one between two pages."""
    caller = await proxy.caller()
    request = "GET {} HTTP/1.1\r\nHost: app.example.com\r\n\r\n"
    await caller.send("".join(map(request.format, ("/.auth/session", "/open/x", "/.auth/callback"))).encode())
    answers = [await caller.answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 400]
    assert answers[1].body == OK[-2:]
    assert not any("close" in answer.all("Connection") for answer in answers)


@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_sent_to_a_page_does_no_harm(proxy: Sidecar, whole: bool) -> None:
    """One that has not come is not waited for: the connection ends instead."""
    caller = await proxy.caller()
    body = b"credential=user" if whole else b"cred"
    head = b"POST /.auth/logout HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 15\r\n\r\n"
    await caller.send(head + body)
    answer = await caller.answer()
    assert answer.status == 200
    if whole:
        assert (await caller.ask("/.auth/session")).status == 200
    else:
        assert answer.all("Connection") == ["close"]
        caller.writer.write_eof()
        assert await caller.closed() == b""


async def test_http_1_0_gets_its_page_and_the_end_of_the_connection(proxy: Sidecar) -> None:
    """As for everything else."""
    got = await proxy.raw(b"GET /.auth/session HTTP/1.0\r\nHost: app.example.com\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in got


async def test_a_draining_sidecar_still_signs_people_in(browser: Browser, proxy: Sidecar) -> None:
    """And says that the connection ends."""
    back = await browser.allow(await browser.login())
    proxy.app.proxy.draining = True
    answer = await browser.get(back, *LINK)
    assert (answer.status, answer.all("Connection")) == (303, ["close"])


async def test_the_pages_are_there_for_a_unix_socket_and_an_absolute_target(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """An ingress beside the sidecar; a client that takes it for its proxy."""
    listen = f"unix:{tmp_path / 'sock'}"
    async with sidecar(people(egain, upstream.url, tmp_path, listen=listen), tmp_path):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "sock")
        for target, host in (("", "app.example.com"), (upstream.url, urlsplit(upstream.url).netloc)):
            writer.write(
                f"GET {target}/.auth/login?credential=user HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            )
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 303 ")
        writer.write(b"GET http://evil.example/.auth/session HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 421 ")
        writer.close()
        await writer.wait_closed()


# -- reload --------------------------------------------------------------------------------------------------------


async def test_people_come_and_go_with_a_reload(
    egain: StandIn, upstream: RawUpstream, clock: FakeClock, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The pages and the sessions with them; a session is kept as long as its credential is."""
    full = people(egain, upstream.url, tmp_path)
    plain = {key: value for key, value in full.items() if key != "sessions"}
    plain["routes"] = [full["routes"][-1]]
    plain["credentials"] = {"app": full["credentials"]["app"]}
    path = tmp_path / "the.yaml"

    async def reload(mapping: dict[str, object]) -> None:
        path.write_text(json.dumps(mapping))
        assert await started.app.reload(path)

    async with sidecar({**plain, "allowed_hosts": ["app.example.com"]}, tmp_path, clock) as started:
        browser = Browser(started, egain)
        assert (await browser.get("/.auth/session")).body == b"ok"
        await reload(full)
        await browser.sign_in()
        await reload({**full, "sessions": {**full["sessions"], "idle_timeout": "10m"}})
        assert (await session(browser))["idle_expires_in"] == 600
        logs.flush()
        assert "config_needs_restart" not in capfd.readouterr().err
        await reload({**full, "sessions": {"store": f"sqlite:{tmp_path / 'db'}", **full["sessions"]}})
        logs.flush()
        assert '"key": "sessions.store"' in capfd.readouterr().err
        assert (await session(browser))["signed_in"] is True
        await reload({**plain, "allowed_hosts": ["app.example.com"]})
        upstream.requests.clear()
        assert (await browser.get("/.auth/session")).body == b"ok"
        assert (await browser.get("/open/x", *LINK)).error == "origin_not_allowed"
        await reload(full)
        assert (await session(browser))["signed_in"] is False
        await browser.close()


async def test_a_store_that_cannot_be_opened_leaves_the_old_configuration(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """A reload that brings the first people, and a path that is none."""
    full = people(egain, upstream.url, tmp_path)
    plain = {**{k: v for k, v in full.items() if k != "sessions"}, "routes": [full["routes"][-1]]}
    plain["credentials"] = {"app": full["credentials"]["app"]}
    async with sidecar(plain, tmp_path) as started:
        full["sessions"]["store"] = f"sqlite:{tmp_path / 'no' / 'such' / 'place'}"
        path = tmp_path / "the.yaml"
        path.write_text(json.dumps(full))
        assert not await started.app.reload(path)
        assert (await started.ask("/.auth/session")).body == b"ok"
        full["sessions"]["store"] = "memory"
        path.write_text(json.dumps(full))
        assert await started.app.reload(path)
        answer = await started.ask("/.auth/session", "Host: app.example.com")
        assert answer.status in (200, 400)


# -- secrets -------------------------------------------------------------------------------------------------------


async def test_no_secret_is_in_any_answer_log_metric_or_status(
    capfd: pytest.CaptureFixture[str], upstream: RawUpstream, egain: StandIn, clock: FakeClock, tmp_path: Path
) -> None:
    """Tokens, codes, verifiers, cookies: of a sign-in, a refresh, a denial, a refused callback and a sign-out."""
    async with sidecar(people(egain, upstream.url, tmp_path), tmp_path, clock) as proxy:
        browser = Browser(proxy, egain)
        asked = await browser.login()
        query = parse_qs(urlsplit(asked).query)
        attempt = dict(browser.cookies)
        back = await browser.allow(asked)
        await browser.get(back, *LINK)
        cookie = browser.cookies[USER_SESSION]
        assert (await browser.get("/api/x", *SCRIPT)).status == 200
        egain.revoke_all()
        upstream.script = rejecting_once()
        assert (await browser.get("/api/x", *SCRIPT)).status == 200
        tokens = {line.removeprefix("Bearer ") for r in upstream.requests for line in r.all("Authorization")}
        assert len(tokens) == 2
        await session(browser)
        await browser.get(back, *LINK)
        status = await admin(proxy, "/status") + await admin(proxy, "/config") + await proxy.metrics()
        await browser.get("/.auth/logout", *FORM, method="POST")
        await until(lambda: proxy.app.metrics.in_flight == 0)
        await browser.close()
    code = parse_qs(urlsplit(back).query)["code"][0]
    logged = "".join(capfd.readouterr())
    assert "session_ended" in logged
    secret = {*tokens, code, egain.client_secret, "k" * 44}
    answers = b"".join(answer.head + answer.body for answer in browser.seen).decode("latin-1")
    for value in secret:
        assert value not in answers
    for value in secret | {cookie, *attempt.values(), query["state"][0]}:
        assert value not in status
        assert value not in logged


def rejecting_once() -> Script:
    """An upstream that does not take the first token it sees."""
    answers = iter([b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"])

    async def script(talk: Talk) -> None:
        await talk.send(next(answers, OK))

    return script


async def admin(proxy: Sidecar, path: str) -> str:
    host, _, port = proxy.app.admin_address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    text = (await reader.read()).decode()
    writer.close()
    assert text.startswith("HTTP/1.1 200"), text[:200]
    return text
