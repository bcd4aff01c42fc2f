"""The image and the stand-in that the tests share, and why these tests do not run with the others."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image import podman


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These need root, buildah and podman: only when asked for."""
    if "image" in config.getoption("markexpr"):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs buildah and podman: make test-image"))


@pytest.fixture(scope="session")
def image() -> str:
    """The image under test."""
    return podman.built()


@pytest.fixture(scope="session")
def egain() -> Iterator[str]:
    """A stand-in in a process of its own, on this machine's loopback; its address as a URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sidecar.demo", "--port=0", "--lifetime=60"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate()
