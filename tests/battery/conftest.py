"""Every test of the battery is a watched case."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.battery.case import Case
from tests.battery.stage import Stage, staged
from tests.harness import Sidecar


@pytest.fixture(autouse=True)
def _watched(case: Case) -> None:
    """The invariants of case.py hold after each test, whatever it is about."""


@pytest.fixture
async def stage(case: Case, tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(case, tmp_path) as scenery:
        yield scenery


@pytest.fixture
async def proxy(stage: Stage) -> AsyncIterator[Sidecar]:
    """A sidecar with every kind of route, on a stage; modules with other wishes have their own."""
    async with stage.sidecar() as started:
        yield started
