"""How the client application proves who it is (RFC 6749 section 2.3, RFC 7523).

Owns the four methods as a table. Pure: secrets, time and the assertion's id are parameters.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus

from sidecar.config.schema import Client, ClientAuth
from sidecar.secret import Secret

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME = 60  # seconds; it is used once, at once


@dataclass(frozen=True, slots=True)
class Proof:
    """What goes into the token request for the client."""

    form: tuple[tuple[str, str], ...] = field(repr=False)
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Identification:
    """What the client has to show, read at this moment."""

    id: str
    secret: Secret | None = None  # the client secret, or the private key
    key_id: str | None = None
    algorithm: str = "RS256"
    audience: str = ""  # the token URL without its query
    wall: float = 0.0
    jti: str = field(default="", repr=False)


def prove(client: Client, shown: Identification) -> Proof:
    """Raises ValueError, in words without any secret, when the key cannot be used."""
    return _METHODS[client.auth](shown)


def _none(shown: Identification) -> Proof:
    return Proof((("client_id", shown.id),))


def _post(shown: Identification) -> Proof:
    return Proof((("client_id", shown.id), ("client_secret", _text(shown))))


def _basic(shown: Identification) -> Proof:
    # Both are form-encoded before they are joined (RFC 6749 section 2.3.1), or a `:` or `%` in them would be
    # read as something else.
    pair = f"{quote_plus(shown.id)}:{quote_plus(_text(shown))}"
    return Proof((), f"Basic {base64.b64encode(pair.encode('ascii')).decode('ascii')}")


def _private_key_jwt(shown: Identification) -> Proof:
    import jwt  # here: with cryptography it is a seventh of the process's memory, and few clients need it
    from cryptography.exceptions import UnsupportedAlgorithm

    issued = int(shown.wall)
    claims = {
        "iss": shown.id,
        "sub": shown.id,
        "aud": shown.audience,
        "jti": shown.jti,
        "iat": issued,
        "exp": issued + _ASSERTION_LIFETIME,
    }
    headers = {"kid": shown.key_id} if shown.key_id is not None else None
    try:
        assertion = jwt.encode(claims, _text(shown), algorithm=shown.algorithm, headers=headers)
    # All that PyJWT and cryptography raise for a key that is none, is encrypted, or is of another kind.
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, NotImplementedError, UnsupportedAlgorithm):
        raise ValueError(f"the private key cannot sign with {shown.algorithm}") from None
    return Proof(
        (
            ("client_id", shown.id),  # optional by RFC 7521 section 4.2, but some servers insist
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion),
        )
    )


def _text(shown: Identification) -> str:
    if shown.secret is None:
        raise ValueError("there is no client secret or private key")
    return shown.secret.reveal()


_METHODS: Final[Mapping[ClientAuth, Callable[[Identification], Proof]]] = {
    "client_secret_post": _post,
    "client_secret_basic": _basic,
    "private_key_jwt": _private_key_jwt,
    "none": _none,
}
