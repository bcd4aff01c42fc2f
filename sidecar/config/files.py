"""The files and secrets a configuration names: can each be used for what it is named for?

Owns reading them once at start. What is read is thrown away: secrets are read again whenever they are used.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sidecar.config.draft import unreadable
from sidecar.config.schema import Client, Config
from sidecar.config.values import SecretFrom
from sidecar.config.wording import Complaint, Loc

_MAX_JWKS = 1 << 20
_LEAST_SESSION_KEY = 32  # bytes: as long as the AES key that is made of it
_CURVES = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}  # RFC 7518 section 3.4


def unusable(config: Config, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """A complaint for each file or secret that cannot be used."""
    for loc, path in _ca_files(config):
        yield from _complain(loc, lambda path=path: _certificates(path))  # type: ignore[misc]
    if config.identity is not None and (jwks := config.identity.jwks_file) is not None:
        yield from _complain(("identity", "jwks_file"), lambda: _key_set(jwks))
    for at, client in _clients(config):
        yield from _client(at, client, environ)
    if config.sessions.key is not None:
        yield from _secret(("sessions", "key"), config.sessions.key, environ, _check_session_key)


def _complain(loc: Loc, use: Callable[[], object]) -> Iterator[Complaint]:
    try:
        use()
    except ssl.SSLError:
        yield Complaint(
            loc, "has no certificate that can be read; write CA certificates in PEM format into it"
        )
    except OSError as error:
        yield Complaint(loc, unreadable(error))
    except ValueError as error:
        yield Complaint(loc, str(error))


def _ca_files(config: Config) -> Iterator[tuple[Loc, Path]]:
    places: list[tuple[Loc, Path | None]] = [
        (("upstream", "ca_file"), config.upstream.ca_file),
        (("tokens", "ca_file"), config.tokens.ca_file),
        *((("credentials", name, "ca_file"), c.ca_file) for name, c in config.credentials.items()),
    ]
    yield from ((loc, path) for loc, path in places if path is not None)


def _certificates(path: Path) -> None:
    """An empty or wrong file must stop the start: it may never mean "no check" or "the system's CAs"."""
    with path.open("rb") as file:
        file.read(1)  # for the reason: OpenSSL reports a directory as bad PEM
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=path)
    if not context.cert_store_stats()["x509"]:
        raise ValueError("has no certificate in it; write CA certificates in PEM format into it")


def _key_set(path: Path) -> None:
    with path.open("rb") as file:
        raw = file.read(_MAX_JWKS + 1)
    try:
        found = json.loads(raw) if len(raw) <= _MAX_JWKS else None
    except (ValueError, RecursionError):
        found = None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or not keys or not all(isinstance(key, dict) for key in keys):
        raise ValueError('is not a JWK set (RFC 7517 section 5); write {"keys": [...]} into it')


def _clients(config: Config) -> Iterator[tuple[Loc, Client]]:
    if config.client is not None:
        yield ("client",), config.client
    for name, credential in config.credentials.items():
        if credential.client is not None:
            yield ("credentials", name, "client"), credential.client


def _client(at: Loc, client: Client, environ: Mapping[str, str]) -> Iterator[Complaint]:
    if isinstance(client.id, SecretFrom):
        yield from _secret((*at, "id"), client.id, environ)
    if client.secret is not None:
        yield from _secret((*at, "secret"), client.secret, environ)
    if client.private_key is not None:
        key = client.private_key
        yield from _secret(
            (*at, "private_key"), key, environ, lambda pem: check_private_key(pem, client.algorithm)
        )


def _secret(
    loc: Loc, secret: SecretFrom, environ: Mapping[str, str], also: Callable[[str], None] = lambda text: None
) -> Iterator[Complaint]:
    where: Loc = (*loc, "file" if secret.file is not None else "env")
    yield from _complain(where, lambda: also(secret.read(environ).reveal()))


def _check_session_key(text: str) -> None:
    if len(text.encode()) < _LEAST_SESSION_KEY:
        raise ValueError(
            f"is shorter than {_LEAST_SESSION_KEY} bytes; write `openssl rand -base64 32` into it"
        )


def check_private_key(pem: str, algorithm: str) -> None:
    """Raise ValueError unless the key can sign with the algorithm (RFC 7518 section 3.1, RFC 8037)."""
    from cryptography.exceptions import UnsupportedAlgorithm  # here: large, and most clients have no key
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None)
    except TypeError:
        raise ValueError("is encrypted with a passphrase; write an unencrypted PEM key") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a private key; write one in PEM format") from None
    if algorithm in _CURVES:
        fits = isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == _CURVES[algorithm]
    elif algorithm == "EdDSA":
        fits = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    else:
        fits = isinstance(key, rsa.RSAPrivateKey)
        if isinstance(key, rsa.RSAPrivateKey) and key.key_size < 2048:
            raise ValueError("is an RSA key of less than 2048 bits; use a longer one")
    if not fits:
        raise ValueError(f"is not a key for algorithm {algorithm}; use a fitting key or set algorithm")
