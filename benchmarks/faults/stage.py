"""The stage of the faults: token endpoint, API and sidecar, each a process that can be hit on its own.

Owns how they are set up and talked to. What is done to them is in acts.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks import tokens
from benchmarks.asking import MANAGE, OBO_MANAGE, OBO_READ, READ
from benchmarks.ports import free_port
from benchmarks.processes import Process, sidecar
from benchmarks.program import Program

ROOT = Path(__file__).parent.parent.parent
CLIENT_ID = "bench"
LIFETIME = 6.0  # of tokens, in seconds: a fault of 8 s sees both held tokens and none
IDLE_AFTER = 5.0  # seconds that a token is kept which nobody uses
FIRST_RETRY = 0.5  # seconds
# Seconds between two tries at most, and until a try is given up: one that has just begun when the fault ends, and the
# wait behind it, stay well within the 5 seconds of recovery.
RETRY_MAX, REQUEST_TIMEOUT = 2.5, 2.0
_TENANT = "TMPRODB88619984"


def python(module: str, port: int, folder: Path, **options: object) -> Program:
    """`python -m MODULE --port PORT ...`, in a folder of its own."""
    folder.mkdir()
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    argv = [sys.executable, "-m", module, "--port", str(port), *words]
    return Program(argv, folder, port, {"PYTHONPATH": str(ROOT)})


@dataclass
class Stage:
    """Everything that takes part, and where it is."""

    folder: Path
    token_port: int
    api_port: int
    token_endpoint: Program
    api: Program
    host: str = "127.0.0.1"  # what the sidecar knows both by
    sidecar: Process = None  # type: ignore[assignment]  # from `playing` on

    @property
    def config(self) -> Path:
        return self.folder / "sidecar.yaml"

    @property
    def secret(self) -> Path:
        return self.folder / "client-secret"

    @property
    def sins(self) -> list[str]:
        """What the API should never have been sent."""
        file = self.folder / "sins.txt"
        return file.read_text(encoding="utf-8").splitlines() if file.exists() else []

    def mapping(self, **changes: Any) -> dict[str, Any]:
        """The configuration."""
        token_url = f"http://{self.host}:{self.token_port}/system/auth/{_TENANT}-U/oauth2/token"
        by_name = (
            {} if self.host == "127.0.0.1" else {"insecure": True}
        )  # http:// to another name than loopback's
        return {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "upstream": {
                "url": f"http://{self.host}:{self.api_port}",
                "response_timeout": "2s",
                "connect_timeout": "2s",
                **by_name,
            },
            "client": {"id": CLIENT_ID, "secret": {"file": str(self.secret)}},
            "credentials": {
                "app": {"grant": "client_credentials", "token_url": token_url, **by_name},
                "agent": {
                    "grant": "on_behalf_of",
                    "token_url": token_url,
                    "subject": {"username": {"header": "X-On-Behalf-Of"}},
                    "allow_subjects": ["*"],
                    **by_name,
                },
            },
            "refresh": {
                "retry": {"initial": f"{FIRST_RETRY:g}s", "max": f"{RETRY_MAX:g}s"},
                "idle_after": f"{IDLE_AFTER:g}s",
            },
            "tokens": {"request_timeout": f"{REQUEST_TIMEOUT:g}s"},
            "log": {"level": "info", "requests": False},
            "routes": routes(),
            **changes,
        }

    def write(self, text: str) -> None:
        """The configuration's file, replaced as a whole."""
        replace(self.config, text)

    def configure(self, **changes: Any) -> None:
        self.write(yaml.safe_dump(self.mapping(**changes), sort_keys=False))

    async def tell_tokens(self, **fault: object) -> None:
        """What goes wrong at the token endpoint, in the words of sidecar/demo/faults.py; nothing: no more."""
        await ask(self.token_port, "/demo/faults", json.dumps({"token": fault}))

    async def tell_api(self, **mode: object) -> None:
        """What goes wrong at the API, in the words of apifaults.py."""
        await ask(self.api_port, "/~mode", json.dumps({"mode": "normal", **mode}))

    async def arrived(self) -> int:
        """Token requests that the endpoint has seen since its process began."""
        return int(await ask(self.token_port, tokens.COUNT))


def routes() -> list[dict[str, Any]]:
    scopes = {
        "/app/read": READ,
        "/app/manage": MANAGE,
        "/agent/read": OBO_READ,
        "/agent/manage": OBO_MANAGE,
    }
    return [{"path": path, "credential": path.split("/")[1], "scopes": [scopes[path]]} for path in scopes]


def replace(file: Path, text: str) -> None:
    """As a whole, at once."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    os.replace(new, file)


async def ask(port: int, path: str, body: str | None = None) -> bytes:
    """One request to a program of ours; POST with a body."""
    data = None if body is None else body.encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data, {"Content-Type": "application/json"}
    )

    def send() -> bytes:
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: bytes = answer.read()
            return found

    return await asyncio.to_thread(send)


@contextlib.contextmanager
def set_up(folder: Path, secret: str, host: str = "127.0.0.1") -> Iterator[Stage]:
    """Token endpoint and API run, the configuration is written."""
    key = tokens.write_key(folder / "signing.pem")
    token_port, api_port = free_port(), free_port()
    endpoint = python("benchmarks.tokens", token_port, folder / "tokens", key=key, lifetime=LIFETIME)
    api = python("benchmarks.api", api_port, folder / "api", key=key, sins=folder / "sins.txt")
    stage = Stage(folder, token_port, api_port, endpoint, api, host)
    stage.secret.write_text(secret, encoding="ascii")
    stage.configure()
    with endpoint.running(), api.running():
        yield stage


@contextlib.asynccontextmanager
async def playing(
    stage: Stage, inside: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> AsyncIterator[Stage]:
    """The sidecar runs, too."""
    async with sidecar(stage.config, inside=inside, environment=environment) as process:
        stage.sidecar = process
        yield stage
