"""People sign in at oidc-provider, with its own pages; a resource server verifies every token that arrives."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from tests.browser.visitor import Visitor, visiting
from tests.harness import until
from tests.real.resource_server import ResourceServer
from tests.real.servers import Server, oidc_provider
from tests.sidecar_process import SidecarProcess, sidecar_process
from tests.tcp_front import Front

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop

LIFETIME = 3  # seconds; it knows no fractions
PEOPLE = ["user", "customer"]  # with a secret, and with PKCE only


@dataclass
class App:
    """The site, and what stands behind it."""

    origin: str
    server: Server
    api: ResourceServer
    front: Front
    sidecar: SidecarProcess

    def login(self, credential: str) -> str:
        return f"{self.origin}/.auth/login?credential={credential}&return_to=/read/{credential}"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def app(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[App]:
    """oidc-provider, the resource server, and the sidecar as a process behind the front."""
    folder = tmp_path_factory.mktemp("oidc-provider")
    async with contextlib.AsyncExitStack() as stack:
        front = await stack.enter_async_context(Front().listening())
        origin = f"http://127.0.0.1:{front.port}"
        server = stack.enter_context(oidc_provider(folder, lifetime=LIFETIME, origin=origin))
        api = await stack.enter_async_context(ResourceServer(server).running())
        path = folder / "sidecar.yaml"
        path.write_text(yaml.safe_dump(configuration(folder, server, api, origin)))
        sidecar = await stack.enter_async_context(sidecar_process(path))
        front.behind = sidecar.proxy_address
        yield App(origin, server, api, front, sidecar)


def configuration(folder: Path, server: Server, api: ResourceServer, origin: str) -> dict[str, Any]:
    (folder / "web-secret").write_text("webs3cret\n")
    (folder / "web-key").write_text("k" * 40)
    clients = {
        "user": {"id": "web", "secret": {"file": "web-secret"}},
        "customer": {"id": "spa", "auth": "none"},
    }
    provider = {
        "grant": "authorization_code",
        "issuer": server.issuer,
        "authorization_url": f"{server.issuer}/auth",
        "token_url": server.token_url,
        "logout_url": f"{server.issuer}/session/end",
        "redirect_url": f"{origin}/.auth/callback",
        "post_logout_redirect_url": f"{origin}/read/user",
    }
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "upstream": {"url": api.url},
        "credentials": {name: {**provider, "client": client} for name, client in clients.items()},
        "sessions": {"store": f"sqlite:{folder / 'sessions'}", "key": {"file": "web-key"}},
        "refresh": {"expiry_skew": "500ms", "retry": {"initial": "200ms", "max": "1s"}},
        "log": {"level": "info"},
        "routes": [
            {"path": f"/read/{name}/**", "credential": name, "scopes": ["openid", "read"]} for name in PEOPLE
        ],
    }


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(browser: Any, app: App, tmp_path: Path) -> AsyncIterator[Visitor]:
    """Somebody who visits; in the end nothing is found that a browser may not hold."""
    app.front.to_browser.clear()
    async with visiting(browser, tmp_path) as made:
        yield made
        made.violations.clear()  # the provider's pages are its own business
        await made.leave(app.front.to_browser, ["webs3cret"])


async def sign_in(visitor: Visitor, app: App, credential: str) -> None:
    """By the provider's pages: any name and password is known there."""
    window = visitor.window
    await visitor.go(app.login(credential))
    await window.fill("[name=login]", "alice")
    await window.fill("[name=password]", "any")
    await window.click("button[type=submit]")
    await window.wait_for_selector("button >> text=Continue")
    await visitor.shot(f"oidc-provider-consent-{credential}")
    await window.click("button >> text=Continue")
    await window.wait_for_url(f"{app.origin}/read/{credential}")


@pytest.mark.parametrize("credential", PEOPLE)
async def test_signs_in_and_reaches_the_api(visitor: Visitor, app: App, credential: str) -> None:
    """The token is for this person, this client and these scopes; nonce, issuer and audience of the ID token fit."""
    await sign_in(visitor, app, credential)
    told = (await visitor.fetch(f"/read/{credential}/x"))["json"]
    client = {"user": "web", "customer": "spa"}[credential]
    assert (told["sub"], told["client_id"], told["scope"]) == ("alice", client, "read")
    session = (await visitor.fetch("/.auth/session"))["json"]
    assert session["credentials"][credential]["claims"] == {"sub": "alice"}
    assert app.api.refused == []


@pytest.mark.parametrize("credential", PEOPLE)
async def test_refreshes_with_rotation_unnoticed(visitor: Visitor, app: App, credential: str) -> None:
    """Tokens of 3 seconds, refresh tokens good once: four refreshes, no answer but 200, no token that was refused."""
    before = await app.sidecar.metric(
        "auth_sidecar_session_refreshes_total", credential=credential, outcome="ok"
    )
    served = len(app.api.served)
    await sign_in(visitor, app, credential)
    await visitor.window.evaluate(
        """(path) => { window.seen = []; setInterval(async () => seen.push((await fetch(path)).status), 100); }""",
        f"/read/{credential}/x",
    )
    await until(lambda: len(app.api.served) >= served + 5, "the fourth refresh")
    assert set(await visitor.window.evaluate("window.seen")) == {200}
    after = await app.sidecar.metric(
        "auth_sidecar_session_refreshes_total", credential=credential, outcome="ok"
    )
    assert (after or 0) - (before or 0) >= 4
    assert app.api.refused == []
    assert "grant.revoked" not in app.server.program.output
    assert "invalid_grant" not in app.server.program.output


async def test_signs_out_at_the_provider_too(visitor: Visitor, app: App) -> None:
    """Without an ID token as a hint it asks; afterwards it knows the person no more, and leads back."""
    await sign_in(visitor, app, "user")
    told = (await visitor.fetch("/.auth/logout?credential=user", method="POST"))["json"]
    assert "id_token_hint" not in told["continue_at"]
    assert (await visitor.fetch("/read/user/x"))["code"] == "login_required"
    await visitor.go(told["continue_at"])
    await visitor.shot("oidc-provider-logout")
    await visitor.window.click("text=Yes, sign me out")
    await visitor.window.wait_for_selector("[name=login]")  # back at /read/user, and so at the login page
    assert visitor.window.url.startswith(app.server.issuer)


async def test_denial(visitor: Visitor, app: App) -> None:
    """Cancel on the provider's page is a page here that says so, and leads to another try."""
    await visitor.go(app.login("user"))
    await visitor.window.click("text=Cancel")
    await visitor.window.wait_for_url(f"{app.origin}/.auth/callback**")
    assert await visitor.heading() == "You have not been signed in"
    await visitor.shot("oidc-provider-denied")
    await visitor.window.click("a.do")
    await visitor.window.wait_for_selector("[name=login]")
