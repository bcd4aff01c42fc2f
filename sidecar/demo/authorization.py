"""The authorization server: token endpoints over HTTP.

Owns the shell: what a token request must look like on the wire, what the answers look like, the record of
what arrived. The decisions are clientauth.py's, grants.py's and signin/tokengrants.py's.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sidecar.clock import Clock
from sidecar.demo import wire
from sidecar.demo.clientauth import ClientAuthenticator, shown
from sidecar.demo.faults import Switch, TokenFault
from sidecar.demo.forms import FORM, parameters
from sidecar.demo.grants import Endpoint, Granted, Rules
from sidecar.demo.refusals import InvalidRequest, MethodNotAllowed, OAuthRefusal
from sidecar.demo.seen import TokenRequestSeen
from sidecar.demo.signin.tokengrants import TokenGrants
from sidecar.demo.tokens import Mint, whole

_IN_THE_BODY_ONLY = frozenset(
    {"client_id", "client_secret", "client_assertion", "subject_token", "grant_type", "code",
     "code_verifier", "refresh_token"}
)  # fmt: skip
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}  # RFC 6749 section 5.1


@dataclass(slots=True)
class AuthorizationServer:
    """Answers token requests."""

    rules: Rules
    clients: ClientAuthenticator
    signed_in: TokenGrants
    mint: Mint
    clock: Clock
    fault: Switch[TokenFault]
    seen: deque[TokenRequestSeen]
    token_urls: Mapping[Endpoint, str]  # without query
    lifetime: float

    async def answer(self, request: web.Request, endpoint: Endpoint) -> web.StreamResponse:
        """One token request."""
        target = request.raw_path.encode("utf-8", "surrogateescape")
        seen = TokenRequestSeen(endpoint, request.method, target, request.raw_headers)
        self.seen.append(seen)
        body = await request.read()
        with contextlib.suppress(InvalidRequest):  # refused in its place, if a fault lets it come so far
            seen.form = parameters(body)
        fault = self.fault.take(request.path)
        response = await wire.token_fault(request, self.fault, fault)
        if response is None:
            response = self._decide(request, endpoint, body, seen, fault)
            if fault.kind == "lost":
                response = wire.close(request)
        seen.status = None if isinstance(response, wire.Silence) else response.status
        return response

    def _decide(
        self, request: web.Request, endpoint: Endpoint, body: bytes, seen: TokenRequestSeen, fault: TokenFault
    ) -> web.Response:
        try:
            granted = self._grant(request, endpoint, body, seen)
        except OAuthRefusal as refusal:
            seen.error = refusal.code
            return web.json_response(
                {"error": refusal.code, "error_description": refusal.description},
                status=refusal.status,
                headers={**_NO_STORE, **refusal.headers},
            )
        return self._issue(granted, seen, fault)

    def _grant(
        self, request: web.Request, endpoint: Endpoint, body: bytes, seen: TokenRequestSeen
    ) -> Granted:
        if request.method != "POST":
            raise MethodNotAllowed("the token endpoint takes POST", Allow="POST")
        if request.content_type != FORM:
            raise InvalidRequest(f"Content-Type must be {FORM}")
        form, query = parameters(body), parameters(seen.target.partition(b"?")[2])
        if query.keys() & _IN_THE_BODY_ONLY:
            raise InvalidRequest("parameters of the token request belong into the body")
        flow = self.rules.flow(endpoint, form)
        credentials = shown(form, request.headers.get("Authorization"))
        seen.client_auth, seen.client_id = credentials.method, credentials.client_id
        audiences = (self.token_urls[endpoint], self.mint.issuer)
        client = self.clients.authenticate(credentials, audiences, self.clock.wall())
        if flow == "authorization_code" and endpoint != "anonymous":
            return self.signed_in.grant(endpoint, client, form)
        return self.rules.grant(flow, endpoint, client, form, query)

    def _issue(self, granted: Granted, seen: TokenRequestSeen, fault: TokenFault) -> web.Response:
        scopes = granted.scopes if fault.scope is None else tuple(fault.scope.split())
        client_id, seconds = seen.client_id or "", self.lifetime
        token = self.mint.issue(
            granted.persona, granted.subject, scopes, client_id, seconds, granted.grant_id
        )
        seen.access_token, seen.refresh_token = token, granted.more.get("refresh_token")
        members: dict[str, Any] = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": whole(seconds),
            "scope": granted.scope if fault.scope is None else fault.scope,
            **granted.more,
        }
        members.update(fault.set)
        for name in fault.omit:
            members.pop(name, None)
        return web.Response(text=wire.json_text(members), content_type="application/json", headers=_NO_STORE)
