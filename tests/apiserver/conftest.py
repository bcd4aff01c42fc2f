"""The API server and the webhook that the tests share, and why these tests do not run with the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apiserver import cluster
from tests.apiserver.cluster import Cluster
from tests.apiserver.injector import NO_PROBES, Injector, installed, namespace, running
from tests.apiserver.release import NAMESPACE, custom_resources

LABEL = {"auth-sidecar/injection": "enabled"}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """They need a kube-apiserver, which takes minutes to build: only when asked for."""
    if "apiserver" in config.getoption("markexpr"):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs kube-apiserver: make test-apiserver"))


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """An API server that has the release's namespace and the custom resources, and nothing else."""
    with cluster.cluster(tmp_path_factory.mktemp("cluster")) as found:
        found.do("apply", "-f", "-", manifest=[namespace(NAMESPACE, {}), *custom_resources()])
        found.do("wait", "--for=condition=established", "--all", "customresourcedefinitions")
        yield found


@pytest.fixture(scope="session")
def injector(api: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Injector]:
    """The chart and its webhook, for the namespace "in" (with the label); "out" has no label."""
    folder = tmp_path_factory.mktemp("webhook")
    with installed(api, "main", {"sidecar": NO_PROBES}) as release, running(release, folder) as found:
        api.do("apply", "-f", "-", manifest=[namespace("in", LABEL), namespace("out", {})])
        yield found
