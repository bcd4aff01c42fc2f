"""Files and secrets a configuration names are tried at start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from sidecar.config.files import check_private_key, unusable
from sidecar.config.schema import Config
from sidecar.config.wording import key_path

KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "short rsa": rsa.generate_private_key(65537, 1024),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}


def pem(name: str, encryption: KeySerializationEncryption | None = None) -> str:
    raw: bytes = KEYS[name].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return raw.decode()


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("rsa", "RS256"), ("rsa", "PS512"), ("p256", "ES256"), ("p384", "ES384"), ("ed25519", "EdDSA")],
)
def test_a_key_that_fits_its_algorithm_is_taken(name: str, algorithm: str) -> None:
    """RSA for RS and PS, the right curve for ES, Ed25519 for EdDSA."""
    assert check_private_key(pem(name), algorithm) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize(
    ("name", "algorithm", "said"),
    [
        ("rsa", "ES256", "is not a key for algorithm ES256"),
        ("p384", "ES256", "is not a key for algorithm ES256"),
        ("p256", "RS256", "is not a key for algorithm RS256"),
        ("rsa", "EdDSA", "is not a key for algorithm EdDSA"),
        ("short rsa", "RS256", "less than 2048 bits"),
    ],
)
def test_a_key_that_does_not_fit_is_refused(name: str, algorithm: str, said: str) -> None:
    """Signing would fail, or be worthless, at the first token request."""
    with pytest.raises(ValueError, match=said):
        check_private_key(pem(name), algorithm)


def test_an_encrypted_key_is_refused() -> None:
    """There is nobody to ask for a passphrase."""
    with pytest.raises(ValueError, match="passphrase"):
        check_private_key(pem("rsa", BestAvailableEncryption(b"x")), "RS256")


def config(tmp_path: Path, **more: Any) -> Config:
    return Config.model_validate({"upstream": {"url": "https://a"}, **more}, context={"base": tmp_path})


def complaints(found: Config, environ: dict[str, str] | None = None) -> dict[str, str]:
    return {key_path(complaint.loc): complaint.message for complaint in unusable(found, environ or {})}


def test_usable_files_and_variables_are_no_problem(tmp_path: Path) -> None:
    """A CA bundle, a key set, a private key, a client ID from a file and a secret from a variable."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "keys.json").write_text('{"keys": [{"kty": "RSA"}]}')
    (tmp_path / "key.pem").write_text(pem("p256"))
    (tmp_path / "id").write_text("app-1\n")
    found = config(
        tmp_path,
        upstream={"url": "https://a", "ca_file": "ca.pem"},
        tokens={"ca_file": "ca.pem"},
        identity={"jwks_file": "keys.json", "issuer": "i", "audience": "a"},
        client={"id": {"file": "id"}, "private_key": {"file": "key.pem"}, "algorithm": "ES256"},
        credentials={
            "c": {
                "grant": "client_credentials",
                "token_url": "https://t",
                "ca_file": "ca.pem",
                "client": {"id": "x", "secret": {"env": "SECRET"}},
            }
        },
    )
    assert complaints(found, {"SECRET": "s"}) == {}


def test_each_unusable_file_is_told_by_its_key(tmp_path: Path) -> None:
    """All of them at once, without a word of what is in them."""
    (tmp_path / "junk").write_text("-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n")
    found = config(
        tmp_path,
        upstream={"url": "https://a", "ca_file": "junk"},
        tokens={"ca_file": "nope"},
        identity={"jwks_file": "junk", "issuer": "i", "audience": "a"},
        client={"id": {"env": "ID"}, "private_key": {"file": "junk"}},
    )
    said = complaints(found)
    assert list(said) == [
        "upstream.ca_file",
        "tokens.ca_file",
        "identity.jwks_file",
        "client.id.env",
        "client.private_key.file",
    ]
    assert "hunter2" not in str(said)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"keys": []}', '{"keys": [1]}', "[" * 100_000, "nul"])
def test_what_is_no_key_set_is_refused(tmp_path: Path, text: str) -> None:
    """RFC 7517: an object with a list of keys."""
    (tmp_path / "keys.json").write_text(text)
    found = config(tmp_path, identity={"jwks_file": "keys.json", "issuer": "i", "audience": "a"})
    assert "is not a JWK set" in complaints(found)["identity.jwks_file"]
