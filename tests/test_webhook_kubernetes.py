"""Injected pods against Kubernetes' own schemas, unknown fields refused: needs kubernetes-validate, else skipped."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar.webhook.decision import decide
from sidecar.webhook.review import Review
from sidecar.webhook.template import Template
from tests.json_patch import applied
from tests.webhook_harness import pki
from tests.webhook_pods import Object, asking, container, job, pod, settings, template

VERSIONS = ["1.29", "1.30", "1.31", "1.32", "1.33"]

PODS: dict[str, Callable[[], Object]] = {
    "deployment": asking,
    "job": job,
    "init containers": lambda: asking(
        initContainers=[container("migrate", env=[{"name": "A", "value": "b"}])]
    ),
    "every annotation": lambda: pod(
        {
            "auth-sidecar/inject": "orders",
            "auth-sidecar/secret": "orders-egain",
            "auth-sidecar/port": "8180",
            "auth-sidecar/admin-port": "8181",
            "auth-sidecar/resources": '{"limits": {"memory": "256Mi", "cpu": 0.5}}',
        }
    ),
}


@pytest.fixture(scope="module")
def validate() -> Callable[..., Any]:
    reason = "kubernetes-validate is not installed; `pip install kubernetes-validate` it beside the tests"
    found: Callable[..., Any] = pytest.importorskip("kubernetes_validate", reason=reason).validate
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Template:
    folder: Path = tmp_path_factory.mktemp("webhook")
    found = pki(folder)
    return template(settings(folder, found.certificate, found.key))


def injected(made: Template, before: Object) -> Object:
    decision = decide(made, Review("uid", "shop", False, before))
    assert decision.outcome == "injected"
    after: Object = applied(before, list(decision.patch))
    # What an API server fills in before it validates, and its null for "not yet".
    after["metadata"].pop("creationTimestamp", None)
    return after


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("make", PODS.values(), ids=PODS.keys())
def test_injected_pod_is_a_pod_for_every_version(
    validate: Callable[..., Any], made: Template, make: Callable[[], Object], version: str
) -> None:
    """`--strict`: no field that this version does not know."""
    validate(injected(made, make()), version, strict=True)


def test_wrong_field_would_be_found(validate: Callable[..., Any], made: Template) -> None:
    """Else the test above could pass for anything."""
    found = injected(made, asking())
    found["spec"]["initContainers"][0]["restartPolicies"] = "Always"
    error = importlib.import_module("kubernetes_validate").ValidationError
    with pytest.raises(error, match="restartPolicies"):
        validate(found, VERSIONS[-1], strict=True)
