"""`auth-sidecar login`: a person at a terminal signs in, and a `run` on loopback uses it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from sidecar.demo.standin import StandIn
from tests.commands import call, call_beside, write
from tests.form_browser import FormBrowser, Page, SignInPages
from tests.harness import sidecar

READ = "knowledge.portalmgr.read"


def configuration(egain: StandIn, folder: Path, **changes: Any) -> dict[str, Any]:
    (folder / "client-secret").write_text(egain.client_secret)
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "upstream": {"url": egain.base},
        "client": {"id": egain.client_id, "secret": {"file": str(folder / "client-secret")}},
        "credentials": {
            "user": {
                "grant": "authorization_code",
                "authorization_url": egain.user_authorization_url,
                "token_url": egain.user_token_url,
                "redirect_url": "https://app.example.com/.auth/callback",
                "issuer": egain.issuer,
            },
            "app": {"grant": "client_credentials", "token_url": egain.user_token_url},
        },
        "routes": [
            {"path": "/demo/echo/user", "credential": "user", "scopes": [READ]},
            {"path": "/demo/echo/app", "credential": "app", "scopes": [f"app.{READ}"]},
        ],
        **changes,
    }


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This person's folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "auth-sidecar"


@dataclass
class Terminal:
    """A `login` that waits for the browser."""

    process: asyncio.subprocess.Process
    address: str

    async def end(self) -> tuple[int | None, str, str]:
        out, error = await self.process.communicate()
        return self.process.returncode, out.decode(), error.decode()


@contextlib.asynccontextmanager
async def login(*arguments: object) -> AsyncIterator[Terminal]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "login", "--no-browser", *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=dict(os.environ),
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"Sign in at this address:\n"
        yield Terminal(process, (await process.stdout.readline()).decode().strip())
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def in_browser(egain: StandIn, address: str, decision: str = "allow") -> Page:
    """Go through the pages; gives where the browser is sent back to."""
    pages = SignInPages(egain)
    browser: FormBrowser = pages.browser
    try:
        page = await pages.log_in(await browser.get(address))
        return await browser.send(page, decision=decision) if page.status is not None else page
    finally:
        await browser.http.close()


async def open_page(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, await answer.text()


async def test_a_run_on_loopback_serves_as_the_person_who_signed_in(
    egain: StandIn, tmp_path: Path, state: Path
) -> None:
    """From the address to a request without any cookie; nothing of it readable in the folder."""
    path = write(tmp_path, configuration(egain, tmp_path))
    async with login(path, "user") as terminal:
        back = await in_browser(egain, terminal.address)
        assert back.url.startswith("http://127.0.0.1:")
        status, page = await open_page(back.url)
        assert (status, "You have signed in" in page) == (200, True)
        code, out, error = await terminal.end()
    assert (code, error) == (0, "")
    assert "signed in  Alice (user)" in out
    assert str(state / "sign-ins") in out
    assert {file.stat().st_mode & 0o077 for file in (state, *state.iterdir())} == {0}
    kept = b"".join(file.read_bytes() for file in state.iterdir())
    assert not any(seen.access_token.encode() in kept for seen in egain.token_requests if seen.access_token)
    async with sidecar(configuration(egain, tmp_path), tmp_path) as started:
        answer = await started.ask("/demo/echo/user", "Accept-Language: en-US")
        assert answer.status == 200
        assert egain.api_requests[-1].claims is not None
        assert egain.api_requests[-1].claims.subject == "alice"


async def test_without_a_sign_in_a_request_is_answered_as_anywhere(
    egain: StandIn, tmp_path: Path, state: Path
) -> None:
    """And --forget takes it away again."""
    path = write(tmp_path, configuration(egain, tmp_path))
    async with login(path, "user") as terminal:
        back = await in_browser(egain, terminal.address)
        await open_page(back.url)
        assert (await terminal.end())[0] == 0
    forgotten = await call_beside("login", "--forget", path, "user")
    assert forgotten.output.startswith("the sign-in of user is forgotten")
    async with sidecar(configuration(egain, tmp_path), tmp_path) as started:
        assert (await started.ask("/demo/echo/user")).error == "login_required"


async def test_a_listener_that_others_reach_never_uses_it(
    egain: StandIn, tmp_path: Path, state: Path
) -> None:
    """Whoever calls from elsewhere is not the person at this machine."""
    path = write(tmp_path, configuration(egain, tmp_path))
    async with login(path, "user") as terminal:
        await open_page((await in_browser(egain, terminal.address)).url)
        assert (await terminal.end())[0] == 0
    wide = configuration(egain, tmp_path, listen="0.0.0.0:0", allow_remote=True)
    async with sidecar(wide, tmp_path) as started:
        host, _, port = started.app.proxy_address.rpartition(":")
        started.app.proxy_address = f"127.0.0.1:{port}"
        assert host == "0.0.0.0"
        assert (await started.ask("/demo/echo/user")).error == "login_required"


async def test_a_foreign_callback_neither_ends_nor_completes_it(
    egain: StandIn, tmp_path: Path, state: Path
) -> None:
    """Any web page can send a browser to a loopback address."""
    path = write(tmp_path, configuration(egain, tmp_path))
    async with login(path, "user") as terminal:
        back = await in_browser(egain, terminal.address)
        base = back.url.partition("?")[0]
        for query in ("", "?code=stolen&state=guessed", "?error=access_denied", "?state=a&state=b"):
            assert (await open_page(base + query))[0] == 400
        assert (await open_page(base.replace("/.auth/callback", "/")))[0] == 404
        assert (await open_page(back.url))[0] == 200
        assert (await terminal.end())[0] == 0


async def test_a_denial_ends_it_with_the_reason(egain: StandIn, tmp_path: Path, state: Path) -> None:
    """Exit 1; nothing is kept."""
    path = write(tmp_path, configuration(egain, tmp_path))
    async with login(path, "user") as terminal:
        back = await in_browser(egain, terminal.address, decision="deny")
        assert (await open_page(back.url))[0] == 400
        code, _, error = await terminal.end()
    assert (code, error) == (1, "auth-sidecar: signing in did not work: the authorization server said no\n")


async def test_a_refused_client_ends_it_with_a_remedy(egain: StandIn, tmp_path: Path, state: Path) -> None:
    """The wrong secret is found when the code is redeemed."""
    mapping = configuration(egain, tmp_path)
    (tmp_path / "client-secret").write_text("wrong")
    path = write(tmp_path, mapping)
    async with login(path, "user") as terminal:
        await open_page((await in_browser(egain, terminal.address)).url)
        code, _, error = await terminal.end()
    assert code == 1
    assert "no token of user: HTTP 401 invalid_client" in error
    assert "wrong" not in error


def test_only_credentials_of_people_can_be_signed_in_for(tmp_path: Path) -> None:
    """The others have `auth-sidecar token`; and that one points back here."""
    standin = StandIn()
    standin.base = "http://127.0.0.1:1"
    path = write(tmp_path, configuration(standin, tmp_path))
    refused = call("login", path, "app")
    assert (refused.exit_code, "use: auth-sidecar token" in refused.output) == (2, True)
    refused = call("token", path, "user")
    assert (refused.exit_code, "use: auth-sidecar login" in refused.output) == (2, True)
    refused = call("login", path, "usr")
    assert (refused.exit_code, "did you mean user?" in refused.output) == (2, True)


def test_without_a_home_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, say."""
    standin = StandIn()
    standin.base = "http://127.0.0.1:1"
    path = write(tmp_path, configuration(standin, tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("HOME")
    failed = call("login", "--no-browser", path, "user")
    assert (failed.exit_code, "set HOME or XDG_STATE_HOME" in failed.output) == (1, True)
