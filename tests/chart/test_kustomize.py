"""The kustomize base is the chart's example in plain manifests: the same pod, the same configuration."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from sidecar.demo.directory import CLIENT_SECRET
from tests.chart.helms import Helm4, objects
from tests.chart.kustomize import kustomized
from tests.chart.schemas import RELEASES, kubernetes_finds
from tests.pod_security import violations

pytestmark = pytest.mark.chart


@pytest.fixture(scope="module")
def base() -> dict[str, dict[str, Any]]:
    """The base's objects by kind; there is one of each."""
    made = kustomized()
    by_kind = {one["kind"]: one for one in made}
    assert len(by_kind) == len(made)
    return by_kind


@pytest.fixture(scope="module")
def example(fourth: Helm4) -> dict[str, dict[str, Any]]:
    """The same of the chart's example; its Service is for `helm test` and has no counterpart."""
    off = {part: {"enabled": False} for part in ("webhook", "tests")}
    made = objects(fourth.render({**off, "example": {"enabled": True}}))
    return {one["kind"]: one for one in made if one["kind"] != "Service"}


def pod(deployment: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """A Deployment's pod with the names of the chart's objects put in the place of the base's."""

    def rename(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: rename(value) for key, value in node.items()}
        if isinstance(node, list):
            return [rename(value) for value in node]
        return renamed.get(node, node) if isinstance(node, str) else node

    spec: dict[str, Any] = rename(deployment["spec"]["template"]["spec"])
    return spec


def test_both_have_the_same_objects(base: dict[str, Any], example: dict[str, Any]) -> None:
    """No kind is missing from one of them."""
    assert base.keys() == example.keys()


def test_the_pod_is_the_charts(base: dict[str, Any], example: dict[str, Any]) -> None:
    """Containers, probes, mounts, security: all as the chart has them, but for the objects' names."""
    renamed = {base[kind]["metadata"]["name"]: example[kind]["metadata"]["name"] for kind in base}
    assert pod(base["Deployment"], renamed) == pod(example["Deployment"], {})


def test_configuration_and_secret_are_the_charts(base: dict[str, Any], example: dict[str, Any]) -> None:
    """The same file, and the stand-in's secret."""
    assert (
        base["ConfigMap"]["data"]["sidecar.yaml"].strip()
        == example["ConfigMap"]["data"]["sidecar.yaml"].strip()
    )
    assert base64.b64decode(base["Secret"]["data"]["client_secret"]).decode() == CLIENT_SECRET


def test_the_policy_is_the_charts(base: dict[str, Any], example: dict[str, Any]) -> None:
    """The NetworkPolicy lets in and out what the chart's does, for the base's own pods only."""
    rules = [{key: x["NetworkPolicy"]["spec"][key] for key in ("ingress", "egress")} for x in (base, example)]
    assert rules[0] == rules[1]
    labels = base["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert base["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert base["Deployment"]["spec"]["selector"]["matchLabels"] == labels


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_takes_it(base: dict[str, Any], release: str, tmp_path: Path) -> None:
    """Each release's schemas accept every object."""
    assert kubernetes_finds(base.values(), release, tmp_path) == []


def test_the_pod_is_a_restricted_one(base: dict[str, Any]) -> None:
    """It keeps the restricted Pod Security Standard."""
    assert violations(base["Deployment"]["spec"]["template"]["spec"]) == []
