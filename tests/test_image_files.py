"""What the image is built from agrees with the project it is built for; the image itself is tests/image's."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from sidecar import __version__

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_image_has_this_version_when_no_other_is_named() -> None:
    """`docker build .` labels the image with the package's own version."""
    assert re.findall(r"^ARG VERSION=(.*)$", DOCKERFILE, re.MULTILINE) == [__version__]


def test_both_stages_have_the_same_base() -> None:
    """The bytecode of the standard library is made in one and used in the other."""
    assert [line for line in DOCKERFILE.splitlines() if line.startswith("FROM ")] == [
        "FROM ${PYTHON_IMAGE} AS build",
        "FROM ${PYTHON_IMAGE}",
    ]


def test_build_tools_are_locked_with_hashes() -> None:
    """What pyproject.toml wants for building, and nothing else, is in requirements-build.txt."""
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    locked = (ROOT / "requirements-build.txt").read_text()
    names = re.findall(r"^([a-z-]+)==[0-9.]+ \\\n    --hash=sha256:[0-9a-f]{64}", locked, re.MULTILINE)
    assert names == [re.match("[a-z-]+", one)[0] for one in wanted]  # type: ignore[index]
    assert locked.count("==") == len(names)
    wheels = (ROOT / "supply" / "tools.txt").read_text()  # what `make wheel` builds the same wheel with
    for line in re.findall(r"^([a-z-]+==[0-9.]+) ", locked, re.MULTILINE):
        assert f"\n{line} \\\n" in wheels


def test_everything_installed_is_checked_against_a_hash() -> None:
    """Each `pip install` either has hashes to compare with or may not fetch anything."""
    commands = re.findall(r"pip --python \S+ install [^&]*", DOCKERFILE.replace("\\\n", " "))
    assert len(commands) == 3
    for command in commands:
        assert "--require-hashes" in command or "--no-index --no-deps" in command
