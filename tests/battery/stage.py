"""What the battery's cases play on: a token endpoint and an upstream made of bytes, a host that must hear nothing.

Owns the scenery. The token endpoint (`RawTokens`) issues tokens that say whom they are for, so that a case can read
off each request at the upstream whose token it carries. Time is the clock's: a case that moves it asks for one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from sidecar.clock import Clock
from tests.battery.case import Case
from tests.harness import RawRequest, RawUpstream, Sidecar, Talk, configuration, sidecar, until

SECRET = "canary-client-secret"
HOST = b"Host: localhost\r\n"
Form = dict[str, list[str]]


def get(target: str, *fields: str, version: str = "1.1") -> bytes:
    """A GET, as bytes."""
    lines = [f"GET {target} HTTP/{version}", "Host: localhost", *fields, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def http(status: int, body: bytes, *fields: str) -> bytes:
    """A whole answer with a length, as bytes."""
    lines = [f"HTTP/1.1 {status} Because", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@dataclass
class RawTokens:
    """A token endpoint without any library in it. `script` answers instead, when there is one."""

    case: Case
    lifetime: Any = 3600
    script: Callable[[Talk], Any] | None = None
    forms: list[Form] = field(default_factory=list)
    under_way: int = 0
    most_at_once: int = 0
    server: RawUpstream = field(init=False)
    _numbers: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.server = RawUpstream(self._serve, role="tokens")

    @property
    def calls(self) -> int:
        return len(self.forms)

    @property
    def url(self) -> str:
        return f"{self.server.url}/token"

    def issue(self, form: Form) -> str:
        """A token that says whom it is for and what it may do."""
        subject = next((f"{k[8:]}={v[0]}" for k, v in form.items() if k.startswith("subject_")), "app")
        text = f"canary.{next(self._numbers)}.{(subject + '|' + form.get('scope', [''])[0]).encode().hex()}"
        self.case.tokens.add(text)
        return text

    def answer(self, form: Form, **more: Any) -> bytes:
        members = {"access_token": self.issue(form), "token_type": "Bearer", "expires_in": self.lifetime}
        return http(200, json.dumps({**members, **more}).encode(), "Content-Type: application/json")

    async def _serve(self, talk: Talk) -> None:
        form = parse_qs((await talk.body()).decode(), keep_blank_values=True, strict_parsing=True)
        self.forms.append(form)
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            if self.script is not None:
                await self.script(talk)
            else:
                await talk.send(self.answer(form))
        finally:
            self.under_way -= 1


def holder(request: RawRequest) -> tuple[str, set[str]]:
    """Whom the token of this request is for (`app`, or `username=alice`), and its scopes."""
    (value,) = request.all("Authorization")
    subject, _, scope = bytes.fromhex(value.rpartition(".")[2]).decode().rpartition("|")
    return subject, set(scope.split())


@dataclass
class Stage:
    """Everything around a sidecar."""

    case: Case
    folder: Path
    tokens: RawTokens
    upstream: RawUpstream
    elsewhere: RawUpstream  # must not get a byte

    def mapping(self, **changes: Any) -> dict[str, Any]:
        """Routes of every kind; `/app/**` has the application's token, `/agent/**` a user's, `/open/**` none."""
        secret = self.folder / "client-secret"
        secret.write_text(SECRET)
        obo = {"grant": "on_behalf_of", "token_url": self.tokens.url, "allow_subjects": ["*"]}
        credentials = {
            "app": {"grant": "client_credentials", "token_url": self.tokens.url},
            "agent": {**obo, "subject": {"username": {"header": "X-On-Behalf-Of"}}},
            "byid": {**obo, "subject": {"userid": {"header": "X-User"}}},
            "shopper": {**obo, "subject": {"email": {"header": "X-Customer"}}},
            **changes.pop("credentials", {}),
        }
        routes = [
            {"path": "/app/**", "credential": "app", "scopes": ["app.read"], "name": "app"},
            {"path": "/agent/**", "credential": "agent", "scopes": ["user.read"], "name": "agent"},
            {"path": "/byid/**", "credential": "byid", "scopes": ["user.read"], "name": "byid"},
            {"path": "/shopper/**", "credential": "shopper", "scopes": ["user.read"], "name": "shopper"},
            {"path": "/open/**", "credential": "none", "name": "open"},
        ]
        return {
            **configuration(self.upstream.url, upstream=changes.pop("upstream", {})),
            "client": {"id": "the-client", "secret": {"file": str(secret)}},
            "credentials": credentials,
            "routes": routes,
            **changes,
        }

    @contextlib.asynccontextmanager
    async def sidecar(self, clock: Clock | None = None, /, **changes: Any) -> AsyncIterator[Sidecar]:
        """One that has its start-up tokens; `ready=False`: as it starts."""
        ready = changes.pop("ready", True)
        async with sidecar(self.mapping(**changes), self.folder, clock) as started:
            if ready:
                await until(lambda: not started.app.missing(), "the start-up tokens")
            yield started

    def nothing_happened(self, calls: int = 1) -> None:
        """No request at the upstream, no token request but so many at the start."""
        assert self.upstream.requests == []
        assert self.tokens.calls == calls


@contextlib.asynccontextmanager
async def staged(case: Case, folder: Path) -> AsyncIterator[Stage]:
    tokens = RawTokens(case)
    upstream, elsewhere = RawUpstream(), RawUpstream(role="other host")
    async with tokens.server.running(), upstream.running(), elsewhere.running():
        yield Stage(case, folder, tokens, upstream, elsewhere)
