"""Signing keys: made once per process, published as a JWK set.

Owns RSA keys and how a JWT is signed and verified with them; the claims are other files' business.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ALGORITHM = "RS256"


class SigningKey:
    """An RSA key pair with its `kid`: a new one, or the one of `pem` (ValueError if there is none in it)."""

    def __init__(self, kid: str, pem: bytes | None = None) -> None:
        self.kid = kid
        self._private = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048) if pem is None else _read(pem)
        )

    def sign(self, claims: Mapping[str, Any], *, header: Mapping[str, Any] | None = None) -> str:
        return jwt.encode(dict(claims), self._private, ALGORITHM, headers={"kid": self.kid, **(header or {})})

    def verify(self, text: str, **checks: Any) -> dict[str, Any]:
        """The claims, or jwt.InvalidTokenError. `checks` are those of `jwt.decode`."""
        claims: dict[str, Any] = jwt.decode(
            text, self._private.public_key(), algorithms=[ALGORITHM], **checks
        )
        return claims

    def jwk(self) -> dict[str, Any]:
        public: dict[str, Any] = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._private.public_key()))
        return {**public, "kid": self.kid, "use": "sig", "alg": ALGORITHM}

    def jwks(self) -> dict[str, Any]:
        """A JWK set (RFC 7517 section 5) with this key alone."""
        return {"keys": [self.jwk()]}

    def private_pem(self) -> str:
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    def public_pem(self) -> str:
        return (
            self._private.public_key()
            .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
            .decode()
        )


def _read(pem: bytes) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("not an RSA key")
    return key


@functools.cache
def signing_key(kid: str) -> SigningKey:
    """The process's key of this name: making one takes a tenth of a second, too long for every test."""
    return SigningKey(kid)
