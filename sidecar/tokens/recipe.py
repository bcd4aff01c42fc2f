"""What shapes a token, and so which requests may share one: those with the same key, and nobody else.

Owns what a key is made of and that no two different makings have one key. A key is a keyed digest: neither
subjects nor subject tokens can be read from it or tried out on it.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass

from sidecar.config.schema import Client, Credential
from sidecar.oauth.grants import fixed_subject

_KEY = secrets.token_bytes(32)
_SIZE = 16


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that shapes a token but the caller's subject. Made by `recipe()`."""

    name: str  # of the credential
    credential: Credential
    client: Client
    scopes: frozenset[str]
    key: bytes  # tells it from every other recipe


def recipe(name: str, credential: Credential, client: Client, scopes: Iterable[str]) -> Recipe:
    scopes = frozenset(scopes)
    parts = [
        name,
        credential.grant,
        str(credential.token_url),
        sorted(credential.token_query.items()),
        credential.scope_prefix,
        sorted(scopes),
        # The secret itself may be rotated; where it is read from tells two clients with one id apart.
        [
            isinstance(client.id, str),
            str(client.id),
            client.auth,
            str(client.secret),
            str(client.private_key),
        ],
        [client.key_id, client.algorithm],
        credential.subject.kind if credential.subject else None,
        fixed_subject(credential),
        [credential.registration_id, credential.subject_token_type],
        sorted(credential.extra_params.items()),
        credential.resource,
        credential.audience,
    ]
    # JSON of nested lists is unambiguous: no value can pretend to be two, or another's neighbour.
    key = hashlib.blake2b(json.dumps(parts).encode("ascii"), digest_size=_SIZE, key=_KEY).digest()
    return Recipe(name, credential, client, scopes, key)


def subject_key(recipe_key: bytes, subject: str) -> bytes:
    """The key of one subject's token. All recipe keys have one length: nothing can run together."""
    found = hashlib.blake2b(recipe_key, digest_size=_SIZE, key=_KEY, person=b"subject")
    found.update(subject.encode("utf-8", "surrogatepass"))
    return found.digest()
