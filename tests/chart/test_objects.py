"""What the chart's objects promise: restricted pods, no tokens, no roles, parts that can be left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from sidecar.config.schema import Config
from tests.chart.helms import CHART, NAMESPACE, Rendered, objects, one
from tests.pod_security import violations

pytestmark = pytest.mark.chart

Render = Callable[[dict[str, Any]], Rendered]


def pods(rendered: Rendered) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's spec, with the name of what makes it; and the one the webhook would make of an app's."""
    for made in objects(rendered):
        if made["kind"] == "Pod":
            yield made["metadata"]["name"], made["spec"]
        elif made["kind"] == "Deployment":
            yield made["metadata"]["name"], made["spec"]["template"]["spec"]


def settings(rendered: Rendered) -> dict[str, Any]:
    """The webhook's settings file."""
    loaded: dict[str, Any] = yaml.safe_load(one(rendered, "ConfigMap", "-settings")["data"]["settings.yaml"])
    return loaded


def test_every_pod_is_a_restricted_one(render: Render, values: dict[str, Any]) -> None:
    """No pod breaks the restricted Pod Security Standard, hostNetwork apart, where a value asks for that."""
    allowed = (
        {"Host Namespaces: spec: hostNetwork is true"}
        if values.get("webhook", {}).get("hostNetwork")
        else set()
    )
    for name, spec in pods(render(values)):
        assert set(violations(spec)) <= allowed, name


def test_the_injected_container_is_a_restricted_one(render: Render, values: dict[str, Any]) -> None:
    """What the webhook puts into a pod keeps the standard, whatever the values under ci/ are."""
    rendered = render({**values, "webhook": {**values.get("webhook", {}), "enabled": True}})
    found = settings(rendered)
    assert violations({"initContainers": [found["container"]], "volumes": found["volumes"]}) == []


def test_nothing_has_a_token_or_a_role(render: Render, values: dict[str, Any]) -> None:
    """Service accounts and pods do without the API server's token, and there is no RBAC at all."""
    rendered = render(values)
    for made in objects(rendered):
        assert "rbac" not in made["apiVersion"]
        if made["kind"] == "ServiceAccount":
            assert made["automountServiceAccountToken"] is False
    for name, spec in pods(rendered):
        assert spec["automountServiceAccountToken"] is False, name


def test_no_secret_but_the_webhooks_and_the_stand_ins(render: Render, values: dict[str, Any]) -> None:
    """The chart makes no Secret of what a user gave it."""
    secrets = [made["metadata"]["name"] for made in objects(render(values)) if made["kind"] == "Secret"]
    assert all(name.endswith(("-webhook-tls", "-example")) for name in secrets)


def test_everything_off_makes_nothing(render: Render) -> None:
    """A chart that wants the named templates only gets no object."""
    off = ("webhook", "podDisruptionBudget", "networkPolicy", "tests")
    assert render({part: {"enabled": False} for part in off}) == {}


PARTS = [
    ("webhook", "MutatingWebhookConfiguration"),
    ("webhook", "Deployment"),
    ("podDisruptionBudget", "PodDisruptionBudget"),
    ("networkPolicy", "NetworkPolicy"),
    ("podMonitor", "PodMonitor"),
    ("serviceMonitor", "ServiceMonitor"),
    ("prometheusRule", "PrometheusRule"),
    ("dashboard", "ConfigMap"),
    ("example", "Deployment"),
    ("tests", "Pod"),
]


@pytest.mark.parametrize(("part", "kind"), PARTS)
def test_each_part_has_its_switch(render: Render, part: str, kind: str) -> None:
    """`PART.enabled` alone decides about the part's objects."""
    on, off = (objects(render({part: {"enabled": switch}})) for switch in (True, False))
    assert sum(made["kind"] == kind for made in on) == sum(made["kind"] == kind for made in off) + 1


def test_names_are_within_a_labels_length(render: Render, values: dict[str, Any]) -> None:
    """Names that become labels or host names have at most 63 characters, however long a release's is."""
    for made in objects(render(values)):
        limit = 253 if made["kind"] == "MutatingWebhookConfiguration" else 63
        assert len(made["metadata"]["name"]) <= limit
        assert made["metadata"].get("namespace", NAMESPACE) == NAMESPACE


def test_selectors_find_their_pods_and_no_others(render: Render, values: dict[str, Any]) -> None:
    """What a Service, a NetworkPolicy or a PodDisruptionBudget selects is the one component it is for."""
    rendered = render(values)
    labels = {
        made["metadata"]["name"]: made["spec"]["template"]["metadata"]["labels"]
        for made in objects(rendered)
        if made["kind"] == "Deployment"
    }
    for made in objects(rendered):
        spec = made.get("spec") or {}
        if made["kind"] == "Service":
            wanted = spec["selector"]
        elif made["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            wanted = spec["podSelector" if made["kind"] == "NetworkPolicy" else "selector"]["matchLabels"]
        else:
            continue
        assert [name for name, has in labels.items() if wanted.items() <= has.items()] == [
            made["metadata"]["name"]
        ]


def test_the_webhook_is_asked_about_pods_that_ask_only(render: Render) -> None:
    """Opt-in by namespace label and annotation; never about itself; no side effects."""
    rendered = render({})
    (webhook,) = one(rendered, "MutatingWebhookConfiguration")["webhooks"]
    own = one(rendered, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert webhook["namespaceSelector"] == {"matchLabels": {"auth-sidecar/injection": "enabled"}}
    (excluded,) = webhook["objectSelector"]["matchExpressions"]
    assert excluded == {"key": "auth-sidecar/webhook", "operator": "DoesNotExist"}
    assert excluded["key"] in own
    assert (
        "'auth-sidecar/inject' in object.metadata.annotations" in webhook["matchConditions"][0]["expression"]
    )
    assert (webhook["sideEffects"], webhook["failurePolicy"]) == ("None", "Fail")
    assert (webhook["reinvocationPolicy"], webhook["timeoutSeconds"]) == ("IfNeeded", 5)


def test_the_injected_and_the_included_container_are_the_same(render: Render) -> None:
    """The webhook's settings and the example's pod have the container from the same template."""
    rendered = render({"example": {"enabled": True}})
    spec = one(rendered, "Deployment", "-example")["spec"]["template"]["spec"]
    included = next(found for found in spec["initContainers"] if found["name"] == "auth-sidecar")
    assert settings(rendered)["container"] == included
    assert included["restartPolicy"] == "Always"
    assert included["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}
    assert included["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "admin"}
    assert not any("subPath" in mount for mount in included["volumeMounts"])


def test_other_settings_are_other_webhook_pods(render: Render) -> None:
    """The settings are read at the start: a change of the sidecar's values rolls the webhook."""

    def checksum(values: dict[str, Any]) -> str:
        pod = one(render(values), "Deployment")["spec"]["template"]
        return str(pod["metadata"]["annotations"]["checksum/settings"])

    assert checksum({}) == checksum({"webhook": {"replicas": 3}})
    assert checksum({}) != checksum({"sidecar": {"port": 8090}})


def test_disabled_alerts_are_left_out(render: Render) -> None:
    """An alert named in prometheusRule.disabled is gone, the others are as they were; an emptied group goes with it."""

    def groups(disabled: list[str]) -> list[dict[str, Any]]:
        rule = one(render({"prometheusRule": {"enabled": True, "disabled": disabled}}), "PrometheusRule")
        found: list[dict[str, Any]] = rule["spec"]["groups"]
        return found

    everything = groups([])
    first = next(rule for rule in everything[0]["rules"] if "alert" in rule)
    left = [group["rules"] for group in groups([first["alert"]])]
    expected = [[rule for rule in group["rules"] if rule != first] for group in everything]
    assert left == [rules for rules in expected if rules]


@pytest.mark.parametrize("path", ["files/alerts.yaml", "files/dashboard.json"])
def test_alerts_and_dashboard_arrive_as_written(render: Render, path: str) -> None:
    """Braces of Prometheus' and Grafana's own templates are not taken for Helm's."""
    rendered = render({"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}})
    written = yaml.safe_load((CHART / path).read_text())
    if path.endswith("json"):
        arrived = yaml.safe_load(one(rendered, "ConfigMap", "-dashboard")["data"]["egain-auth-sidecar.json"])
    else:
        arrived = one(rendered, "PrometheusRule")["spec"]
    assert arrived == written


def test_runbooks_are_where_the_values_say(render: Render) -> None:
    """The anchor of each alert stays, whatever is put before it."""
    base = "https://wiki.example.com/alerts"
    rendered = render({"prometheusRule": {"enabled": True, "runbookBase": base}})
    rules = [rule for group in one(rendered, "PrometheusRule")["spec"]["groups"] for rule in group["rules"]]
    assert rules
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"{base}#{rule['alert'].lower()}"


def test_a_configurations_drain_time_fits_the_examples_grace(render: Render) -> None:
    """The example's pod is given longer than the sidecar by default takes to end."""
    drain = Config.model_fields["shutdown"].get_default(call_default_factory=True).drain_timeout
    grace = one(render({"example": {"enabled": True}}), "Deployment", "-example")["spec"]["template"]["spec"]
    assert grace["terminationGracePeriodSeconds"] > drain
