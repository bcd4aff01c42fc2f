"""One token request, ready to be sent.

Owns how form and headers become bytes. Pure; nothing of it is ever shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from sidecar.config.schema import Credential
from sidecar.oauth.client import Proof
from sidecar.oauth.grants import form, token_url


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A POST to a token endpoint. The headers every request has are the endpoint's business."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    authorization: str | None = field(default=None, repr=False)


def token_request(
    credential: Credential, proof: Proof, scopes: Iterable[str], subject: str | None
) -> TokenRequest:
    """The request for a token with these scopes, for this subject."""
    fields = form(credential, list(proof.form), scopes, subject)
    return TokenRequest(token_url(credential), urlencode(fields).encode("ascii"), proof.authorization)
