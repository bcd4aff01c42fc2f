"""A resource server that takes nothing on trust: every request's token is verified anew.

Owns what is accepted and refused. JWTs are verified with the keys the authorization server publishes - signature,
`iss`, `exp` without any leeway - and opaque tokens by asking it (RFC 7662). The first segment of the path is the
scope the token must have. Nothing is forgiven by an answer being mended: every refusal is remembered.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
from aiohttp import web

from sidecar.secret import Secret
from tests.real.servers import Server

_ALGORITHMS = ["RS256"]


class ResourceServer:
    """What it saw is in `refused`, `served` (token ids) and `last` (the last request's claims and headers)."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._keys: jwt.PyJWKSet
        self._session: aiohttp.ClientSession
        self.url = ""
        self.refused: list[str] = []
        self.served: Counter[str] = Counter()  # by token id
        self.latest_exp = 0.0  # of the tokens that were accepted
        self.last: dict[str, Any] = {}
        self.last_headers: dict[str, str] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[ResourceServer]:
        app = web.Application()
        app.router.add_route("*", "/{scope}/{rest:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None)
        async with aiohttp.ClientSession() as self._session:
            async with self._session.get(self._server.jwks_url) as answer:
                self._keys = jwt.PyJWKSet.from_dict(await answer.json(content_type=None))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            claims = await self._claims(_bearer(request))
            if request.match_info["scope"] not in claims.get("scope", "").split():
                raise jwt.InvalidTokenError(f"scope is {claims.get('scope')}")
        except jwt.InvalidTokenError as error:
            self.refused.append(f"{type(error).__name__}: {error}")
            return web.json_response({"error": "invalid_token"}, status=401)
        self.served[claims["jti"]] += 1
        self.latest_exp = max(self.latest_exp, claims["exp"])
        self.last, self.last_headers = claims, dict(request.headers)
        return web.json_response(claims)

    async def _claims(self, token: str) -> dict[str, Any]:
        if token.count(".") != 2:
            return await self._introspected(token)
        key = self._keys[jwt.get_unverified_header(token)["kid"]]
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=_ALGORITHMS, issuer=self._server.issuer,
            options={"require": ["exp", "iss", "jti"], "verify_aud": False},
        )  # fmt: skip
        return claims

    async def _introspected(self, token: str) -> dict[str, Any]:
        with open(self._server.client["secret"]["file"], encoding="utf-8") as file:
            secret = Secret(file.read().strip())
        form = {"token": token, "client_id": self._server.client["id"], "client_secret": secret.reveal()}
        async with self._session.post(self._server.introspection_url, data=form) as answer:
            claims: dict[str, Any] = await answer.json()
        if not claims.get("active"):
            raise jwt.InvalidTokenError("not active")
        return {"jti": token, **claims}


def _bearer(request: web.Request) -> str:
    """The token, when there is exactly one."""
    fields = request.headers.getall("Authorization", [])
    scheme, _, token = fields[0].partition(" ") if len(fields) == 1 else ("", "", "")
    if scheme != "Bearer" or not token:
        raise jwt.InvalidTokenError(f"{len(fields)} Authorization fields")
    return token
