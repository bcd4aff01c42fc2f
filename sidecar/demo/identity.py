"""The external identity provider (an Okta, say) whose tokens are exchanged or verified.

Owns its issuer name, its audience and its key set, and makes its tokens on request.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from sidecar.clock import Clock
from sidecar.demo.keys import SigningKey
from sidecar.demo.tokens import whole


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    issuer: str
    audience: str
    key: SigningKey
    clock: Clock

    def token(self, sub_email: str, lifetime: float = 3600, **claims: Any) -> str:
        """A signed-in person's access token; a claim given as None is left out."""
        now = int(self.clock.wall())
        all_claims = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": sub_email,
            "email": sub_email,
            "iat": now,
            "exp": now + whole(lifetime),
            "jti": secrets.token_hex(8),
            **claims,
        }
        return self.key.sign({name: value for name, value in all_claims.items() if value is not None})

    def verify(self, text: str) -> dict[str, Any]:
        """Signature, iss, aud and exp, as the guide says; jwt.InvalidTokenError otherwise."""
        return self.key.verify(
            text, issuer=self.issuer, audience=self.audience, options={"require": ["exp", "iss", "aud"]}
        )
