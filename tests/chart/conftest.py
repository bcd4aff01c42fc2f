"""Both Helms, shared by these tests, and why the tests do not run with the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helms import CI, Helm, Helm3, Helm4, Rendered, helm4


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These need tools that the plain tests do not have: only when asked for."""
    if "chart" in config.getoption("markexpr"):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs Helm: make test-chart"))


@pytest.fixture(scope="session")
def fourth() -> Iterator[Helm4]:
    """Helm 4."""
    with helm4() as helm:
        yield helm


@pytest.fixture(scope="session")
def third() -> Helm3:
    """Helm 3."""
    return Helm3()


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, third: Helm3, fourth: Helm4) -> Helm:
    """Each of the two in turn."""
    return third if request.param == "helm3" else fourth


@pytest.fixture(params=CI, ids=lambda path: path.name.removesuffix("-values.yaml"))
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The values of each file under ci/ in turn."""
    loaded: dict[str, Any] = yaml.safe_load(request.param.read_text())
    return loaded


@pytest.fixture(scope="session")
def render(fourth: Helm4) -> Callable[[dict[str, Any]], Rendered]:
    """Renders with Helm 4, for tests of what is rendered: test_both_helms.py shows that Helm 3 gives the same."""
    return fourth.render
