"""What people allowed clients to do, and the codes and refresh tokens that prove it.

Owns their worth: bound to client, endpoint, redirect URI and verifier, for a while, once. All access tokens and
refresh tokens of one sign-in hang on one grant, and end with it when a code or a retired refresh token is
used again: one of two users must be a thief, and the server cannot tell which (RFC 6749 section 4.1.2, RFC 9700
section 4.14.2). So two refreshes at the same time with the same token log the person out; that is the client's
to avoid. Nothing here waits, therefore parallel requests are decided one after the other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from cachetools import LRUCache

from sidecar.clock import Clock
from sidecar.demo.directory import ClientApp, Person
from sidecar.demo.refusals import InvalidGrant
from sidecar.demo.signin.request import AuthorizationRequest, SignedIn
from sidecar.demo.signin.settings import SignInSettings
from sidecar.demo.tokens import Mint

_REMEMBERED = 100_000  # sign-ins; an older one that is forgotten is as good as revoked


@dataclass(slots=True, eq=False)
class Grant:
    """One sign-in of a person for a client."""

    request: AuthorizationRequest
    person: Person
    auth_time: float  # wall clock
    session: str  # `sid`, which logout names
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    generation: int = 0  # of the refresh token that is good now
    refresh_until: float = 0.0  # monotonic
    revoked: bool = False


@dataclass(slots=True, eq=False)
class _Code:
    grant: Grant
    good_until: float  # monotonic
    used: bool = False


@dataclass(slots=True)
class GrantStore:
    """All grants of one stand-in."""

    settings: SignInSettings
    mint: Mint
    clock: Clock
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _grants: LRUCache[str, Grant] = field(default_factory=lambda: LRUCache(_REMEMBERED), repr=False)
    _codes: LRUCache[str, _Code] = field(default_factory=lambda: LRUCache(_REMEMBERED), repr=False)

    def code(self, grant: Grant) -> str:
        """An authorization code for a new grant."""
        self._grants[grant.id] = grant
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Code(grant, self.clock.now() + self.settings.code_lifetime)
        return code

    def redeem(
        self, text: str, client: ClientApp, endpoint: SignedIn, redirect_uri: str, verifier: str | None
    ) -> Grant:
        """The grant behind a code, which is used up by it; or InvalidGrant."""
        code = self._codes.get(text)
        if code is None or not _is_for(code.grant, client, endpoint):
            raise InvalidGrant("the code is unknown here")
        if code.used:
            self.revoke(code.grant)
            raise InvalidGrant("the code was used before: what was issued for it is revoked")
        if self.clock.now() >= code.good_until:
            raise InvalidGrant("the code is expired")
        request = code.grant.request
        if redirect_uri != request.destination.redirect_uri:
            raise InvalidGrant("redirect_uri is not the one of the authorization request")
        _check_verifier(request.challenge, verifier)
        if code.grant.revoked:
            raise InvalidGrant("the person signed out, or the grant was revoked")
        code.used = True
        return code.grant

    def refresh_token(self, grant: Grant) -> str | None:
        """The next refresh token of a grant, which retires those before; None: there shall be none."""
        if self.settings.refresh_tokens == "none":
            return None
        grant.generation += 1
        grant.refresh_until = self.clock.now() + self.settings.refresh_lifetime
        return self._text(grant.id, grant.generation)

    def refresh(self, text: str, client: ClientApp, endpoint: SignedIn) -> Grant:
        """The grant behind a refresh token, or InvalidGrant."""
        id, _, rest = text.partition(".")
        number = rest.partition(".")[0]
        grant = self._grants.get(id)
        if grant is None or not _is_for(grant, client, endpoint) or not _is_number(number):
            raise InvalidGrant("the refresh token is unknown here")
        if not hmac.compare_digest(text.encode(), self._text(id, int(number)).encode()):
            raise InvalidGrant("the refresh token is unknown here")
        if grant.revoked:
            raise InvalidGrant("the refresh token is revoked")
        if int(number) != grant.generation:
            self.revoke(grant)
            raise InvalidGrant("the refresh token was used before: all of its sign-in are revoked")
        if self.clock.now() >= grant.refresh_until:
            raise InvalidGrant("the refresh token is expired")
        return grant

    def revoke(self, grant: Grant) -> None:
        """End a grant with all its tokens."""
        grant.revoked = True
        self.mint.revoke_grant(grant.id)

    def revoke_session(self, session: str | None = None) -> None:
        """End the grants of one browser session, or (None) all."""
        for grant in self._grants.values():
            if session in (None, grant.session):
                self.revoke(grant)

    def _text(self, id: str, generation: int) -> str:
        # Not stored: a grant that is refreshed for days does not pile up retired tokens.
        told = f"{id}.{generation}"
        mac = hmac.digest(self._key, told.encode(), "sha256")
        return f"{told}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _is_for(grant: Grant, client: ClientApp, endpoint: SignedIn) -> bool:
    """A stranger's attempt changes nothing: otherwise anybody could end a sign-in."""
    return grant.request.client.id == client.id and grant.request.endpoint == endpoint


def _check_verifier(challenge: str | None, verifier: str | None) -> None:
    if challenge is None:
        if verifier is not None:  # a stripped challenge: RFC 9700 section 2.1.1
            raise InvalidGrant("code_verifier, but the authorization request had no code_challenge")
        return
    if verifier is None:
        raise InvalidGrant("code_verifier is missing")
    digest = hashlib.sha256(verifier.encode()).digest()
    if not hmac.compare_digest(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge):
        raise InvalidGrant("code_verifier does not match code_challenge")
