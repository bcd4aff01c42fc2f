"""The wheel: the same bytes wherever it is built, whole, and good for an installation."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar import __version__
from supply.version import ROOT
from tests.supply.conftest import Done

pytestmark = pytest.mark.supply

NAME = f"egain_auth_sidecar-{__version__}-py3-none-any.whl"


def tracked(folder: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(listed.stdout.splitlines())


@pytest.fixture(scope="session")
def wheel(tool: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    done = tool("-m", "supply.wheel", "--output", folder, umask=0o022)
    assert done.returncode == 0, done.stderr
    path = folder / NAME
    assert done.stdout == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path}\n"
    return path


def test_two_builds_have_one_hash(tool: Callable[..., Done], wheel: Path, tmp_path: Path) -> None:
    """Another folder, umask, time zone, locale and file times, and another build's leavings beside it."""
    clone = tmp_path / "a folder" / "clone"
    for name in tracked("."):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, clone / name)  # the mode is the umask's, the time is now
        (clone / name).chmod(0o600)
    (clone / "sidecar/left_over.py").write_text("")
    (clone / "build/lib/sidecar").mkdir(parents=True)
    (clone / "build/lib/sidecar/stale.py").write_text("")
    for command in (["git", "init", "-q"], ["git", "add", *sorted(tracked("."))]):
        subprocess.run(command, cwd=clone, check=True)
    done = tool(
        "-m", "supply.wheel", "--source", clone, "--output", tmp_path, umask=0o077,
        TZ="Asia/Kathmandu", LC_ALL="C", PYTHONHASHSEED="99",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    again = tmp_path / NAME
    assert hashlib.sha256(again.read_bytes()).hexdigest() == hashlib.sha256(wheel.read_bytes()).hexdigest()


def test_it_has_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    """Modules, the style sheet of the status page, the mark of typed packages."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        modes = {info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert {name for name in names if ".dist-info/" not in name} == tracked("sidecar")
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert modes <= {0o644, 0o664}


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command in an environment that has the lock and this wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = str(folder / "bin" / "python")
    for arguments in (
        ["install", "--require-hashes", "-r", str(ROOT / "requirements.txt")],
        ["install", "--no-deps", "--no-index", str(wheel)],
        ["check"],
    ):
        subprocess.run([python, "-m", "pip", "--quiet", *arguments], check=True, capture_output=True)
    return folder / "bin" / "auth-sidecar"


def test_the_installed_command_works(installed: Path, tmp_path: Path) -> None:
    """Away from the source: its version, and the schema."""

    def said(*arguments: str) -> str:
        done = subprocess.run(
            [installed, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert said("--version").split()[-1] == __version__
    assert "upstream" in json.loads(said("schema"))["properties"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def demo(command: Path, folder: Path) -> Iterator[list[str]]:
    """The demo's curl lines, while it runs."""
    process = subprocess.Popen(
        [command, "demo", "--port", str(free_port())], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        lines = []
        for line in process.stdout:  # to its end, should it end
            lines.append(line.strip())
            if sum(line.startswith("curl ") for line in lines) >= 4:
                break
        yield [line for line in lines if line.startswith("curl ")]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=40)


def test_the_installed_demo_answers(installed: Path, tmp_path: Path) -> None:
    """The whole way: stand-in, token, proxy."""
    with demo(installed, tmp_path) as curls:
        assert len(curls) >= 4
        done = subprocess.run(
            f"{curls[0]} --silent --show-error --write-out ' %{{http_code}}'",
            shell=True, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert done.stdout.endswith(" 200"), (done.stdout, done.stderr)
