"""How a client application proves who it is: RFC 6749 section 2.3 and RFC 7523 section 2.2.

Owns the four methods and their rules. Knows nothing of grants. Pure but for the memory of assertion ids,
which may be used once.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import jwt
from cachetools import LRUCache

from sidecar.demo.directory import ClientApp, Directory
from sidecar.demo.refusals import InvalidClient, InvalidRequest

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
LONGEST_ASSERTION = 3600.0


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the client showed, not yet checked."""

    method: str
    client_id: str
    proof: str = field(default="", repr=False)  # secret or assertion


def shown(form: Mapping[str, str], authorization: str | None) -> Credentials:
    """Find the one method that is used; more than one is an invalid request."""
    used = [
        name
        for name, there in (
            ("client_secret_basic", authorization is not None),
            ("client_secret_post", "client_secret" in form),
            ("private_key_jwt", "client_assertion" in form or "client_assertion_type" in form),
        )
        if there
    ]
    if len(used) > 1:
        raise InvalidRequest("more than one client authentication method")
    if not used:
        if "client_id" not in form:
            raise InvalidClient("client_id is missing")
        return Credentials("none", form["client_id"])
    return {"client_secret_basic": _basic, "client_secret_post": _post, "private_key_jwt": _assertion}[
        used[0]
    ](form, authorization or "")


def _basic(form: Mapping[str, str], authorization: str) -> Credentials:
    challenge = {"WWW_Authenticate": 'Basic realm="eGain"'}
    scheme, _, encoded = authorization.partition(" ")
    try:
        pair = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient("Authorization is not readable", **challenge) from None
    client_id, colon, secret = pair.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise InvalidClient("Authorization is not Basic with id and secret", **challenge)
    # Both are form-encoded before they are joined (RFC 6749 section 2.3.1).
    client_id, secret = unquote_plus(client_id), unquote_plus(secret)
    if form.get("client_id", client_id) != client_id:
        raise InvalidRequest("client_id in the form is another one than in Authorization")
    return Credentials("client_secret_basic", client_id, secret)


def _post(form: Mapping[str, str], _: str) -> Credentials:
    if "client_id" not in form:
        raise InvalidClient("client_id is missing")
    return Credentials("client_secret_post", form["client_id"], form["client_secret"])


def _assertion(form: Mapping[str, str], _: str) -> Credentials:
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise InvalidRequest("client_assertion_type is not the one of RFC 7523")
    if "client_assertion" not in form:
        raise InvalidRequest("client_assertion is missing")
    text = form["client_assertion"]
    try:
        issuer = jwt.decode(text, options={"verify_signature": False}).get("iss")
    except jwt.InvalidTokenError:
        raise InvalidClient("client_assertion is not a JWT") from None
    if not isinstance(issuer, str) or form.get("client_id", issuer) != issuer:
        raise InvalidClient("iss of the assertion is not the client_id")
    return Credentials("private_key_jwt", issuer, text)


@dataclass(slots=True)
class ClientAuthenticator:
    """Checks what was shown."""

    directory: Directory
    _used_assertions: LRUCache[str, bool] = field(default_factory=lambda: LRUCache(4096))

    def authenticate(self, shown: Credentials, audiences: tuple[str, ...], now: float) -> ClientApp:
        """The application, or InvalidClient. `audiences`: what an assertion may be addressed to."""
        challenge = (
            {"WWW_Authenticate": 'Basic realm="eGain"'} if shown.method == "client_secret_basic" else {}
        )
        client = self.directory.clients.get(shown.client_id)
        if client is None:
            raise InvalidClient("unknown client", **challenge)
        if shown.method == "none":
            if client.confidential:
                raise InvalidClient("this client has to authenticate")
        elif shown.method == "private_key_jwt":
            self._check_assertion(client, shown.proof, audiences, now)
        elif client.secret is None or not hmac.compare_digest(shown.proof.encode(), client.secret.encode()):
            raise InvalidClient("wrong client secret", **challenge)
        return client

    def _check_assertion(self, client: ClientApp, text: str, audiences: tuple[str, ...], now: float) -> None:
        if client.public_key is None:
            raise InvalidClient("this client has no key registered")
        options: Any = {"require": ["iss", "sub", "aud", "exp", "jti"]}
        try:
            claims = jwt.decode(
                text, client.public_key, list(ASSERTION_ALGORITHMS),
                issuer=client.id, subject=client.id, audience=audiences, options=options,
            )  # fmt: skip
        except (jwt.InvalidTokenError, jwt.InvalidKeyError) as error:
            raise InvalidClient(f"client_assertion: {error}") from None
        if claims["exp"] > now + LONGEST_ASSERTION:
            raise InvalidClient("client_assertion: lives too long")
        if claims["jti"] in self._used_assertions:
            raise InvalidClient("client_assertion: jti was used before")
        self._used_assertions[claims["jti"]] = True
