"""Who is signed in, in which browser, and which authorization requests wait for a person there.

Owns the cookie's meaning, not the cookie. A session begins with the first page, before anybody signed in: it is
what ties a form to the browser it was shown in.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from cachetools import LRUCache

from sidecar.clock import Clock
from sidecar.demo.directory import Person
from sidecar.demo.seen import AuthorizationRequestSeen
from sidecar.demo.signin.request import AuthorizationRequest
from sidecar.demo.signin.settings import SignInSettings

_SESSIONS = 10_000
_INTERACTIONS = 20  # authorization requests that wait in one browser: tabs


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(slots=True, eq=False)
class Interaction:
    """An authorization request that waits for a person."""

    request: AuthorizationRequest
    seen: AuthorizationRequestSeen
    id: str = field(default_factory=_secret)
    person: Person | None = None  # who signed in as the request wants it
    location: str | None = None  # where the browser was sent: a second click sends it there again


@dataclass(slots=True, eq=False)
class BrowserSession:
    """A browser. `cookie` and `csrf` are secrets of it, `sid` is its public name (in ID tokens)."""

    ends: float  # monotonic
    interactions: LRUCache[str, Interaction]
    person: Person | None = None
    auth_time: float = 0.0  # wall clock
    allowed: dict[str, set[str]] = field(default_factory=dict)  # client id -> scopes the person consented to
    sid: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    cookie: str = field(default_factory=_secret, repr=False)
    csrf: str = field(default_factory=_secret, repr=False)


@dataclass(slots=True)
class Browsers:
    """All browsers that one endpoint (-U or -C) knows."""

    settings: SignInSettings
    clock: Clock
    _sessions: LRUCache[str, BrowserSession] = field(default_factory=lambda: LRUCache(_SESSIONS))

    def find(self, cookie: str | None) -> BrowserSession | None:
        session = self._sessions.get(cookie or "")
        if session is not None and self.clock.now() >= session.ends:
            self.end(session)
            return None
        return session

    def start(self) -> BrowserSession:
        """For a browser that has none; nobody is signed in."""
        return self._keep(LRUCache(_INTERACTIONS))

    def sign_in(self, before: BrowserSession, person: Person) -> BrowserSession:
        """A new session with new secrets (no fixation); what waits in other tabs goes on waiting.

        The old one stays as one in which nobody is signed in: a second click on the button still has its cookie.
        """
        session = self._keep(before.interactions)
        session.person, session.auth_time = person, self.clock.wall()
        if before.person == person:
            session.allowed, session.sid = before.allowed, before.sid
        before.person = None
        return session

    def end(self, session: BrowserSession) -> None:
        self._sessions.pop(session.cookie, None)

    def _keep(self, interactions: LRUCache[str, Interaction]) -> BrowserSession:
        session = BrowserSession(self.clock.now() + self.settings.session_lifetime, interactions)
        self._sessions[session.cookie] = session
        return session
