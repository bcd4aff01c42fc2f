"""How the tools are called, and why these tests do not run with the others."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from supply.version import ROOT

TOOLS = ROOT / ".supply" / "bin" / "python"
EPOCH = "1893456000"  # seconds: 2030-01-01T00:00:00Z
Done = subprocess.CompletedProcess[str]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """They need tools of their own: only when asked for."""
    if "supply" in config.getoption("markexpr"):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs the supply chain's tools: make test-supply"))


@pytest.fixture(scope="session")
def tool() -> Callable[..., Done]:
    """`python ARGUMENTS` in the tools' environment, with SOURCE_DATE_EPOCH; keywords are environment variables."""

    def run(*arguments: object, cwd: Path = ROOT, umask: int = -1, **environment: str) -> Done:
        return subprocess.run(
            [TOOLS, *map(str, arguments)], cwd=cwd, umask=umask, capture_output=True, text=True, check=False,
            env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH, "PYTHONPATH": str(ROOT), **environment},
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def site_packages() -> Path:
    """Where the packages of the lock are installed: beside this test."""
    return Path(sysconfig.get_path("purelib"))
