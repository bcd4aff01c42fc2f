"""An identity provider's public keys (RFC 7517), as a stranger may write them.

Owns which algorithms there are, which keys fit them, and that a key set full of garbage is only a short one.
Pure; when keys are fetched and what they verify is identity.py's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from sidecar.oauth.untrusted import json_object

_MAX_KEYS: Final = 64
_MIN_RSA_BITS: Final = 2048  # RFC 7518 section 3.3

# What verifies with a public key (RFC 7518, RFC 8037), and the kind of key it takes. Whatever a configuration
# says, nothing else is accepted: with HS256 the public key would be the secret, `none` needs no key at all.
KEY_OF: Final[Mapping[str, tuple[str, tuple[str, ...] | None]]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", ("P-256",)),
    "ES384": ("EC", ("P-384",)),
    "ES512": ("EC", ("P-521",)),
    "EdDSA": ("OKP", ("Ed25519", "Ed448")),
}
_PUBLIC: Final = frozenset({"kty", "n", "e", "crv", "x", "y"})
# All that PyJWT and cryptography raise for garbage.
GARBAGE: Final = (
    jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError,
    NotImplementedError, UnsupportedAlgorithm,
)  # fmt: skip


class Key:
    """One public key of the provider."""

    __slots__ = ("_jwk", "kid", "public")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._jwk == other._jwk

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, jwk: Mapping[str, object]) -> None:
        """Raises ValueError when it is no public signature key that is any good."""
        self._jwk = jwk
        kid = jwk.get("kid")
        self.kid = kid if isinstance(kid, str) else None
        if jwk.get("use", "sig") != "sig" or jwk.get("kty") not in ("RSA", "EC", "OKP"):
            raise ValueError("not for signatures")
        algorithm = next((a for a in KEY_OF if self._is_of(a)), None)
        if algorithm is None:
            raise ValueError("of no known kind")
        # Only what is public: a provider's slip must not put its private key into our memory.
        public = {name: value for name, value in jwk.items() if name in _PUBLIC}
        try:
            self.public: Any = jwt.PyJWK(public, algorithm).key
        except GARBAGE:
            raise ValueError("not readable") from None
        if jwk.get("kty") == "RSA" and self.public.key_size < _MIN_RSA_BITS:
            raise ValueError("too short")

    def _is_of(self, algorithm: str) -> bool:
        kind, curves = KEY_OF[algorithm]
        return self._jwk.get("kty") == kind and (curves is None or self._jwk.get("crv") in curves)

    def verifies(self, algorithm: str, kid: str | None) -> bool:
        """Whether a token with this `alg` and `kid` may have been signed with it."""
        if self._jwk.get("alg", algorithm) != algorithm or not self._is_of(algorithm):
            return False
        return kid is None or self.kid is None or self.kid == kid


def read_keys(document: bytes) -> list[Key]:
    """The usable keys of a JWKS (RFC 7517 section 5); others are passed over. Raises ValueError."""
    keys = json_object(document).get("keys")
    if not isinstance(keys, list):
        raise ValueError("is no key set")
    found: list[Key] = []
    for jwk in keys[:_MAX_KEYS]:
        try:
            found.append(Key(jwk if isinstance(jwk, dict) else {}))
        except ValueError:
            continue
    return found
