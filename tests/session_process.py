"""What tests of sessions share: an authorization server that rotates refresh tokens, and processes in front of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.config.schema import Refresh, Tokens
from sidecar.config.sessions import Sessions as Settings
from sidecar.oauth.answer import Failure, Reply
from sidecar.secret import Secret
from sidecar.signin.keeper import SessionKeeper
from sidecar.signin.seal import Seal
from sidecar.signin.sessions import Sessions, SessionSource
from sidecar.signin.sqlite import SqliteStore
from sidecar.signin.store import Memory, Store
from sidecar.tokens.recipe import recipe
from tests.fake_clock import FakeClock
from tests.token_script import CLIENT, Events, ScriptedEndpoint, credential, refused, token

USER = credential(
    "authorization_code",
    authorization_url="https://as.example/authorize",
    redirect_url="https://app.example/.auth/callback",
)
KEY = Secret("k" * 32)
CLAIMS = {"name": "Ada"}


@dataclass
class RotatingServer:
    """An authorization server that takes each refresh token once and revokes the sign-in when one comes again."""

    lifetime: float = 100
    issued: int = 0
    current: str | None = None
    revoked: bool = False
    refreshes: int = 0
    rotates: bool = True

    def form(self, form: dict[str, str]) -> Reply:
        if form["grant_type"] == "authorization_code":
            return self.issue()
        if self.revoked or form["refresh_token"] != self.current:
            self.revoked = True
            return refused("invalid_grant")
        self.refreshes += 1
        return self.issue()

    def issue(self) -> Reply:
        self.issued += 1
        more = {}
        if self.rotates or self.current is None:
            self.current = more["refresh_token"] = f"rt{self.issued}"
        return token(f"at{self.issued}", self.lifetime, **more)


@dataclass
class SessionLog:
    """Implements `SessionEvents`."""

    ends: list[str] = field(default_factory=list)
    refreshes: list[str] = field(default_factory=list)

    def ended(self, credential: str, reason: str) -> None:
        self.ends.append(reason)

    def refreshed(self, credential: str, outcome: str) -> None:
        self.refreshes.append(outcome)


@dataclass
class Process:
    """One process's sessions, in front of a server that others may share."""

    server: RotatingServer
    clock: FakeClock
    store: Store
    settings: Settings = field(default_factory=Settings)
    endpoint: ScriptedEndpoint = field(default_factory=ScriptedEndpoint)
    events: Events = field(default_factory=Events)
    log: SessionLog = field(default_factory=SessionLog)
    sessions: Sessions = field(init=False)
    source: SessionSource = field(init=False)

    def __post_init__(self) -> None:
        self.endpoint.answer = lambda: self.server.form(self.endpoint.requests[-1])
        refresh = Refresh.model_validate({"jitter": 0.0})
        self.sessions = Sessions(
            self.clock, self.endpoint, self.events, self.log, refresh, Tokens(), self.settings, self.store
        )
        self.sessions._shared.draw = lambda: 1.0
        self.source = SessionSource(self.sessions, recipe("user", USER, CLIENT, ["s"]))

    async def sign_in(self) -> str:
        """Somebody signs in. Returns the cookie."""
        found = await self.source.sign_in("the-code", "the-verifier")
        assert not isinstance(found, Failure)
        return await self.source.begin(*found, CLAIMS)

    def keeper(self, cookie: str) -> SessionKeeper:
        found = self.source.find(cookie)
        assert found is not None
        return found

    def answers(self, answer: Callable[[], Reply | Failure] | Reply | Failure | None) -> None:
        """Instead of the server; None: the server again."""
        self.endpoint.answer = answer or (lambda: self.server.form(self.endpoint.requests[-1]))


def text(keeper: SessionKeeper) -> str | None:
    found = keeper.usable()
    return found.bearer.decode().removeprefix("Bearer ") if found else None


async def moving(clock: FakeClock, condition: Callable[[], bool], step: float = 1.0) -> None:
    """Let time pass, step by step, until the condition holds."""
    for _ in range(100):
        await clock.passes(step)
        for _ in range(5):  # the store's thread takes its time, whatever the clock says
            await asyncio.sleep(0.002)
        if condition():
            return
    raise AssertionError("the condition did not come true")


@contextlib.asynccontextmanager
async def process(
    server: RotatingServer | None = None,
    clock: FakeClock | None = None,
    store: Store | None = None,
    **settings: Any,
) -> AsyncIterator[Process]:
    started = Process(
        server or RotatingServer(), clock or FakeClock(), store or Memory(), Settings.model_validate(settings)
    )
    async with started.sessions:
        yield started


def kept(path: Path, key: Secret = KEY) -> SqliteStore:
    return SqliteStore(path, Seal(key))


def kill(one: Process) -> None:
    """Whatever it is doing is never done."""
    for task in one.sessions._fetches._tasks:
        task.cancel()
