"""The sidecar in front of the resource server, with credentials at a real authorization server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.harness import Sidecar, configuration, sidecar
from tests.real.resource_server import ResourceServer
from tests.real.servers import Server


@dataclass(frozen=True)
class Front:
    """What a test talks to, and what it looks at."""

    sidecar: Sidecar
    api: ResourceServer


@contextlib.asynccontextmanager
async def front(
    server: Server, credentials: Mapping[str, Mapping[str, Any]], folder: Path, /, **changes: Any
) -> AsyncIterator[Front]:
    """`/read/NAME` and `/write/NAME` go through credential NAME with that one scope."""
    routes = [
        {"path": f"/{scope}/{name}", "credential": name, "scopes": [scope], "name": f"{scope} {name}"}
        for name in credentials
        for scope in ("read", "write")
    ]
    async with ResourceServer(server).running() as api:
        mapping = {
            **configuration(api.url),
            "client": server.client,
            "credentials": {
                name: {"token_url": server.token_url, **credential}
                for name, credential in credentials.items()
            },
            "routes": routes,
            "log": {"level": "info"},
            **changes,
        }
        async with sidecar(mapping, folder) as started:
            yield Front(started, api)


APPLICATION: dict[str, Any] = {"grant": "client_credentials"}
# The password grant of either server wants the application's own login beside the subject.
AGENT: dict[str, Any] = {
    "grant": "on_behalf_of",
    "subject": {"username": {"header": "X-On-Behalf-Of"}},
    "allow_subjects": ["*"],
    "extra_params": {"username": "robot", "password": "wonderland"},
}
EXCHANGE: dict[str, Any] = {"grant": "token_exchange"}
