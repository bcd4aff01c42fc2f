"""The stand-in's access tokens: issued, verified, revoked.

Owns the claims. Knows nothing of HTTP and of who may have which token (grants.py) or use it (operations.py).
A token ends exactly `lifetime` seconds after it was issued, to the millisecond, although `iat` and `exp` are
whole seconds for whole lifetimes, as anywhere: so a test can tell whether a token was sent too late.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import jwt
from cachetools import LRUCache

from sidecar.clock import Clock
from sidecar.demo.directory import Persona
from sidecar.demo.keys import SigningKey


class TokenRejected(Exception):
    """This is no token of ours, or it is over."""


class NotOurs(TokenRejected):
    """Malformed, or signed by somebody else."""


class Over(TokenRejected):
    """Expired or revoked."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says."""

    id: str
    subject: str
    persona: Persona
    scopes: frozenset[str]
    client_id: str
    expires_at: float  # wall clock
    raw: dict[str, Any] = field(repr=False)


@dataclass(slots=True)
class Mint:
    """Issues tokens and tells which are valid."""

    key: SigningKey
    issuer: str
    audience: str
    clock: Clock
    _serial: int = 0
    _revoked_up_to: int = 0
    _revoked: set[str] = field(default_factory=set)
    _revoked_grants: set[str] = field(default_factory=set)
    _verified: LRUCache[str, Claims] = field(default_factory=lambda: LRUCache(4096))

    def issue(
        self,
        persona: Persona,
        subject: str,
        scopes: tuple[str, ...],
        client_id: str,
        lifetime: float,
        grant_id: str | None = None,
    ) -> str:
        """`grant_id`: what the token can be revoked with, together with all others of the same sign-in."""
        self._serial += 1
        now = self.clock.wall()
        issued_at = int(now)
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": subject,
            "scope": " ".join(scopes),
            "persona": persona,
            "client_id": client_id,
            "iat": issued_at,
            "exp": issued_at + whole(lifetime),
            "jti": f"{self._serial}-{secrets.token_hex(8)}",
            "ends_at": round(now + lifetime, 6),
        }
        if persona.startswith("obo_"):
            claims["act"] = {"sub": client_id}  # RFC 8693 section 4.1
        if grant_id is not None:
            claims["grant_id"] = grant_id
        return self.key.sign(claims, header={"typ": "at+jwt"})

    def verify(self, text: str) -> Claims:
        claims = self._verified.get(text)
        if claims is None:
            claims = self._verified[text] = self._read(text)
        if self.clock.wall() >= claims.expires_at:
            raise Over("expired")
        if claims.id in self._revoked or int(claims.id.partition("-")[0]) <= self._revoked_up_to:
            raise Over("revoked")
        if claims.raw.get("grant_id") in self._revoked_grants:
            raise Over("revoked with its grant")
        return claims

    def _read(self, text: str) -> Claims:
        try:
            # Expiry is checked by verify(), each time, by our clock and to the millisecond.
            options = {"verify_exp": False, "verify_iat": False, "require": ["exp", "jti"]}
            raw = self.key.verify(text, issuer=self.issuer, audience=self.audience, options=options)
        except jwt.InvalidTokenError as error:
            raise NotOurs(type(error).__name__) from error
        return Claims(
            raw["jti"], raw["sub"], raw["persona"], frozenset(raw["scope"].split()), raw["client_id"],
            raw["ends_at"], raw,
        )  # fmt: skip

    def revoke(self, text: str) -> None:
        self._revoked.add(self._read(text).id)

    def revoke_grant(self, grant_id: str) -> None:
        """Everything issued with this `grant_id`."""
        self._revoked_grants.add(grant_id)

    def revoke_all(self) -> None:
        """Everything issued up to now."""
        self._revoked_up_to = self._serial


def whole(seconds: float) -> float | int:
    """3600 rather than 3600.0, as JSON numbers of seconds are written."""
    return int(seconds) if seconds == int(seconds) else seconds
