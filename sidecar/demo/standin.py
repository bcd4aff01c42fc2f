"""The stand-in as a whole: one origin on loopback that is authorization server, API and identity provider.

Owns wiring and lifetime. `async with StandIn() as egain:` is a working eGain for a test.
"""

from __future__ import annotations

import ssl
from collections import deque
from types import TracebackType
from typing import Any

from aiohttp import web

from sidecar.clock import Clock, SystemClock
from sidecar.demo import activity, control, utility, webpage
from sidecar.demo.addresses import Addresses
from sidecar.demo.api import Api
from sidecar.demo.authorization import AuthorizationServer
from sidecar.demo.clientauth import ClientAuthenticator
from sidecar.demo.content import Content
from sidecar.demo.directory import (
    CLIENT_ID,
    CLIENT_SECRET,
    PUBLIC_CLIENT_ID,
    REGISTRATION_ID,
    TENANT,
    Persona,
    demo_directory,
)
from sidecar.demo.faults import Faults
from sidecar.demo.grants import Rules
from sidecar.demo.identity import IdentityProvider
from sidecar.demo.keys import SigningKey, signing_key
from sidecar.demo.operations import OperationTable, demo_operations, eGain_operations
from sidecar.demo.seen import ApiRequestSeen, AuthorizationRequestSeen, TokenRequestSeen
from sidecar.demo.signin.service import SignIn
from sidecar.demo.signin.settings import SignInSettings
from sidecar.demo.tokens import Mint

ANONYMOUS_PREFIX = "https://api.ai.egain.cloud/auth/"
# Wide, so that it is the sidecar's limits that show. Bodies are never decompressed: bytes are bytes.
_SERVER: dict[str, Any] = {
    "access_log": None,
    "auto_decompress": False,
    "handler_cancellation": True,  # a caller that left is noticed
    "max_field_size": 256 * 1024,
    "max_headers": 1000,
    "max_line_size": 256 * 1024,
    "shutdown_timeout": 0.1,
}


class StandIn(Addresses):
    """An eGain that lives as long as the `async with` block."""

    def __init__(
        self,
        *,
        lifetime: float = 3600,
        tenant: str = TENANT,
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_SECRET,
        anonymous_scope_prefix: str = ANONYMOUS_PREFIX,
        ssl_context: ssl.SSLContext | None = None,
        port: int = 0,
        remember: int = 10_000,
        clock: Clock | None = None,
        exact: bool = False,
        sign_in: SignInSettings | None = None,
        key: SigningKey | None = None,
    ) -> None:
        """`exact`: the API refuses tokens with more scopes than an operation needs, which eGain's does not.

        `key` signs the access tokens: those of a stand-in that was started anew are then as good as its first ones'.
        """
        super().__init__(tenant)
        self.client_id, self.client_secret = client_id, client_secret
        self.sign_in = sign_in or SignInSettings()  # may be changed while it runs
        self.public_client_id = PUBLIC_CLIENT_ID
        self.registration_id = REGISTRATION_ID
        self.anonymous_scope_prefix = anonymous_scope_prefix
        self.client_key_id = "client"
        self.client_private_key = signing_key(self.client_key_id).private_pem()
        self.directory = demo_directory(
            client_id,
            client_secret,
            signing_key(self.client_key_id).public_pem(),
            self.sign_in.redirect_uris,
            self.sign_in.post_logout_redirect_uris,
        )
        self.faults = Faults()
        self.token_requests: deque[TokenRequestSeen] = deque(maxlen=remember)
        self.authorization_requests: deque[AuthorizationRequestSeen] = deque(maxlen=remember)
        self.api_requests: deque[ApiRequestSeen] = deque(maxlen=remember)
        self._clock = clock or SystemClock()
        self._lifetime, self._port, self._ssl = lifetime, port, ssl_context
        self._exact = exact
        self._key = key or signing_key("egain")
        self._runner: web.AppRunner | None = None

    async def start(self) -> StandIn:
        """Listen on 127.0.0.1; from here on `base` and the URLs are known."""
        app = web.Application(client_max_size=1 << 20)
        app.router.add_route("*", "/{tail:.*}", self._dispatch)
        self._runner = web.AppRunner(app, **_SERVER)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, ssl_context=self._ssl, backlog=1024)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        host, port = self._runner.addresses[0][:2]
        self.base = f"{'https' if self._ssl else 'http'}://{host}:{port}"
        self._wire()
        return self

    def _wire(self) -> None:
        self._mint = Mint(self._key, self.issuer, self.base, self._clock)
        self._identity = IdentityProvider(self.idp_issuer, self.idp_audience, signing_key("idp"), self._clock)
        rules = Rules(
            self.directory, self._identity, self.registration_id, self.tenant, self.anonymous_scope_prefix
        )
        self._sign_in = SignIn(
            self.sign_in, rules, self._mint, self._clock, self.faults.signin, self.authorization_requests,
            secure=self._ssl is not None,
        )  # fmt: skip
        self._endpoints = {url.removeprefix(self.base): name for name, url in self.token_urls.items()}
        self._authorization = AuthorizationServer(
            rules,
            ClientAuthenticator(self.directory),
            self._sign_in.token_grants,
            self._mint,
            self._clock,
            self.faults.token,
            self.token_requests,
            self.token_urls,
            self._lifetime,
        )
        answers = {**Content().pages(), **activity.pages()}
        operations = OperationTable([*eGain_operations(answers), *demo_operations(utility.pages())])
        self._api = Api(operations, self._mint, self.faults.api, self.api_requests, self._exact)

    async def stop(self) -> None:
        """Let go of whatever hangs, and close every connection."""
        self.faults.clear()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> StandIn:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        if (endpoint := self._endpoints.get(path)) is not None:
            return await self._authorization.answer(request, endpoint)
        if (page := await self._sign_in.answer(request, path)) is not None:
            return page
        if path == "/demo/faults":
            return await control.faults(request, self.faults)
        if path == webpage.PATH:
            return await webpage.answer(request, self.base)
        if self.base + path == self.jwks_url:
            return web.json_response(self._mint.key.jwks())
        if self.base + path == self.idp_jwks_url:
            return web.json_response(self._identity.key.jwks())
        return await self._api.answer(request)

    @property
    def lifetime(self) -> float:
        """Of the tokens issued from now on."""
        return self._lifetime

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        self._lifetime = self._authorization.lifetime = seconds

    def idp_token(self, sub_email: str, *, lifetime: float = 3600, **claims: Any) -> str:
        """A token of the external identity provider; a claim given as None is left out."""
        return self._identity.token(sub_email, lifetime, **claims)

    def issue(
        self, persona: Persona, *scopes: str, subject: str = "alice", lifetime: float | None = None
    ) -> str:
        """An access token without asking for it, valid or (lifetime 0) expired."""
        seconds = self._lifetime if lifetime is None else lifetime
        return self._mint.issue(persona, subject, scopes, self.client_id, seconds)

    def rotate_secret(self, secret: str) -> None:
        """From now on only this secret is right."""
        self.client_secret = secret
        self.directory.set_secret(self.client_id, secret)

    def revoke(self, token: str) -> None:
        """The API answers 401-101 to this token from now on."""
        self._mint.revoke(token)

    def revoke_all(self) -> None:
        """The API answers 401-101 to every token issued so far."""
        self._mint.revoke_all()

    def revoke_grants(self) -> None:
        """Everybody who signed in has to do so again: their tokens end, access and refresh."""
        self._sign_in.grants.revoke_session()

    def reset(self) -> None:
        """Normal again, and nothing remembered; tokens stay valid."""
        self.faults.clear()
        self.token_requests.clear()
        self.authorization_requests.clear()
        self.api_requests.clear()
