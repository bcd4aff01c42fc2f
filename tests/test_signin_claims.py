"""Who has signed in, for a page to show; and whom an ID token is for."""

from __future__ import annotations

import base64
import json

import pytest

from sidecar.signin import claims


def token(body: object) -> str:
    part = base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    return f"e30.{part}.c2ln"


IDENTITY = {"iss": "https://as.example", "aud": "client", "nonce": "n", "sub": "u1", "name": "Ada"}


def test_a_fitting_id_token_is_believed() -> None:
    """`aud` may be one or many (OpenID Connect Core section 2)."""
    for audience in ("client", ["other", "client"]):
        claims.check_id_token(token({**IDENTITY, "aud": audience}), "client", "n", "https://as.example")
    claims.check_id_token(token(IDENTITY), "client", None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": None},
        {"nonce": "m"},
        {"nonce": None},
        {"iss": "https://x"},
    ],
)
def test_one_for_somebody_else_is_not(wrong: dict[str, object]) -> None:
    """Another client's, another attempt's, another issuer's."""
    with pytest.raises(claims.WrongIdentity):
        claims.check_id_token(token({**IDENTITY, **wrong}), "client", "n", "https://as.example")


@pytest.mark.parametrize("text", ["", "opaque", "a.b.c", "e30.bnVsbA.x", "a.b", "x" * 70_000])
def test_what_is_no_jwt_is_nobody(text: str) -> None:
    """And an ID token that cannot be read is refused."""
    assert claims.shown(text) == {}
    with pytest.raises(claims.WrongIdentity):
        claims.check_id_token(text, "client", None, None)


def test_only_plain_text_of_known_claims_is_shown() -> None:
    """Bounded, printable; no roles, no scopes, nothing to decide by."""
    body = {
        "sub": "u1", "name": "A" * 300, "email": 5, "locale": "", "given_name": "a\u202eb",
        "role": "admin", "preferred_username": "ada",
    }  # fmt: skip
    assert claims.shown(token(body)) == {"sub": "u1", "name": "A" * 256, "preferred_username": "ada"}


def test_the_id_token_is_preferred_to_the_access_token() -> None:
    """The first of them that says anything."""
    assert claims.shown(token({"name": "Ada"}), token({"name": "other"})) == {"name": "Ada"}
    assert claims.shown(None, token({"sub": "x"})) == {"sub": "x"}
    assert claims.shown("opaque", token({"sub": "x"})) == {"sub": "x"}
    assert claims.shown(None, None) == {}
