"""Sessions of the sidecar as a process: refreshes under load, and what is left after it was killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar.demo.config import demo_config, write_config
from sidecar.demo.directory import PASSWORD
from sidecar.demo.seen import TokenRequestSeen
from sidecar.demo.standin import StandIn
from tests.form_browser import FormBrowser
from tests.harness import DEADLINE, until
from tests.sidecar_process import SidecarProcess, sidecar_process
from tests.tcp_front import Front

LIFETIME = 2.0  # of the tokens that are to run out
REQUESTS = 100
ROUTE = "/demo/echo/user"


@dataclass
class Person:
    """Somebody's browser; the sidecar is reached at the address that the configuration names."""

    egain: StandIn
    origin: str
    browser: FormBrowser

    async def sign_in(self) -> None:
        """From the login page to the session cookie, through whatever pages come."""
        answer = await self._get("/.auth/login?credential=user")
        page = await self.browser.get(answer.headers["Location"])
        if "password" in page.form.fields:
            page = await self.browser.send(page, name="alice", password=PASSWORD, decision="allow")
        if page.status is not None:
            page = await self.browser.send(page, decision="allow")
        answer = await self._get(page.url.removeprefix(self.origin))
        assert answer.status == 303, await answer.text()

    async def ask(self, **headers: str) -> tuple[int, str | None]:
        """An API request: status, and the sidecar's error code."""
        answer = await self._get(ROUTE, **headers)
        return answer.status, answer.headers.get("X-Auth-Sidecar-Error")

    async def ask_at_once(self, number: int) -> Counter[tuple[int, str | None]]:
        return Counter(await asyncio.gather(*(self.ask() for _ in range(number))))

    async def _get(self, path: str, **headers: str) -> aiohttp.ClientResponse:
        url = self.origin + path
        async with self.browser.http.get(url, allow_redirects=False, headers=headers) as answer:
            await answer.read()
            return answer


@dataclass
class Setting:
    """A stand-in, a front in the ingress's place, another one before the token endpoint, and a configuration."""

    egain: StandIn
    ingress: Front
    token_front: Front
    config: Path
    person: Person

    @contextlib.asynccontextmanager
    async def sidecar(self) -> AsyncIterator[SidecarProcess]:
        """A sidecar process that the ingress leads to."""
        async with sidecar_process(self.config) as running:
            self.ingress.behind = running.proxy_address
            yield running

    def refreshes(self) -> list[TokenRequestSeen]:
        return [seen for seen in self.egain.token_requests if seen.grant == "refresh_token"]


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    """Tokens live shortly, and are only refreshed on demand: so they run out when nobody asks."""
    async with (
        StandIn(lifetime=LIFETIME) as egain,
        Front().listening() as ingress,
        Front(("127.0.0.1", int(egain.base.rpartition(":")[2]))).listening() as token_front,
    ):
        config = write_config(tmp_path, configuration(egain, ingress, token_front), egain.client_secret)
        browser = FormBrowser(egain.base)
        person = Person(egain, f"http://127.0.0.1:{ingress.port}", browser)
        try:
            yield Setting(egain, ingress, token_front, config, person)
        finally:
            await browser.http.close()


def configuration(egain: StandIn, ingress: Front, token_front: Front) -> dict[str, Any]:
    mapping = demo_config(egain, port=ingress.port)
    user = mapping["credentials"]["user"]
    user["token_url"] = user["token_url"].replace(egain.base, f"http://127.0.0.1:{token_front.port}")
    return {
        **mapping,
        "listen": "127.0.0.1:0",
        "credentials": {"user": user},
        "routes": [route for route in mapping["routes"] if route["credential"] == "user"],
        "sessions": {**mapping["sessions"], "store": "sqlite:sessions"},
        "refresh": {"expiry_skew": "100ms", "idle_after": "1ms", "retry": {"initial": "50ms", "max": "50ms"}},
        # Its double is how long another process's refresh is waited for.
        "tokens": {"request_timeout": "1s"},
        "log": {"level": "info"},
    }


async def run_out(setting: Setting) -> None:
    """Wait until the API does not take the session's token any more; the sidecar has given it up before."""
    token = [seen.access_token for seen in setting.egain.token_requests if seen.access_token is not None][-1]
    http, url = setting.person.browser.http, setting.egain.base + ROUTE
    async with asyncio.timeout(DEADLINE):
        status = 200
        while status == 200:
            async with http.get(url, headers={"Authorization": f"Bearer {token}"}) as answer:
                status = answer.status
            await asyncio.sleep(0.02)
    assert status == 401


async def in_flight(*sidecars: SidecarProcess, number: int) -> None:
    """Wait until so many requests are under way."""
    async with asyncio.timeout(DEADLINE):
        while number > sum(
            [await sidecar.metric("auth_sidecar_requests_in_flight") or 0.0 for sidecar in sidecars]
        ):
            await asyncio.sleep(0.02)


async def test_hundred_requests_at_the_moment_of_expiry_make_one_refresh(setting: Setting) -> None:
    """All wait for it, all are served; twice, so that the second one shows the first one's refresh token was kept."""
    async with setting.sidecar() as sidecar:
        await setting.person.sign_in()
        for turn in (1, 2):
            await run_out(setting)
            setting.token_front.answering.clear()  # nobody is too late to wait
            asking = asyncio.create_task(setting.person.ask_at_once(REQUESTS))
            await in_flight(sidecar, number=REQUESTS)
            setting.token_front.answering.set()
            assert await asking == {(200, None): REQUESTS}
            assert [seen.status for seen in setting.refreshes()] == [200] * turn


async def test_two_processes_that_share_the_store_make_one_refresh(setting: Setting) -> None:
    """As in a rolling update: the other one takes over what the first one got, and reuse detection stays quiet."""
    async with setting.sidecar() as first, sidecar_process(setting.config) as second:
        await setting.person.sign_in()
        other = Person(setting.egain, f"http://{second.proxy}", setting.person.browser)
        assert await other.ask(Host=f"127.0.0.1:{setting.ingress.port}") == (200, None)
        for turn in (1, 2):
            await run_out(setting)
            setting.token_front.answering.clear()
            asking = [asyncio.create_task(one.ask_at_once(REQUESTS // 2)) for one in (setting.person, other)]
            await in_flight(first, second, number=REQUESTS)
            setting.token_front.answering.set()
            assert [await answers for answers in asking] == [{(200, None): REQUESTS // 2}] * 2
            assert [seen.status for seen in setting.refreshes()] == [200] * turn
        name = "auth_sidecar_session_refreshes_total"
        taken = [await one.metric(name, outcome="taken_over") or 0.0 for one in (first, second)]
        assert sum(taken) == 2


async def test_killed_between_rotation_and_storage_it_says_so_and_the_person_signs_in_anew(
    setting: Setting,
) -> None:
    """The next process finds the note, tries the refresh token, finds it dead, and ends the session by name."""
    person = setting.person
    async with setting.sidecar() as sidecar:
        await person.sign_in()
        await run_out(setting)
        setting.token_front.answering.clear()
        asking = asyncio.create_task(person.ask())
        await until(lambda: [seen.status for seen in setting.refreshes()] == [200], "the rotation")
        await sidecar.kill()
        with contextlib.suppress(aiohttp.ClientError):
            await asking
    setting.token_front.answering.set()
    async with setting.sidecar() as sidecar:
        assert await person.ask() == (401, "login_required")
        assert [seen.error for seen in setting.refreshes()] == [None, "invalid_grant"]
        await until(lambda: sidecar.events("session_ended"), "the log line")
        (line,) = sidecar.events("session_lost")
        assert (line["level"], line["credential"]) == ("warning", "user")
        assert [line["reason"] for line in sidecar.events("session_ended")] == ["interrupted"]
        assert await sidecar.metric("auth_sidecar_sessions_ended_total", reason="interrupted") == 1
        assert await person.ask(Accept="text/html") == (303, "login_required")
        assert len(setting.refreshes()) == 2  # it is not tried again and again
        await person.sign_in()
        assert await person.ask() == (200, None)


async def test_killed_before_the_authorization_server_has_heard_the_session_lives_on(
    setting: Setting,
) -> None:
    """The note alone ends nothing: the refresh token turns out to be good."""
    person = setting.person
    async with setting.sidecar() as sidecar:
        await person.sign_in()
        await run_out(setting)
        setting.egain.faults.token.on(kind="hold")
        asking = asyncio.create_task(person.ask())
        await until(lambda: len(setting.refreshes()) == 1, "the refresh")
        await sidecar.kill()
        with contextlib.suppress(aiohttp.ClientError):
            await asking
    setting.egain.faults.token.off()
    async with setting.sidecar() as sidecar:
        assert await person.ask() == (200, None)
        await sidecar.stop()  # then its log is whole
        assert sidecar.events("session_lost") == []
        assert sidecar.events("session_ended") == []


async def test_answer_that_got_lost_ends_the_session_without_a_crash(setting: Setting) -> None:
    """The token endpoint has rotated and the connection broke: trouble for a moment, then the login page."""
    person = setting.person
    async with setting.sidecar() as sidecar:
        await person.sign_in()
        await run_out(setting)
        setting.egain.faults.token.on(kind="lost", times=1)
        answers = [await person.ask()]
        async with asyncio.timeout(DEADLINE):
            while answers[-1][0] == 503:
                answers.append(await person.ask())
        assert answers[-1] == (401, "login_required")
        await until(lambda: sidecar.events("session_ended"), "the log line")
        assert len(sidecar.events("session_lost")) == 1
        assert await sidecar.metric("auth_sidecar_sessions_ended_total", reason="interrupted") == 1


async def test_session_survives_a_restart(setting: Setting) -> None:
    """Killed while nothing was under way: the cookie is as good as before, and no token was asked for."""
    person = setting.person
    setting.egain.lifetime = 3600.0
    async with setting.sidecar():
        await person.sign_in()
    async with setting.sidecar() as sidecar:
        assert await person.ask() == (200, None)
        assert setting.refreshes() == []
        assert await sidecar.stop() == 0
    async with setting.sidecar():
        assert await person.ask() == (200, None)


async def test_file_of_the_store_tells_nothing(setting: Setting, tmp_path: Path) -> None:
    """No token, no cookie, no name, in any of SQLite's files."""
    person = setting.person
    async with setting.sidecar():
        await person.sign_in()
        await run_out(setting)
        assert await person.ask() == (200, None)
        told = b"".join(path.read_bytes() for path in tmp_path.glob("sessions*"))
        assert told
        secrets = [seen.access_token for seen in setting.egain.token_requests]
        secrets += [seen.refresh_token for seen in setting.egain.token_requests]
        secrets += [cookie.value for cookie in person.browser.http.cookie_jar if "sidecar" in cookie.key]
        for secret in secrets:
            assert secret is not None
            assert secret.encode() not in told
        assert b"alice" not in told.lower()
