"""A session: who signed in, since when, and the tokens that stand behind the cookie.

Owns the record that is kept, how it becomes bytes, and when a session is over. Pure: all times are wall-clock seconds,
because a record outlives the process.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sidecar.config.sessions import Sessions
from sidecar.oauth.answer import Issued
from sidecar.secret import Secret

_ID_BYTES: Final = 32


def new_id() -> str:
    """A cookie's value: 256 bits that nobody can guess."""
    return secrets.token_urlsafe(_ID_BYTES)


def digest_of(value: str) -> bytes:
    """What a session is found by: whoever reads the store learns no cookie."""
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True)
class Grant:
    """The tokens of one session, as they were issued last."""

    access: Secret
    refresh: Secret | None
    asked_at: float  # before the request for them was sent
    lifetime: float
    scopes: frozenset[str] | None  # None: the answer named none

    @staticmethod
    def of(issued: Issued, asked_at: float, before: Grant | None = None) -> Grant:
        """What was issued. An answer without a refresh token leaves the one before in use (RFC 6749 section 6)."""
        refresh = Secret(issued.refresh_token) if issued.refresh_token is not None else None
        if refresh is None and before is not None:
            refresh = before.refresh
        return Grant(Secret(issued.value), refresh, asked_at, issued.lifetime, issued.scopes)

    def issued(self) -> Issued:
        """The other way round: as if it had just been answered."""
        return Issued(self.access.reveal(), self.lifetime, self.scopes)


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in of one browser."""

    digest: bytes  # of the cookie
    credential: str
    server: str  # whose tokens these are: the token endpoint, and nobody else gets the refresh token
    created: float
    used: float
    claims: Mapping[str, str] = field(repr=False)
    grant: Grant
    generation: int = 0  # how many refreshes it has had
    refreshing: float | None = None  # a refresh began then, and nobody has said that it ended
    lasting: bool = False  # of a person at a terminal: it does not end because nobody uses it

    def over_at(self, sessions: Sessions) -> float:
        """When it ends if nobody uses it any more."""
        ends_at = self.ends_at(sessions)
        return ends_at if self.lasting else min(self.used + sessions.idle_timeout, ends_at)

    def ends_at(self, sessions: Sessions) -> float:
        """When it ends, used or not."""
        return self.created + sessions.max_lifetime

    def renewed(self, grant: Grant) -> Session:
        """After a refresh."""
        return replace(self, grant=grant, generation=self.generation + 1, refreshing=None)


def dump(session: Session) -> bytes:
    """The part of a record that is encrypted."""
    grant = session.grant
    return json.dumps(
        {
            "credential": session.credential,
            "server": session.server,
            "created": session.created,
            "claims": dict(session.claims),
            "access": grant.access.reveal(),
            "refresh": None if grant.refresh is None else grant.refresh.reveal(),
            "asked_at": grant.asked_at,
            "lifetime": grant.lifetime,
            "scopes": None if grant.scopes is None else sorted(grant.scopes),
            "lasting": session.lasting,
        }
    ).encode()


def load(raw: bytes, digest: bytes, used: float, generation: int, refreshing: float | None) -> Session:
    """The reverse. Raises KeyError, TypeError, ValueError when another version of the sidecar has written it."""
    found: dict[str, Any] = json.loads(raw)
    refresh, scopes = found["refresh"], found["scopes"]
    grant = Grant(
        Secret(found["access"]),
        None if refresh is None else Secret(refresh),
        found["asked_at"],
        found["lifetime"],
        None if scopes is None else frozenset(scopes),
    )
    return Session(
        digest,
        found["credential"],
        found["server"],
        found["created"],
        used,
        found["claims"],
        grant,
        generation,
        refreshing,
        found["lasting"],
    )
