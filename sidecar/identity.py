"""Who is the caller? A JWT of the caller's identity provider, verified.

Owns what is checked of a token - signature, iss, aud, exp, nbf, iat - and when the provider's key set is
fetched. A token that is not valid is the caller's fault (401); a key set that cannot be had is not (503). A
token that was verified is remembered until it expires: the next request neither waits nor computes.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import secrets
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import jwt
from cachetools import LRUCache

from sidecar.clock import Clock
from sidecar.config.schema import Identity as Settings
from sidecar.config.schema import Retry
from sidecar.config.values import HttpUrl
from sidecar.errors import SubjectTokenInvalid, TokenUnavailable
from sidecar.oauth.answer import Failure, Reply
from sidecar.oauth.hint import moment
from sidecar.oauth.keyset import GARBAGE, KEY_OF, Key, read_keys
from sidecar.tokens.backoff import backoff

_MAX_DOCUMENT: Final = 1 << 20
_MAX_REMEMBERED: Final = 10_000
_FRESH_FOR: Final = 300.0  # a key that was withdrawn is believed no longer
_USABLE_FOR: Final = 86_400.0  # while the provider cannot be reached, the keys it had are
_UNKNOWN_AGAIN: Final = 30.0  # a made-up `kid` must not make a request each time
_RETRY: Final = Retry()


class Documents(Protocol):
    """Gets a document from the network; a failure is a `Failure`, never an exception."""

    async def fetch(self, url: HttpUrl) -> Reply | Failure: ...


class Identity:
    """Verifies callers' tokens by one provider's keys."""

    def __init__(self, settings: Settings, clock: Clock, documents: Documents) -> None:
        self.settings = settings
        self._clock = clock
        self._documents = documents
        self._algorithms = frozenset(settings.algorithms) & KEY_OF.keys()
        self._keys: list[Key] = []
        self._fetched_at: float | None = None
        self._next_try = 0.0
        self._delays: Iterator[float] | None = None
        # One fetch at a time; who waits for it can be cancelled, and then the next one in line does it.
        self._fetching = asyncio.Lock()
        self._digest_key = secrets.token_bytes(32)
        self._verified: LRUCache[bytes, tuple[float, dict[str, object]]] = LRUCache(_MAX_REMEMBERED)

    def known(self, token: str) -> dict[str, object] | None:
        """The claims of a token that was verified before and has not expired."""
        found = self._verified.get(self._digest(token))
        if found is None:
            return None
        now = self._clock.now()
        stale = self._fetched_at is None or now > self._fetched_at + _FRESH_FOR
        if now >= found[0] or (stale and now >= self._next_try):
            return None  # verify() looks whether its key still is one
        return found[1]

    async def verify(self, token: str) -> dict[str, object]:
        """The claims. Raises SubjectTokenInvalid; TokenUnavailable when there are no keys."""
        found = self.known(token)
        if found is not None:
            return found
        algorithm, kid = self._header(token)
        await self._have_keys(algorithm, kid)
        claims = self._claims(token, algorithm, kid)
        left = self._check_times(claims)
        if left > 0:
            self._verified[self._digest(token)] = (self._clock.now() + left, claims)
        return claims

    # -- the token ---------------------------------------------------------------------------------

    def _header(self, token: str) -> tuple[str, str | None]:
        try:
            header = jwt.get_unverified_header(token)
        except GARBAGE:
            raise _invalid("is no JWT") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise _invalid("is signed with an algorithm that is not accepted")
        return algorithm, kid if isinstance(kid, str) else None

    def _claims(self, token: str, algorithm: str, kid: str | None) -> dict[str, object]:
        settings = self.settings
        problem = "is signed with a key that is not the identity provider's"
        for key in self._keys:
            if not key.verifies(algorithm, kid):
                continue
            try:
                claims: dict[str, object] = jwt.decode(
                    token,
                    key.public,
                    algorithms=[algorithm],
                    issuer=settings.issuer,
                    audience=settings.audience,
                    # The times are checked below, by the process's one clock.
                    options={
                        "require": ["exp", "iss", "aud"],
                        "verify_exp": False, "verify_nbf": False, "verify_iat": False,
                        "verify_sub": False, "verify_jti": False,
                    },
                )  # fmt: skip
            except jwt.InvalidSignatureError:
                continue
            except (jwt.InvalidIssuerError, jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):
                raise _invalid("has not the required iss, aud and exp") from None
            except GARBAGE:
                problem = "is malformed"
                continue
            return claims
        raise _invalid(problem)

    def _check_times(self, claims: Mapping[str, object]) -> float:
        """Seconds until `exp`, negative within the leeway."""
        wall, leeway = self._clock.wall(), self.settings.leeway
        exp = moment(claims.get("exp"))
        if exp is None or exp + leeway <= wall:
            raise _invalid("has expired")
        for name in ("nbf", "iat"):
            if claims.get(name) is not None:
                begin = moment(claims[name])
                if begin is None or begin - leeway > wall:
                    raise _invalid("is not valid yet")
        return exp - wall

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(
            token.encode("utf-8", "surrogatepass"), digest_size=16, key=self._digest_key
        ).digest()

    # -- the keys ----------------------------------------------------------------------------------

    async def _have_keys(self, algorithm: str, kid: str | None) -> None:
        """See to it that the keys are fresh, and that the one asked for had its chance to appear."""
        if not self._wants_keys(algorithm, kid):
            return
        async with self._fetching:
            if self._wants_keys(algorithm, kid):  # nobody fetched them while this one was waiting
                await self._fetch()
        now = self._clock.now()
        if self._fetched_at is None or now > self._fetched_at + _USABLE_FOR:
            raise TokenUnavailable(
                "the identity provider's keys are not available", retry_after=self._next_try - now
            )

    def _wants_keys(self, algorithm: str, kid: str | None) -> bool:
        now = self._clock.now()
        if now < self._next_try:
            # Between two tries; without any keys at all the caller is told so.
            return self._fetched_at is None
        if self._fetched_at is None or now > self._fetched_at + _FRESH_FOR:
            return True
        known = any(key.verifies(algorithm, kid) for key in self._keys)
        return not known and now > self._fetched_at + _UNKNOWN_AGAIN

    async def _fetch(self) -> None:
        if self._clock.now() < self._next_try:
            return
        try:
            keys = read_keys(await self._document())
        except (OSError, ValueError):
            if self._delays is None:
                self._delays = backoff(_RETRY, random.random)
            self._next_try = self._clock.now() + next(self._delays)
            return
        self._delays = None
        self._fetched_at = self._clock.now()
        if keys != self._keys:
            self._verified.clear()  # what a withdrawn key has signed counts no longer
        self._keys = keys

    async def _document(self) -> bytes:
        """Raises OSError or ValueError."""
        if self.settings.jwks_url is not None:
            reply = await self._documents.fetch(self.settings.jwks_url)
            if isinstance(reply, Failure) or reply.status != 200:
                raise OSError("the key set cannot be fetched")
            return reply.body
        assert self.settings.jwks_file is not None  # checked at load
        with self.settings.jwks_file.open("rb") as file:
            return file.read(_MAX_DOCUMENT)


def _invalid(what: str) -> SubjectTokenInvalid:
    return SubjectTokenInvalid(f"the caller's bearer token {what}")
