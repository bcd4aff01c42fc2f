"""A real API server takes what the chart renders, as far as it is new enough to know it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.apiserver.cluster import Cluster
from tests.apiserver.release import (
    CI,
    KUSTOMIZE,
    NAMESPACE,
    NEWER_KINDS,
    PROBES,
    known,
    one,
    render,
    without_newer_fields,
)

pytestmark = pytest.mark.apiserver


@pytest.mark.parametrize("path", CI, ids=lambda path: path.name.removesuffix("-values.yaml"))
def test_every_object_is_taken(api: Cluster, path: Path) -> None:
    """Defaulted, validated and admitted, without being stored; kubectl has compared each field with 1.20's schema."""
    objects = known(render(yaml.safe_load(path.read_text()) or {}))
    sent = [without_newer_fields(thing)[0] for thing in objects]
    taken = api.do("apply", "--dry-run=server", "--validate=true", "-f", "-", manifest=sent) if sent else ""
    assert len(taken.splitlines()) == len(sent)
    assert all(line.endswith(" created (server dry run)") for line in taken.splitlines())


def test_plain_manifests_are_taken(api: Cluster) -> None:
    """The kustomize base, made by this kubectl."""
    objects = list(yaml.safe_load_all(api.do("kustomize", str(KUSTOMIZE))))
    sent = [without_newer_fields(thing)[0] for thing in known(objects)]
    taken = api.do("apply", "--dry-run=server", "--validate=true", f"-n{NAMESPACE}", "-f", "-", manifest=sent)
    assert len(taken.splitlines()) == len(objects)


def test_what_is_left_out_is_what_the_api_server_does_not_know(api: Cluster) -> None:
    """The list of exceptions has no entry too many, and each of them is used."""
    objects = render(yaml.safe_load((next(p for p in CI if "everything-on" in p.name)).read_text()))
    left = [thing for thing in objects if thing not in known(objects)]
    assert {(thing["apiVersion"], thing["kind"]) for thing in left} == NEWER_KINDS.keys()
    for thing in left:
        assert (
            "no matches for kind"
            in api.kubectl("apply", "--dry-run=server", "-f", "-", manifest=thing).stderr
        )
    for kind, end, field in (
        ("Deployment", "-example", "restartPolicy"),
        ("MutatingWebhookConfiguration", "", "matchConditions"),
    ):
        thing = one(objects, kind, end)
        refused = api.kubectl("apply", "--dry-run=server", "-f", "-", manifest=thing)
        assert f'unknown field "{field}"' in refused.stderr
        assert field in without_newer_fields(thing)[1]


def test_probes_are_left_out_because_they_are_refused(api: Cluster) -> None:
    """Of the example's Deployment, those of its native sidecars and nothing else."""
    deployment = one(render({"example": {"enabled": True}}), "Deployment", "-example")
    containers = deployment["spec"]["template"]["spec"]["initContainers"]
    assert any(all(probe in container for probe in PROBES) for container in containers)
    for container in containers:
        assert container.pop("restartPolicy") == "Always"
    refused = api.kubectl("apply", "--dry-run=server", "-f", "-", manifest=deployment).stderr
    assert sorted(re.findall(r"(spec\.\S+): Invalid value", refused)) == sorted(
        f"spec.template.spec.initContainers[{index}].{probe}"
        for index, container in enumerate(containers)
        for probe in PROBES
        if probe in container
    )
