"""Every object of every rendering is one that Kubernetes 1.29 to 1.33, or the custom resource's definition, takes."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helms import CI, Rendered, objects
from tests.chart.schemas import CUSTOM, RELEASES, definitions_find, kubernetes_finds

pytestmark = pytest.mark.chart

Render = Callable[[dict[str, Any]], Rendered]


@pytest.fixture(scope="module")
def everything(render: Render) -> list[dict[str, Any]]:
    """The objects of all renderings, each named after the values it comes from."""
    found = []
    for path in CI:
        for made in objects(render(yaml.safe_load(path.read_text()))):
            made["metadata"]["annotations"] = {**made["metadata"].get("annotations", {}), "ci": path.name}
            found.append(made)
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_takes_it(everything: list[dict[str, Any]], release: str, tmp_path: Path) -> None:
    """No object of Kubernetes' own has a field that a release does not know, or lacks one that it needs."""
    own = [one for one in everything if one["apiVersion"] not in CUSTOM]
    assert {"Deployment", "MutatingWebhookConfiguration", "Pod"} <= {one["kind"] for one in own}
    assert kubernetes_finds(own, release, tmp_path) == []


def test_the_custom_resources_are_as_defined(everything: list[dict[str, Any]]) -> None:
    """PodMonitor, ServiceMonitor, PrometheusRule, Certificate and Issuer have the fields their definitions have."""
    custom = [one for one in everything if one["apiVersion"] in CUSTOM]
    kinds = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "Certificate", "Issuer"}
    assert {one["kind"] for one in custom} == kinds
    assert definitions_find(custom) == []


def test_the_judges_refuse_what_is_wrong(everything: list[dict[str, Any]], tmp_path: Path) -> None:
    """A misspelt field is found by each judge, an object without a schema too; so the silence above means something."""
    deployment = deepcopy(next(one for one in everything if one["kind"] == "Deployment"))
    deployment["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    monitor = deepcopy(next(one for one in everything if one["kind"] == "PodMonitor"))
    monitor["spec"]["podMetricsEndpoints"][0]["intervall"] = "1s"
    assert any("readyProbe" in found for found in kubernetes_finds([deployment], "1.29", tmp_path))
    assert any("PodMonitor" in found for found in kubernetes_finds([monitor], "1.29", tmp_path))
    assert any("intervall" in found for found in definitions_find([monitor]))
