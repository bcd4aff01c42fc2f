"""The judge is judged: what the resource server must refuse, it refuses."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import jwt
import pytest

from tests.real.resource_server import ResourceServer
from tests.real.servers import Server

pytestmark = pytest.mark.real

# What differs from a good token -> what the refusal is called.
BAD: dict[str, tuple[dict[str, Any], str]] = {
    "expired a second ago": ({"exp": -1}, "ExpiredSignatureError"),
    "of another issuer": ({"iss": "http://127.0.0.1:1"}, "InvalidIssuerError"),
    "without the scope": ({"scope": "write"}, "InvalidTokenError"),
    "signed by somebody else": ({"key": "client"}, "InvalidSignatureError"),
}


async def status(api: ResourceServer, server: Server, *, key: str = "signing", **changes: Any) -> int:
    """What the resource server says to a token made here."""
    claims = {"iss": server.issuer, "scope": "read", "jti": "made-here", "exp": 60, **changes}
    claims["exp"] += int(time.time())
    pem = (server.key if key == "signing" else server.client_key).read_text()
    token = jwt.encode(claims, pem, "RS256", headers={"kid": "signing"})
    bearer = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession() as session, session.get(f"{api.url}/read/x", headers=bearer) as answer:
        return answer.status


@pytest.mark.parametrize(("changes", "name"), BAD.values(), ids=BAD)
async def test_bad_token_is_refused_and_remembered(
    provider_server: Server, changes: dict[str, Any], name: str
) -> None:
    """The same token without the fault is served."""
    async with ResourceServer(provider_server).running() as api:
        assert await status(api, provider_server) == 200
        assert api.refused == []
        assert await status(api, provider_server, **changes) == 401
        (refusal,) = api.refused
    assert refusal.startswith(name)
