"""The authorization servers: how each one is started, found and stopped.

Owns how each is set up, and what a client must know of it (the process is `benchmarks/program.py`). Whoever asks for a
server that is not installed is skipped with the reason.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from benchmarks.ports import free_port
from benchmarks.program import Program

HERE = Path(__file__).parent
INSTALLED = HERE.parent.parent / ".real"
SDK_PYTHON = INSTALLED / "sdk" / "bin" / "python"
_LIBRARY = INSTALLED / "node_modules" / "oidc-provider" / "lib" / "index.js"
_GLEWLWYD_TABLES = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")

# glewlwyd's administrator, as its own tables set it up, on a server that lives for one test run.
_ADMIN = {"username": "admin", "password": "password"}


@dataclass(frozen=True)
class Server:
    """An authorization server that runs."""

    name: str
    program: Program
    issuer: str
    token_url: str
    jwks_url: str
    introspection_url: str
    audience: str | None  # of its tokens, when nothing else is asked for
    client: dict[str, Any]  # one that authenticates with client_secret_post, as in a configuration
    key: Path  # signs the tokens
    client_key: Path  # of the client that authenticates with private_key_jwt


@contextlib.contextmanager
def oidc_provider(folder: Path, *, lifetime: int, origin: str | None = None) -> Iterator[Server]:
    """oidc-provider with tokens of so many seconds. People sign in to the app at `origin`, if there is one."""
    node = shutil.which("node")
    if node is None or not _LIBRARY.exists():
        pytest.skip("oidc-provider is not installed; tests/real/install says why, or installs it")
    port, key, client_key = free_port(), _private_key(folder, "signing"), _private_key(folder, "client")
    options = {
        "library": _LIBRARY,
        "port": port,
        "lifetime": lifetime,
        "key": key,
        "client-key": client_key,
        **({"origin": origin} if origin is not None else {}),
    }
    words = [f"--{name}={value}" for name, value in options.items()]
    program = Program([node, str(HERE / "oidc_provider.mjs"), *words], folder, port)
    base = f"http://127.0.0.1:{port}"
    client = {"id": "svc-post", "secret": {"file": _secret(folder, "postsecret")}}
    with program.running():
        yield Server(
            "oidc-provider", program, base, f"{base}/token", f"{base}/jwks", f"{base}/token/introspection",
            "urn:api:default", client, key, client_key,
        )  # fmt: skip


@contextlib.contextmanager
def glewlwyd(folder: Path, *, lifetime: int) -> Iterator[Server]:
    """glewlwyd with tokens of so many seconds, set up over its own administration API."""
    command = shutil.which("glewlwyd")
    if command is None or shutil.which("sqlite3") is None or not _GLEWLWYD_TABLES.exists():
        pytest.skip("glewlwyd and sqlite3 are not installed; tests/real/install says why, or installs them")
    port, key = free_port(), _private_key(folder, "signing")
    configuration = (HERE / "glewlwyd.conf").read_text().replace("@PORT@", str(port))
    (folder / "glewlwyd.conf").write_text(configuration)
    tables = _GLEWLWYD_TABLES.read_bytes()
    subprocess.run(["sqlite3", "glewlwyd.db"], input=tables, cwd=folder, check=True, capture_output=True)
    program = Program([command, "--config-file=glewlwyd.conf"], folder, port)
    base = f"http://127.0.0.1:{port}"
    client = {"id": "svc", "secret": {"file": _secret(folder, "s3cr3t")}}
    with program.running():
        _set_up_glewlwyd(f"{base}/api", key, lifetime)
        yield Server(
            "glewlwyd", program, base, f"{base}/api/oidc/token", f"{base}/api/oidc/jwks", "",
            None, client, key, key,
        )  # fmt: skip


def _set_up_glewlwyd(api: str, key: Path, lifetime: int) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))

    def post(path: str, body: dict[str, Any]) -> None:
        head = {"Content-Type": "application/json"}
        with opener.open(urllib.request.Request(api + path, json.dumps(body).encode(), head)) as answer:
            assert answer.status == 200

    post("/auth/", _ADMIN)
    for scope in ("read", "write"):
        post("/scope/", {"name": scope, "display_name": scope, "password_required": True, "scheme": {}})
    flows = {f"auth-type-{name}-enabled": name in ("client", "password") for name in _GLEWLWYD_FLOWS}
    parameters = {
        **flows,
        "iss": api.removesuffix("/api"),
        "jwt-type": "rsa",
        "jwt-key-size": "256",
        "key": key.read_text(),
        "cert": _public(key),
        "allow-non-oidc": True,
        "access-token-duration": lifetime,
        "refresh-token-duration": 60,
        "code-duration": 60,
    }
    post("/mod/plugin/", {"module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": parameters})
    post("/client/", {
        "client_id": "svc", "password": "s3cr3t", "name": "svc", "confidential": True, "enabled": True,
        "authorization_type": ["client_credentials", "password"], "scope": ["read", "write"],
        "token_endpoint_auth_method": ["client_secret_basic", "client_secret_post"],
    })  # fmt: skip
    post("/user/", {"username": "robot", "password": "wonderland", "scope": ["read"], "enabled": True})


_GLEWLWYD_FLOWS = ("client", "password", "refresh", "code", "token", "id-token", "none", "device")


def _private_key(folder: Path, name: str) -> Path:
    path = folder / f"{name}.pem"
    path.write_bytes(
        rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def _public(key: Path) -> str:
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return public.decode()


def _secret(folder: Path, text: str) -> str:
    path = folder / "client-secret"
    path.write_text(text + "\n")
    return str(path)
