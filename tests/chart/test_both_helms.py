"""Helm 3 and Helm 4 accept the chart, render the same from it, and refuse the same values."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.chart.helms import Helm, Helm3, Helm4, Refused, Rendered

pytestmark = pytest.mark.chart

CERTIFICATE = re.compile(r"(caBundle|ca\.crt|tls\.crt|tls\.key): LS0t\S+")
ACCOUNT: dict[str, Any] = {
    "upstream": {"url": "https://api.ai.egain.cloud"},
    "client": {"id": "x", "secret": {"file": "/var/run/secrets/egain/client_secret"}},
}


def masked(rendered: Rendered) -> dict[str, list[str]]:
    """The texts of each template, in no order, certificates and keys made by Helm left out."""
    return {
        path: sorted(CERTIFICATE.sub(r"\1: (made)", text) for text in texts)
        for path, texts in rendered.items()
    }


def nested(path: str, value: Any) -> dict[str, Any]:
    """{"a": {"b": value}} for "a.b"; a dot in a key is none of ours."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def test_lint_is_content(helm: Helm, values: dict[str, Any]) -> None:
    """`lint --strict` finds nothing with any of the values under ci/."""
    assert helm.lint(values) == []


def test_both_render_the_same(third: Helm3, fourth: Helm4, values: dict[str, Any]) -> None:
    """Every template comes out the same, to the letter, but for certificates that are made anew each time."""
    assert masked(third.render(values)) == masked(fourth.render(values))


WRONG = [
    ("webhook.replicas", "two", "replicas"),
    ("webhook.enabled", "yes", "enabled"),
    ("webhook.failurePolicy", "Sometimes", "failurePolicy"),
    ("webhook.timeoutSeconds", 31, "timeoutSeconds"),
    ("webhook.certificate.mode", "certmanager", "mode"),
    ("sidecar.port", 70000, "port"),
    ("sidecar.resources", ["64Mi"], "resources"),
    ("sidecar.extraEnv", {"NAME": "value"}, "extraEnv"),
    ("image.digest", "latest", "digest"),
    ("image.pullPolicy", "Sometimes", "pullPolicy"),
    ("podDisruptionBudget.maxUnavailable", 0, "maxUnavailable"),
    ("podMonitor.interval", 30, "interval"),
    ("commonLabels.team", 7, "team"),
    ("configFiles", {"a/b.yaml": "x"}, "a/b.yaml"),
    ("config.unmapped", "maybe", "unmapped"),
    ("config.limits.max_in_flight", "many", "max_in_flight"),
    ("config.routes", {"path": "/"}, "routes"),
    ("config.client.secret", "s3cret", "secret"),
]
UNKNOWN = [
    "replicaCount",
    "webhook.replicaCount",
    "webhook.certificate.issuer",
    "sidecar.resource",
    "sidecar.securityContext.runAsUsr",
    "sidecar.startupProbe.httpGet",
    "image.name",
    "example.image",
    "config.upstreams",
    "config.upstream.uri",
    "config.client.secrets",
    "config.refresh.retry.maximum",
]


def account(path: str, value: Any) -> dict[str, Any]:
    """Values with one of them set; what stands in the configuration stands in one that is good otherwise."""
    values = nested(path, value)
    if "config" in values:
        for key, good in ACCOUNT.items():
            own = values["config"].get(key, {})
            values["config"][key] = {**good, **own}
    return values


@pytest.mark.parametrize(("path", "value", "named"), WRONG, ids=[case[0] for case in WRONG])
def test_a_wrong_value_is_refused_by_name(helm: Helm, path: str, value: Any, named: str) -> None:
    """A wrong type, or a value out of its range, is refused with a message that names the key; lint says so too."""
    wrong = account(path, value)
    with pytest.raises(Refused, match=re.escape(named)) as refused:
        helm.render(wrong)
    assert "schema" in str(refused.value)
    assert any(named in found for found in helm.lint(wrong))


@pytest.mark.parametrize("path", UNKNOWN)
def test_an_unknown_value_is_refused_by_name(helm: Helm, path: str) -> None:
    """A value that nothing reads is refused with a message that names it, however deep it stands."""
    key = path.rpartition(".")[2]
    pattern = rf"(?i)additional propert(y|ies) '?{key}'? (is )?not allowed"
    with pytest.raises(Refused, match=pattern):
        helm.render(account(path, 1))


def test_a_configuration_without_its_upstream_is_refused(helm: Helm) -> None:
    """What a configuration must have is asked for as soon as there is one."""
    with pytest.raises(Refused, match=r"upstream"):
        helm.render({"config": {"unmapped": "deny"}})


REFUSED_BY_TEMPLATES = [
    ({"webhook": {"certificate": {"mode": "existing"}}}, "webhook.certificate.secretName"),
    ({"example": {"enabled": True, "standIn": False}}, "example.standIn is false"),
    ({"configFiles": {"a.yaml": "[]"}}, "configFiles: there is no `config`"),
    ({"config": ACCOUNT, "configFiles": {"sidecar.yaml": "[]"}}, "configFiles: sidecar.yaml"),
    ({"sidecar": {"secretName": ""}}, "sidecar.secretName"),
    ({"prometheusRule": {"enabled": True, "disabled": ["Nope"]}}, "there is no alert Nope"),
    *(
        (
            {
                "config": {**ACCOUNT, "shutdown": {"drain_timeout": drain}},
                "example": {"enabled": True, "standIn": False, "terminationGracePeriodSeconds": grace},
            },
            "more than the configuration's shutdown.drain_timeout",
        )
        for drain, grace in (("45s", 45), ("0.75m", 45), ("45000ms", 45), ("1h", 3600), ("44001ms", 45))
    ),
]


@pytest.mark.parametrize(("values", "named"), REFUSED_BY_TEMPLATES)
def test_values_that_do_not_go_together_are_refused(helm: Helm, values: dict[str, Any], named: str) -> None:
    """What no schema can see is refused by the templates, in words that say what to do."""
    with pytest.raises(Refused, match=re.escape(named)):
        helm.render(values)


@pytest.mark.parametrize("drain", ["44s", "43.2s", "44000ms", "0.5m", "${DRAIN}"])
def test_a_drain_time_below_the_examples_grace_is_fine(helm: Helm, drain: str) -> None:
    """Durations are understood in every unit; what only the pod's environment tells is let through."""
    config = {**ACCOUNT, "shutdown": {"drain_timeout": drain}}
    assert helm.render({"config": config, "example": {"enabled": True, "standIn": False}})


def test_kubernetes_without_native_sidecars_is_refused() -> None:
    """1.28 is refused, 1.29 and vendors' spellings of it are not."""
    with pytest.raises(Refused, match=r"requires kubeVersion: >=1\.29\.0-0"):
        Helm3("1.28.9").render({})
    assert Helm3("1.29.1-gke.1589").render({})
