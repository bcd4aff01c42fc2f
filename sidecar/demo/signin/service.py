"""Signing in as a whole: what answers under `/system/auth/TENANT-U/oauth2/` and `-C` besides the token endpoint.

Owns wiring, paths, and what is done with a fault before anything else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import get_args

from aiohttp import web

from sidecar.clock import Clock
from sidecar.demo import wire
from sidecar.demo.faults import SignInFault, Switch
from sidecar.demo.grants import Rules
from sidecar.demo.refusals import InvalidRequest
from sidecar.demo.seen import AuthorizationRequestSeen
from sidecar.demo.signin.answers import Cookie, refusal
from sidecar.demo.signin.browsers import Browsers
from sidecar.demo.signin.endpoint import AuthorizationEndpoint
from sidecar.demo.signin.grantstore import GrantStore
from sidecar.demo.signin.idtoken import IdTokens
from sidecar.demo.signin.logout import EndSession
from sidecar.demo.signin.request import SignedIn
from sidecar.demo.signin.response import AuthorizationResponses
from sidecar.demo.signin.settings import SignInSettings
from sidecar.demo.signin.tokengrants import TokenGrants
from sidecar.demo.tokens import Mint

Handler = Callable[[web.Request, SignInFault], Awaitable[web.Response]]


class SignIn:
    """Both endpoints, -U and -C."""

    def __init__(
        self,
        settings: SignInSettings,
        rules: Rules,
        mint: Mint,
        clock: Clock,
        fault: Switch[SignInFault],
        seen: deque[AuthorizationRequestSeen],
        *,
        secure: bool,
    ) -> None:
        self.grants = GrantStore(settings, mint, clock)
        self._id_tokens = IdTokens(mint.key, mint.issuer, clock)
        self.token_grants = TokenGrants(self.grants, self._id_tokens)
        self._settings, self._rules, self._clock, self._secure = settings, rules, clock, secure
        self._fault, self._seen = fault, seen
        self._responses = AuthorizationResponses(mint.issuer, self.grants)
        self._handlers: dict[str, Handler] = {}
        for endpoint in get_args(SignedIn):
            self._handlers |= self._handlers_of(endpoint)

    def _handlers_of(self, endpoint: SignedIn) -> dict[str, Handler]:
        path = f"/system/auth/{self._rules.tenant}-{endpoint[0].upper()}/oauth2"
        browsers, cookie = Browsers(self._settings, self._clock), Cookie(path, self._secure)
        pages = AuthorizationEndpoint(
            endpoint, path, self._rules, self._responses, browsers, cookie, self._clock, self._seen
        )
        end = EndSession(
            f"{path}/logout", self._rules.directory, self._id_tokens, self.grants, browsers, cookie
        )
        return {
            f"{path}/authorize": pages.authorize,
            f"{path}/login": pages.login,
            f"{path}/consent": pages.consent,
            f"{path}/logout": lambda request, _: end.logout(request),
        }

    async def answer(self, request: web.Request, path: str) -> web.StreamResponse | None:
        """None: the path is none of these."""
        handler = self._handlers.get(path)
        if handler is None:
            return None
        fault = self._fault.take(path)
        if (broken := await wire.api_fault(request, self._fault, fault)) is not None:
            return broken
        try:
            return await handler(request, fault)
        except InvalidRequest as wrong:
            return refusal("This does not work", f"The request is not right: {wrong}.")
