"""ID tokens: OpenID Connect Core section 2.

Owns their claims. They name the person to the client; the API, whose audience they do not have, refuses them.
Issued whether or not `openid` was asked for: the guide knows no such scope.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt

from sidecar.clock import Clock
from sidecar.demo.keys import SigningKey
from sidecar.demo.signin.grantstore import Grant
from sidecar.demo.tokens import whole


@dataclass(frozen=True, slots=True)
class IdTokens:
    key: SigningKey
    issuer: str
    clock: Clock

    def issue(self, grant: Grant, lifetime: float, *, first: bool) -> str:
        """`first`: for the code, with the request's nonce, which a refresh does not repeat (section 12.2)."""
        now, person = int(self.clock.wall()), grant.person
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "sub": person.subject,
            "aud": grant.request.client.id,
            "iat": now,
            "exp": now + whole(lifetime),
            "auth_time": int(grant.auth_time),
            "sid": grant.session,
            "name": person.name,
            "email": person.email,
            "preferred_username": person.subject,
        }
        if first and grant.request.nonce is not None:
            claims["nonce"] = grant.request.nonce
        return self.key.sign(claims, header={"typ": "JWT"})

    def read_hint(self, text: str) -> dict[str, Any] | None:
        """The claims of one that we issued, expired or not; None: not ours."""
        options = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "require": ["sid", "aud"]}
        try:
            return self.key.verify(text, issuer=self.issuer, options=options)
        except jwt.InvalidTokenError:
            return None
