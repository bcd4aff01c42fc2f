"""The sidecar in a container on this machine's network: its configuration, and where it listens."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.image.asking import answers
from tests.image.podman import RESTRICTED, ROOT, Container, container, until

_uids = itertools.count(1_000_680_000)  # OpenShift gives each namespace its own range


@dataclass(frozen=True)
class Running:
    """A sidecar that is ready."""

    container: Container
    uid: int
    proxy: str  # HOST:PORT
    admin: str


def configuration(folder: Path, egain: str, **changes: Any) -> Path:
    """A folder as a ConfigMap's: config/demo.yaml in front of the stand-in, without `listen` and `admin`."""
    text = (ROOT / "config" / "demo.yaml").read_text().replace("${DEMO_BASE:-http://127.0.0.1:9000}", egain)
    mapping = yaml.safe_load(text) | {"log": {"level": "info"}} | changes
    for key in ("listen", "admin"):
        mapping.pop(key)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    (folder / "sidecar.yaml").write_text(yaml.safe_dump(mapping))
    for secret in ("demo-client-secret", "demo-session-key"):
        (folder / secret).write_bytes((ROOT / "config" / secret).read_bytes())
    for path in folder.iterdir():
        path.chmod(0o444)
    return folder


@contextlib.contextmanager
def started(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[Container, int]]:
    """`run` with this folder as /etc/auth-sidecar, on free ports, as a user without a name; it and the user."""
    uid = next(_uids)
    listen = {"AUTH_SIDECAR_LISTEN": "127.0.0.1:0", "AUTH_SIDECAR_ADMIN": "127.0.0.1:0"}
    words = [f"--env={name}={value}" for name, value in {**listen, **(environment or {})}.items()]
    with container(
        *RESTRICTED, "--network=host", f"--user={uid}:{os.getpid()}", "--unsetenv=HOME", *words,
        f"--volume={folder}:/etc/auth-sidecar:ro", *options, command=("run", "/etc/auth-sidecar/sidecar.yaml"),
    ) as made:  # fmt: skip
        yield made, uid


@contextlib.contextmanager
def running(folder: Path, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Running]:
    """The same, when it is ready."""
    with started(folder, *options, environment=environment) as (made, uid):
        until(lambda: made.events("listening") or not made.pid, "listening")
        assert made.events("listening"), made.log[-4000:]
        (line,) = made.events("listening")
        until(lambda: answers(line["admin"], "/readyz") == 200, "being ready")
        yield Running(made, uid, line["proxy"], line["admin"])
