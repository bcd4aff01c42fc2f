"""Pods on their way through a real API server: who gets the sidecar, who does not, and who is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.apiserver.cluster import Cluster
from tests.apiserver.injector import Injector, installed, mutations, namespace, pod, running
from tests.apiserver.release import PROBES

pytestmark = pytest.mark.apiserver

ASKS = {"auth-sidecar/inject": "orders"}
BASE_URL = {"name": "EGAIN_BASE_URL", "value": "http://127.0.0.1:8080"}


def volumes(stored: dict[str, Any]) -> dict[str, Any]:
    return {volume["name"]: volume for volume in stored["spec"]["volumes"]}


def kept_annotations(stored: dict[str, Any]) -> dict[str, str] | None:
    """Without the ones in which 1.20 itself repeats seccompProfile."""
    found = stored["metadata"].get("annotations", {})
    return {name: value for name, value in found.items() if not name.startswith("container.seccomp.")} or None


def test_pod_that_asks_gets_the_sidecar(api: Cluster, injector: Injector) -> None:
    """First of the init containers, with its volumes; the others are told where it is; nothing else is touched."""
    others = {
        "initContainers": [{"name": "migrate", "image": "app:1"}],
        "volumes": [{"name": "work", "emptyDir": {}}],
    }
    made = pod("asks", "in", {**ASKS, "auth-sidecar/secret": "orders-egain", "a": "b"}, **others)
    api.do("create", "-f", "-", manifest=made)
    stored = api.get("pod", "asks", "-nin")
    sidecar, migrate = stored["spec"]["initContainers"]
    (app,) = stored["spec"]["containers"]
    assert (sidecar["name"], sidecar["args"]) == ("auth-sidecar", ["run", "/etc/auth-sidecar/sidecar.yaml"])
    assert (migrate["name"], migrate["env"], app["env"]) == ("migrate", [BASE_URL], [BASE_URL])
    assert volumes(stored).keys() == {"work", "auth-sidecar-config", "auth-sidecar-secret"}
    assert volumes(stored)["auth-sidecar-config"]["configMap"]["name"] == "orders"
    assert volumes(stored)["auth-sidecar-secret"]["secret"]["secretName"] == "orders-egain"
    assert kept_annotations(stored) == {**made["metadata"]["annotations"], "auth-sidecar/status": "injected"}


def test_patch_makes_a_native_sidecar(api: Cluster, injector: Injector) -> None:
    """1.20 does not know `restartPolicy` and does not store it; its audit log has the patch as it came."""
    api.do("create", "-f", "-", manifest=pod("native", "in", ASKS))
    (event,) = api.audit("in", "native")
    (patch,) = mutations(event, "patch").values()
    (operation,) = (one for one in patch["patch"] if one["path"] == "/spec/initContainers")
    (sidecar,) = operation["value"]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("auth-sidecar", "Always")
    assert patch["configuration"] == injector.release.configuration["metadata"]["name"]


def test_patch_with_probes_reaches_the_api_server(api: Cluster, tmp_path: Path) -> None:
    """The chart's default sidecar: 1.20 refuses its three probes, which is how far an older server can go with it."""
    label = {"test": "probes"}
    values = {"webhook": {"namespaceSelector": {"matchLabels": label}}}
    with installed(api, "probes", values) as release, running(release, tmp_path):
        api.do("apply", "-f", "-", manifest=namespace("probes", label))
        refused = api.kubectl("create", "-f", "-", manifest=pod("default", "probes", ASKS))
        assert 'The Pod "default" is invalid' in refused.stderr
        assert set(re.findall(r"(spec\.\S+): Invalid value", refused.stderr)) == {
            f"spec.initContainers[0].{probe}" for probe in PROBES
        }
        assert refused.stderr.count("must not be set for init containers") == len(PROBES)


@pytest.mark.parametrize(
    ("space", "asked", "called"),
    [
        ("in", None, True),  # 1.20 does not know matchConditions, so the webhook is asked and says no
        ("in", {"auth-sidecar/inject": "false"}, True),
        ("out", ASKS, False),
    ],
    ids=["no annotation", "declined", "namespace without the label"],
)
def test_pod_that_does_not_ask_is_stored_as_it_was_sent(
    api: Cluster, injector: Injector, space: str, asked: dict[str, str] | None, called: bool
) -> None:
    """And in a namespace without the label the webhook is not even called."""
    name = f"plain-{'asks' if asked == ASKS else len(asked or ())}"
    api.do("create", "-f", "-", manifest=pod(name, space, asked))
    stored = api.get("pod", name, f"-n{space}")
    assert "initContainers" not in stored["spec"]
    assert "volumes" not in stored["spec"]
    assert "env" not in stored["spec"]["containers"][0]
    assert kept_annotations(stored) == asked
    (event,) = api.audit(space, name)
    assert [one["mutated"] for one in mutations(event).values()] == ([False] if called else [])


def test_dry_run_is_patched_and_nothing_is_stored(api: Cluster, injector: Injector) -> None:
    """`--dry-run=server` shows what would be."""
    arguments = ("create", "--dry-run=server", "--output=json", "-f", "-")
    shown = json.loads(api.do(*arguments, manifest=pod("dry", "in", ASKS)))
    assert [container["name"] for container in shown["spec"]["initContainers"]] == ["auth-sidecar"]
    assert "NotFound" in api.kubectl("get", "pod", "dry", "-nin").stderr


def test_refusal_is_told_to_who_creates_the_pod(api: Cluster, injector: Injector) -> None:
    """The webhook's own words, all reasons at once; nothing is stored."""
    container = {"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}
    wrong = pod("refused", "in", ASKS, hostNetwork=True, containers=[container])
    wrong["spec"]["containers"][0]["ports"][0]["hostPort"] = 8080
    refused = api.kubectl("create", "-f", "-", manifest=wrong)
    assert refused.returncode != 0
    assert 'admission webhook "inject.auth-sidecar.internal" denied the request: ' in refused.stderr
    assert "the pod is on the host's network (hostNetwork)" in refused.stderr
    assert 'container "app" has port 8080' in refused.stderr
    assert "NotFound" in api.kubectl("get", "pod", "refused", "-nin").stderr


def test_doubt_is_a_warning_at_kubectl(api: Cluster, injector: Injector) -> None:
    """A misspelt annotation, by a pod that is injected all the same."""
    made = pod("doubtful", "in", {**ASKS, "auth-sidecar/sekret": "x"})
    done = api.kubectl("create", "-f", "-", manifest=made)
    assert done.returncode == 0
    assert done.stderr.startswith("Warning: ")
    assert "auth-sidecar/sekret" in done.stderr
    assert api.get("pod", "doubtful", "-nin")["spec"]["initContainers"][0]["name"] == "auth-sidecar"
