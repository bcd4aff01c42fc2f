"""The chart's objects for an API server of 1.20: rendered by a real Helm, and what is left out of them, with reasons.

Owns the list of what that API server is too old for. What is left in is what Helm rendered, to the letter.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.apiserver.cluster import TOOLS

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "egain-auth-sidecar"
KUSTOMIZE = ROOT / "helm" / "kustomize"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
NAME, NAMESPACE = "rel", "egain"
Object = dict[str, Any]

# (apiVersion, kind) -> why such an object cannot be sent to Kubernetes 1.20.
NEWER_KINDS = {
    ("policy/v1", "PodDisruptionBudget"): "policy/v1 came with 1.21",
}
# Probes of a native sidecar; on other init containers no Kubernetes allows them.
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
# Kinds of the Prometheus operator and of cert-manager, taken with any contents: tests/chart has their schemas.
CUSTOM = (
    ("monitoring.coreos.com", "v1", "PodMonitor"),
    ("monitoring.coreos.com", "v1", "ServiceMonitor"),
    ("monitoring.coreos.com", "v1", "PrometheusRule"),
    ("cert-manager.io", "v1", "Issuer"),
    ("cert-manager.io", "v1", "Certificate"),
)


def render(values: Mapping[str, Any], *arguments: str, name: str = NAME) -> list[Object]:
    """`helm template` as for Kubernetes 1.29, the oldest the chart is for."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(dict(values), file)
        file.flush()
        done = subprocess.run(
            [TOOLS / "node_modules/.bin/helm", "template", name, str(CHART), "--namespace", NAMESPACE,
             "--kube-version", "1.29.0", "--values", file.name, *arguments],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def one(objects: list[Object], kind: str, end: str = "") -> Object:
    """The only object of a kind, among those whose name ends so."""
    (found,) = (x for x in objects if x["kind"] == kind and x["metadata"]["name"].endswith(end))
    return found


def known(objects: list[Object]) -> list[Object]:
    """The objects whose kind 1.20 knows."""
    return [x for x in objects if (x["apiVersion"], x["kind"]) not in NEWER_KINDS]


def without_newer_fields(original: Object) -> tuple[Object, list[str]]:
    """The object without the fields that 1.20 does not know (or forbids), and their names."""
    copy: Object = yaml.safe_load(yaml.safe_dump(original))
    taken = [*_match_conditions(copy), *_native_sidecars(copy)]
    return copy, taken


def _match_conditions(target: Object) -> Iterator[str]:
    for webhook in target.get("webhooks") or ():
        if webhook.pop("matchConditions", None):  # 1.27
            yield "matchConditions"


def _native_sidecars(target: Object) -> Iterator[str]:
    spec = target.get("spec") or {}
    pod = spec if target["kind"] == "Pod" else (spec.get("template") or {}).get("spec") or {}
    for container in pod.get("initContainers") or ():
        if container.pop("restartPolicy", None):  # 1.28
            yield "restartPolicy"
            yield from (name for name in PROBES if container.pop(name, None))


def custom_resources() -> list[Object]:
    """Definitions of CUSTOM, which take any contents."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{kind.lower()}s.{group}"},
            "spec": {
                "group": group,
                "names": {"kind": kind, "plural": f"{kind.lower()}s", "singular": kind.lower()},
                "scope": "Namespaced",
                "versions": [
                    {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
                ],
            },
        }
        for group, version, kind in CUSTOM
    ]
