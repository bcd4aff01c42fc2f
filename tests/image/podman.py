"""The image under test and its containers, by way of buildah and podman.

Owns processes: every container is named by its own id and removed when its `with` block ends. Knows nothing of what
runs in them. tests/pod uses it as well.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent
TAG = os.environ.get(
    "IMAGE", "localhost/egain-auth-sidecar:test"
)  # one that was built elsewhere, if it is named
BASE = os.environ.get("PYTHON_IMAGE", "localhost/python:3.12-slim")
DEADLINE = 60.0  # seconds; what no healthy run comes near
# Here podman's monitor leaves a file named `oom` when a container was killed for its memory.
FOLDER = ROOT / ".image"
ENVIRONMENT = {**os.environ, "CONTAINERS_CONF": str(HERE / "containers.conf")}

# As the restricted Pod Security Standard has it, and no file can be written but in /dev/shm.
RESTRICTED = (
    "--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges",
    "--memory=128m", "--memory-swap=128m",
)  # fmt: skip


def podman(*words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman to its end; a failure fails the test with what it said."""
    FOLDER.mkdir(exist_ok=True)
    done = subprocess.run(
        ["podman", *words],
        cwd=FOLDER, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    if check and done.returncode:
        pytest.fail(f"podman {' '.join(map(str, words))}: {done.stderr[-2000:]}")
    return done


def inspect(kind: str, name: str) -> dict[str, Any]:
    """`podman image inspect`, `podman container inspect`."""
    (found,) = json.loads(podman(kind, "inspect", name).stdout)
    assert isinstance(found, dict)
    return found


def built() -> str:
    """The image under test: built from this checkout, unless IMAGE names another one."""
    if "IMAGE" not in os.environ:
        build(TAG)
    return TAG


def build(tag: str, *options: str) -> str:
    """Build the image as `make image` does, from the base that is here; what the builder said."""
    for command in ("buildah", "podman", "runc"):
        if shutil.which(command) is None:
            pytest.skip(f"{command} is not installed; tests/image/install says why, or installs it")
    before = podman("images", "--quiet", "--no-trunc", tag).stdout.split()
    done = subprocess.run(
        [ROOT / "image" / "build", tag, "--pull-never", *options],
        env=ENVIRONMENT | {"PYTHON_IMAGE": BASE}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    for old in before:
        if old not in podman("images", "--quiet", "--no-trunc", tag).stdout.split():
            podman("rmi", old, check=False)  # it has no name any more
    return done.stdout


def until(condition: Callable[[], object], what: str, patience: float = DEADLINE) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {patience:.0f} s"
        time.sleep(0.02)


@dataclass(frozen=True)
class Container:
    """One that was started."""

    id: str

    @property
    def pid(self) -> int:
        """Of its first process, as this machine counts; 0 when it has ended."""
        pid = inspect("container", self.id)["State"]["Pid"]
        assert isinstance(pid, int)
        return pid

    @property
    def state(self) -> dict[str, Any]:
        state = inspect("container", self.id)["State"]
        assert isinstance(state, dict)
        return state

    @property
    def log(self) -> str:
        """Standard output and standard error so far."""
        done = podman("logs", self.id)
        return done.stdout + done.stderr

    def events(self, name: str) -> list[dict[str, Any]]:
        """The sidecar's log lines with this event."""
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith("{"))
        return [line for line in lines if line.get("event") == name]

    def signal(self, name: str) -> None:
        podman("kill", "--signal", name, self.id)

    def wait(self) -> int:
        """Until it has ended; its exit code."""
        return int(podman("wait", self.id).stdout)


@contextlib.contextmanager
def container(*options: str, image: str = TAG, command: tuple[str, ...] = ()) -> Iterator[Container]:
    """A container in the background, removed at the end whatever became of it."""
    made = Container(podman("run", "--detach", *options, image, *command).stdout.strip())
    try:
        yield made
    finally:
        podman("rm", "--force", "--time=0", made.id, check=False)
