"""What tests of keepers and stores share: a scripted token endpoint and a record of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from sidecar.config.schema import Client, Credential, Refresh, Tokens
from sidecar.oauth.answer import Failure, Reply
from sidecar.oauth.request import TokenRequest
from sidecar.tokens.store import Source, TokenStore
from tests.fake_clock import FakeClock

Answer = Reply | Failure | Callable[[], Reply | Failure]

DOWN = Failure("unavailable", "connect", "down")


def token(value: str, expires_in: Any = 3600, **more: Any) -> Reply:
    return Reply(200, json.dumps({"access_token": value, "expires_in": expires_in, **more}).encode())


def refused(code: str, status: int = 400) -> Reply:
    return Reply(status, json.dumps({"error": code}).encode())


@dataclass
class ScriptedEndpoint:
    """Answers with `answer`; by default a new token each time. Holds requests back while `gate` is closed."""

    answer: Answer | None = None
    lifetime: Any = 3600
    requests: list[dict[str, str]] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    under_way: int = 0

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def count(self) -> int:
        return len(self.requests)

    async def post(self, name: str, credential: Credential, request: TokenRequest) -> Reply | Failure:
        form = {key: values[0] for key, values in parse_qs(request.body.decode()).items()}
        self.requests.append(form)
        number = self.count
        self.under_way += 1
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        finally:
            self.under_way -= 1
        if self.answer is None:
            return token(f"t{number}", self.lifetime)
        return self.answer() if callable(self.answer) else self.answer


@dataclass
class Events:
    """Implements `TokenEvents`."""

    seen: list[tuple[Any, ...]] = field(default_factory=list)

    def requested(self, credential: str, trigger: str, outcome: str, seconds: float) -> None:
        self.seen.append(("requested", credential, trigger, outcome))

    def obtained(self, credential: str, subject: str | None, scopes: frozenset[str], lifetime: float) -> None:
        self.seen.append(("obtained", credential, subject, scopes, lifetime))

    def failed(
        self, credential: str, subject: str | None, trigger: str, reason: str, retry_in: float, detail: str
    ) -> None:
        self.seen.append(("failed", credential, trigger, reason, retry_in, detail))

    def dropped(self, credential: str, reason: str) -> None:
        self.seen.append(("dropped", credential, reason))

    def waited(self, credential: str, seconds: float) -> None:
        self.seen.append(("waited", credential, seconds))

    def of(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.seen if event[0] == kind]

    @property
    def triggers(self) -> list[str]:
        return [event[1] for event in self.of("requested")]

    @property
    def drops(self) -> list[str]:
        return [event[1] for event in self.of("dropped")]


CLIENT = Client.model_validate({"id": "id", "auth": "none"})


def credential(grant: str = "client_credentials", **more: Any) -> Credential:
    return Credential.model_validate({"grant": grant, "token_url": "https://as.example/token", **more})


APP = credential()
AGENT = credential("on_behalf_of", subject={"username": {"header": "X-On-Behalf-Of"}})
OKTA = credential("token_exchange", registration_id="okta")


@dataclass
class Scene:
    """A store with a fake clock and a scripted endpoint."""

    clock: FakeClock = field(default_factory=FakeClock)
    endpoint: ScriptedEndpoint = field(default_factory=ScriptedEndpoint)
    events: Events = field(default_factory=Events)
    draws: float = 1.0  # every random number: no jitter in delays
    store: TokenStore = field(init=False)

    def __post_init__(self) -> None:
        refresh = Refresh.model_validate({"jitter": 0.0})
        self.store = TokenStore(self.clock, self.endpoint, self.events, refresh, Tokens())
        self.store._shared.draw = lambda: self.draws

    def source(
        self, of: Credential = APP, *scopes: str, name: str = "cred", client: Client = CLIENT
    ) -> Source:
        return self.store.source(name, of, client, scopes or ("s",))
