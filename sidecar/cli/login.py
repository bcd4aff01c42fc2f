"""`auth-sidecar login`: a person at a terminal signs in, for a `run` on this machine.

Owns the loopback redirect (RFC 8252 section 7.3) and what is said meanwhile. What an answer of the authorization
server is worth, attempt.py says; where the sign-in is kept, local.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import webbrowser
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from aiohttp import web

from sidecar import binding
from sidecar.cli import output, remedies
from sidecar.cli.obtain import Unheard
from sidecar.cli.output import Failed
from sidecar.clock import SystemClock
from sidecar.config.schema import Client, Config, Credential
from sidecar.config.signin_checks import CALLBACK
from sidecar.config.values import HttpUrl, SecretFrom
from sidecar.oauth.answer import Failure, Issued
from sidecar.signin import attempt as attempts
from sidecar.signin import claims, html, local
from sidecar.signin.session import digest_of
from sidecar.signin.sessions import Sessions, SessionSource
from sidecar.tokens.endpoint import TokenEndpoint
from sidecar.tokens.recipe import recipe

_NAMES = ("name", "preferred_username", "email", "sub")  # of a person, the best first


class _Unheard:
    def ended(self, credential: str, reason: str) -> None: ...

    def refreshed(self, credential: str, outcome: str) -> None: ...


@dataclass
class _Callback:
    """The one page of the loopback listener."""

    attempt: attempts.Attempt
    issuer: str | None
    answer: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.method != "GET" or request.rel_url.raw_path != CALLBACK:
            return web.Response(status=404, text="There is nothing here.\n")
        if attempts.state_of(request.rel_url.raw_query_string) != self.attempt.state or self.answer.done():
            # Somebody else's page may send anything here: it neither ends nor completes the sign-in.
            return _page(400, "This is not the sign-in that was begun", "Nothing has been changed.")
        try:
            code = attempts.code_of(
                request.rel_url.raw_query_string, self.attempt, self.issuer, SystemClock().wall()
            )
        except attempts.Refused as refused:
            self.answer.set_exception(Failed(f"signing in did not work: {refused.detail}"))
            return _page(400, "You have not been signed in", "The terminal says why.")
        self.answer.set_result(code)
        return _page(200, "You have signed in", "You can close this window and go back to the terminal.")


def _page(status: int, title: str, sentence: str) -> web.Response:
    name, policy = html.POLICY
    return web.Response(
        status=status,
        body=html.page(title, [sentence]),
        content_type="text/html",
        charset="utf-8",
        headers={name: policy, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
    )


@contextlib.asynccontextmanager
async def _listening(redirect: HttpUrl | None, port: int, callback: _Callback) -> AsyncIterator[HttpUrl]:
    """The loopback listener, while the person is in the browser. Yields the redirect URI."""
    registered = redirect if redirect is not None and redirect.is_loopback else None
    wanted = port or (registered.port if registered is not None else 0)
    server = web.Server(callback.serve, access_log=None)
    runner = web.ServerRunner(server)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", wanted).start()
        except OSError as error:
            raise Failed(
                f"cannot listen on 127.0.0.1:{wanted}: {error.strerror or error}; end what is in the way"
            ) from None
        chosen = runner.addresses[0][1]
        host = registered.host if registered is not None else "127.0.0.1"
        yield HttpUrl("http", host, chosen, CALLBACK)
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Login:
    """One person, one credential."""

    config: Config
    name: str
    credential: Credential
    client: Client
    client_id: str
    kept: local.SignIns

    @property
    def scopes(self) -> frozenset[str]:
        routes = [route for route in self.config.routes if route.credential == self.name]
        return frozenset(scope for route in routes for scope in binding.scopes_of(self.config, route))

    @property
    def cookie(self) -> str:
        return self.kept.cookie(self.name, self.credential, self.client_id)

    async def sign_in(self, *, browser: bool, port: int) -> None:
        """Sign in and keep it. Raises Failed."""
        begun = attempts.begin(self.name, "/", SystemClock().wall(), secrets.token_urlsafe)
        callback = _Callback(begun, self.credential.issuer)
        async with _listening(self.credential.redirect_url, port, callback) as redirect:
            here = self.credential.model_copy(update={"redirect_url": redirect})
            url = attempts.authorization_url(here, self.client_id, self.scopes, begun)
            output.say("Sign in at this address:")
            output.say(f"  {url}")
            if browser:
                await asyncio.to_thread(webbrowser.open, url)
            try:
                async with asyncio.timeout(attempts.LIFETIME):
                    code = await callback.answer
            except TimeoutError:
                raise Failed("nobody has signed in for ten minutes; begin again") from None
        found = await self._keep(here, code, begun.verifier)
        if isinstance(found, Failure):
            remedy = remedies.of_token(found, self.config, self.name, tuple(self.scopes))
            raise Failed(f"no token of {self.name}: {found.detail or found.reason}; {remedy}")
        self._say(found)

    async def _keep(self, here: Credential, code: str, verifier: str) -> Issued | Failure:
        """Change the code into tokens, and put them where a `run` finds them."""
        config, endpoint = self.config, TokenEndpoint(self.config)
        sessions = Sessions(
            SystemClock(), endpoint, Unheard(), _Unheard(),
            config.refresh, config.tokens, config.sessions, self.kept.store(),
        )  # fmt: skip
        async with endpoint, sessions:
            source = SessionSource(sessions, recipe(self.name, here, self.client, self.scopes))
            found = await source.sign_in(code, verifier)
            if isinstance(found, Failure):
                return found
            issued, asked_at = found
            who = claims.shown(issued.id_token, issued.value)
            await source.begin(issued, asked_at, who, cookie=self.cookie)
            return issued

    def _say(self, issued: Issued) -> None:
        who = claims.shown(issued.id_token, issued.value)
        person = next((who[name] for name in _NAMES if name in who), "somebody")
        hours = f"{self.config.sessions.max_lifetime / 3600:g} hours at most"
        output.facts(
            [
                ("signed in", f"{person} ({self.name})"),
                ("kept in", str(self.kept.file)),
                ("for", hours if issued.refresh_token else "the life of its token: no refresh token came"),
                ("used by", "auth-sidecar run CONFIG on loopback, for requests without a session"),
            ]
        )

    async def forget(self) -> None:
        """Take a sign-in out of the store."""
        store = self.kept.store()
        await store.open()
        try:
            await store.remove(digest_of(self.cookie))
        finally:
            await store.close()
        output.say(f"the sign-in of {self.name} is forgotten; a sidecar that runs has to be started again")


def login(config: Config, name: str, credential: Credential) -> Login:
    """Raises Failed where nothing can be kept."""
    client = config.client_of(credential)
    assert client is not None  # checked at load
    try:
        client_id = client.id.read().reveal() if isinstance(client.id, SecretFrom) else client.id
        return Login(config, name, credential, client, client_id, local.made(os.environ))
    except (OSError, ValueError) as error:
        raise Failed(f"cannot begin: {getattr(error, 'strerror', None) or error}") from None
