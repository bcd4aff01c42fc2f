"""What a JWT says, unverified, above all about its own times: a hint, never an authority.

Owns reading claims of a token that is not ours to judge. Pure; what is not a plain JWT is opaque.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass

from sidecar.oauth.untrusted import json_object

_MAX_TOKEN = 64 * 1024
_LATEST = 1e12  # seconds since the epoch; beyond this it is a joke


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds since the epoch; None when not said, or not sensibly."""

    iat: float | None = None
    exp: float | None = None

    def lifetime(self, wall: float) -> float | None:
        """How long from being issued to `exp`; from now on when `iat` is not said."""
        if self.exp is None:
            return None
        left = self.exp - (self.iat if self.iat is not None else wall)
        return left if left > 0 else None


def times(token: str) -> Times:
    """`iat` and `exp` of a signed JWT."""
    said = claims(token) or {}
    return Times(moment(said.get("iat")), moment(said.get("exp")))


def claims(token: str) -> dict[str, object] | None:
    """What a signed JWT says, unverified; None when it is none."""
    parts = token.split(".", 3) if len(token) <= _MAX_TOKEN else ()
    if len(parts) != 3:
        return None
    try:
        return json_object(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except ValueError:
        return None


def moment(value: object) -> float | None:
    """A NumericDate (RFC 7519 section 2)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and 0 < value < _LATEST else None
