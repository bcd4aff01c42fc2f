"""What an install says at its end: the next steps for just these values, with names of objects that are there."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.chart.helms import NAMESPACE, Helm3, Helm4, objects
from tests.chart.kube_api import api_server

pytestmark = pytest.mark.chart

CONFIG = {"upstream": {"url": "https://api.ai.egain.cloud"}}
OWN = {"webhook": {"enabled": False}}


def test_commands_name_objects_that_are_there(fourth: Helm4, values: dict[str, Any]) -> None:
    """A Deployment, a Certificate or a TLS Secret in a command was rendered, under that name, into that namespace."""
    made = {(x["kind"].lower(), x["metadata"]["name"]) for x in objects(fourth.render(values))}
    notes = fourth.notes(values)
    for command, name in re.findall(
        rf"-n {NAMESPACE} .*\b(deployment/|delete secret |get certificate )(\S+)", notes
    ):
        assert (command.split()[-1].rstrip("/"), name) in made
    assert ("helm -n egain test rel" in notes) == any(kind == "pod" for kind, _ in made)


SAID: list[tuple[dict[str, Any], str]] = [
    ({}, "kubectl label namespace APP auth-sidecar/injection=enabled"),
    ({}, "kubectl -n APP create secret generic egain-client --from-file=client_secret=FILE"),
    ({}, "kubectl -n APP create configmap rel-egain-auth-sidecar-config --from-file=sidecar.yaml"),
    ({}, "auth-sidecar/inject: rel-egain-auth-sidecar-config"),
    ({"sidecar": {"secretName": "orders", "port": 9090}}, "secret generic orders "),
    ({"sidecar": {"port": 9090, "baseUrlEnv": "API"}}, "at $API (http://127.0.0.1:9090)"),
    ({"webhook": {"failurePolicy": "Ignore"}}, "while the webhook is down starts without it"),
    ({"webhook": {"certificate": {"mode": "certManager"}}}, "get certificate rel-egain-auth-sidecar-webhook"),
    ({"webhook": {"certificate": {"mode": "existing", "secretName": "x"}}}, "does not trust the webhook"),
    (
        {"config": CONFIG, "configMapName": "orders"},
        "The configuration is the ConfigMap orders, for pods in egain",
    ),
    (OWN, "No injector in this release"),
    ({**OWN, "config": CONFIG}, "kubectl -n egain create secret generic egain-client"),
    ({**OWN, "example": {"enabled": True}}, "of a stand-in for eGain in its own pod"),
]


@pytest.mark.parametrize(("values", "said"), SAID)
def test_the_next_step_follows_from_the_values(fourth: Helm4, values: dict[str, Any], said: str) -> None:
    """Each situation has its sentence."""
    assert said in fourth.notes(values)


UNSAID: list[tuple[dict[str, Any], str]] = [
    ({}, "failurePolicy"),
    ({}, "example"),
    ({"config": CONFIG}, "auth-sidecar check"),
    ({**OWN, "example": {"enabled": True}}, "create secret"),
    (OWN, "helm -n egain test"),
]


@pytest.mark.parametrize(("values", "unsaid"), UNSAID)
def test_what_does_not_apply_is_left_out(fourth: Helm4, values: dict[str, Any], unsaid: str) -> None:
    """Nobody is sent to do what these values make needless."""
    assert unsaid not in fourth.notes(values)


def test_helm_3_says_the_same(third: Helm3, fourth: Helm4) -> None:
    """An install by Helm 3 ends with the same words."""
    with api_server() as (url, _):
        assert third.deploy("install", {}, url).partition("NOTES:\n")[2].strip() == fourth.notes({}).strip()
