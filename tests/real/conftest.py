"""The servers that the tests share, and why these tests do not run with the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.servers import Server, glewlwyd, oidc_provider

LIFETIME = 3  # seconds; neither server knows fractions


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These take minutes and need servers: only when asked for."""
    if "real" in config.getoption("markexpr"):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs real servers: make test-real"))


@pytest.fixture(scope="session")
def provider_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """oidc-provider."""
    with oidc_provider(tmp_path_factory.mktemp("oidc-provider"), lifetime=LIFETIME) as server:
        yield server


@pytest.fixture(scope="session")
def glewlwyd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """glewlwyd."""
    with glewlwyd(tmp_path_factory.mktemp("glewlwyd"), lifetime=LIFETIME) as server:
        yield server
