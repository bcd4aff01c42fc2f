"""A whole site for a browser: the stand-in, the real sidecar as a process, and the front through which it is reached.

Owns wiring and what the servers saw. The configuration is the demo's, with the names of this site.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

from sidecar.demo.config import demo_config, write_config
from sidecar.demo.directory import POST_LOGOUT_REDIRECT_URIS, REDIRECT_URIS
from sidecar.demo.seen import TokenRequestSeen
from sidecar.demo.signin.settings import SignInSettings
from sidecar.demo.standin import StandIn
from tests.sidecar_process import SidecarProcess, sidecar_process
from tests.tcp_front import Front

LIFETIME = 3600.0  # of tokens; tests that watch them rotate shorten it


@dataclass
class Site:
    """What a person visits, and what stands behind it."""

    origin: str
    egain: StandIn
    front: Front
    sidecar: SidecarProcess

    @property
    def page(self) -> str:
        return f"{self.origin}/demo/page"

    @property
    def callback(self) -> str:
        return f"{self.origin}/.auth/callback"

    def login(self, credential: str = "user", return_to: str = "/demo/page") -> str:
        return f"{self.origin}/.auth/login?credential={credential}&return_to={return_to}"

    def grants(self, grant: str) -> list[TokenRequestSeen]:
        """The token requests of this grant that were answered well."""
        return [seen for seen in self.egain.token_requests if seen.grant == grant and seen.status == 200]

    def served(self, path: str) -> list[Any]:
        """The API requests for this path."""
        return [seen for seen in self.egain.api_requests if seen.path == path.encode()]

    def secrets(self) -> Iterator[str]:
        """Everything that no browser may ever hold."""
        yield self.egain.client_secret
        for seen in self.egain.token_requests:
            yield from filter(None, (seen.access_token, seen.refresh_token, seen.form.get("code_verifier")))

    def reset(self) -> None:
        """As new, as far as the servers are concerned; browsers forget by themselves."""
        self.egain.reset()
        self.egain.lifetime = LIFETIME
        self.egain.sign_in.code_lifetime = SignInSettings().code_lifetime
        self.front.keep_back = None
        self.front.to_browser.clear()
        self.front.to_sidecar.clear()


@contextlib.asynccontextmanager
async def site(
    folder: Path, host: str = "127.0.0.1", authority: trustme.CA | None = None, **changes: Any
) -> AsyncIterator[Site]:
    """At `host`, with TLS of this authority; `changes` replace keys of the configuration."""
    async with contextlib.AsyncExitStack() as stack:
        front = await stack.enter_async_context(Front().listening(_server_context(authority, host)))
        origin = f"{'https' if authority else 'http'}://{host}:{front.port}"
        settings = SignInSettings(
            redirect_uris=(*REDIRECT_URIS, f"{origin}/.auth/callback"),
            post_logout_redirect_uris=(*POST_LOGOUT_REDIRECT_URIS, f"{origin}/demo/page"),
        )
        context = _server_context(authority, "127.0.0.1")
        egain = await stack.enter_async_context(
            StandIn(lifetime=LIFETIME, sign_in=settings, ssl_context=context)
        )
        mapping = _configuration(egain, origin, front.port, _ca_file(folder, authority), changes)
        config = write_config(folder, mapping, egain.client_secret)
        sidecar = await stack.enter_async_context(sidecar_process(config))
        front.behind = sidecar.proxy_address
        yield Site(origin, egain, front, sidecar)


def _configuration(
    egain: StandIn, origin: str, port: int, ca_file: str | None, changes: Mapping[str, Any]
) -> dict[str, Any]:
    mapping = demo_config(egain, port=port)
    for name in ("user", "customer"):
        credential = mapping["credentials"][name]
        credential["redirect_url"] = f"{origin}/.auth/callback"
        credential["post_logout_redirect_url"] = f"{origin}/demo/page"
    if ca_file is not None:
        mapping["upstream"]["ca_file"] = ca_file
        mapping["tokens"] = {"ca_file": ca_file}
    return {**mapping, "listen": "127.0.0.1:0", "log": {"level": "info"}, **changes}


def _server_context(authority: trustme.CA | None, host: str) -> ssl.SSLContext | None:
    if authority is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(host).configure_cert(context)
    return context


def _ca_file(folder: Path, authority: trustme.CA | None) -> str | None:
    if authority is None:
        return None
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)
