"""One token request, ready to be sent.

Owns how form and headers become bytes. Pure; nothing of it is ever shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode

from sidecar.config.schema import Credential
from sidecar.oauth.client import Proof
from sidecar.oauth.grants import Fields, token_url


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A POST to a token endpoint. The headers every request has are the endpoint's business."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    authorization: str | None = field(default=None, repr=False)


def token_request(credential: Credential, proof: Proof, form: Callable[[Fields], Fields]) -> TokenRequest:
    """The request with these fields. `form`: puts the flow's round those by which the client shows who it is."""
    fields = form(list(proof.form))
    return TokenRequest(token_url(credential), urlencode(fields).encode("ascii"), proof.authorization)
