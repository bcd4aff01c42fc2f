"""How the client proves who it is."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.schema import Client
from sidecar.oauth.client import ASSERTION_TYPE, Identification, prove
from sidecar.secret import Secret

RSA_KEY = rsa.generate_private_key(65537, 2048)


def client(auth: str) -> Client:
    return Client.model_validate({"id": "id", "auth": auth})


def pem(key: Any, password: bytes | None = None) -> str:
    encryption: Any = (
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    )
    return str(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()
    )


def test_post_puts_id_and_secret_into_the_form() -> None:
    """The guide's way."""
    proof = prove(client("client_secret_post"), Identification("id", Secret("s")))
    assert proof.form == (("client_id", "id"), ("client_secret", "s"))
    assert proof.authorization is None


def test_public_client_sends_its_id_only() -> None:
    """`auth: none`."""
    assert prove(client("none"), Identification("id")).form == (("client_id", "id"),)


def test_basic_form_encodes_both_parts_first() -> None:
    """Complaint: credentials in the Basic header not form-encoded (RFC 6749 section 2.3.1)."""
    proof = prove(client("client_secret_basic"), Identification("my id:1", Secret("p%:w +ü")))
    assert proof.form == ()
    assert proof.authorization is not None
    scheme, _, encoded = proof.authorization.partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded) == b"my+id%3A1:p%25%3Aw+%2B%C3%BC"


@given(st.text(min_size=1), st.text(min_size=1))
def test_basic_is_read_back_as_it_was(client_id: str, secret: str) -> None:
    """Whatever the characters, the server decodes the same id and secret."""
    try:
        (client_id + secret).encode()
    except UnicodeEncodeError:
        return
    proof = prove(client("client_secret_basic"), Identification(client_id, Secret(secret)))
    assert proof.authorization is not None
    pair = base64.b64decode(proof.authorization.removeprefix("Basic ")).decode("ascii")
    assert [unquote_plus(part) for part in pair.split(":")] == [client_id, secret]


KEYS = [
    ("RS256", RSA_KEY),
    ("PS384", RSA_KEY),
    ("ES256", ec.generate_private_key(ec.SECP256R1())),
    ("ES512", ec.generate_private_key(ec.SECP521R1())),
    ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
]


@pytest.mark.parametrize(("algorithm", "key"), KEYS, ids=[name for name, _ in KEYS])
def test_assertion_is_what_rfc_7523_wants(algorithm: str, key: Any) -> None:
    """iss = sub = the client, aud = the token URL, one minute, its own id, `kid` and `alg` in the header."""
    shown = Identification(
        "id", Secret(pem(key)), "key-1", algorithm, "https://as/token", 1_800_000_000.9, "unique"
    )
    fields = dict(prove(client("private_key_jwt"), shown).form)
    assert fields["client_id"] == "id"
    assert fields["client_assertion_type"] == ASSERTION_TYPE
    found = jwt.decode_complete(
        fields["client_assertion"],
        key.public_key(),
        [algorithm],
        audience="https://as/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert found["header"] == {"alg": algorithm, "kid": "key-1", "typ": "JWT"}
    assert found["payload"] == {
        "iss": "id",
        "sub": "id",
        "aud": "https://as/token",
        "jti": "unique",
        "iat": 1_800_000_000,
        "exp": 1_800_000_060,
    }


@pytest.mark.parametrize(
    ("algorithm", "secret"),
    [
        ("RS256", "canary, no key"),
        ("RS256", pem(RSA_KEY, b"password")),
        ("ES256", pem(RSA_KEY)),
        ("RS256", pem(ed25519.Ed25519PrivateKey.generate())),
        ("RS256", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----"),
    ],
    ids=["garbage", "encrypted", "rsa for es256", "ed25519 for rs256", "broken pem"],
)
def test_key_that_does_not_fit_is_one_kind_of_error(algorithm: str, secret: str) -> None:
    """Never a crash, and nothing of the key in the text."""
    shown = Identification("id", Secret(secret), None, algorithm)
    with pytest.raises(ValueError, match=f"^the private key cannot sign with {algorithm}$"):
        prove(client("private_key_jwt"), shown)


def test_nothing_secret_shows() -> None:
    """Neither what is shown nor the proof made of it prints a secret."""
    shown = Identification("id", Secret("canary"), jti="canary")
    for auth in ("client_secret_post", "client_secret_basic"):
        proof = prove(client(auth), shown)
        assert "canary" not in f"{shown!r}{proof!r}"
        assert proof.authorization is None or proof.authorization not in repr(proof)
