"""Another chart takes this one as a dependency and puts the sidecar into its own pods with the named templates."""

from __future__ import annotations

import shutil
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest
import yaml

from sidecar import __version__
from tests.chart.helms import CHART, Helm, Helm4, Refused, one
from tests.chart.schemas import kubernetes_finds
from tests.pod_security import violations

pytestmark = pytest.mark.chart

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: orders}
spec:
  selector: {matchLabels: {app: orders}}
  template:
    metadata: {labels: {app: orders}}
    spec:
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      initContainers:
        {{- include "egain-auth-sidecar.initContainers" $sidecar | nindent 8 }}
        - name: migrate
          image: orders:7
          securityContext: &restricted {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      containers:
        - name: orders
          image: orders:7
          securityContext: *restricted
          env:
            {{- include "egain-auth-sidecar.env" $sidecar | nindent 12 }}
      volumes:
        {{- include "egain-auth-sidecar.volumes" $sidecar | nindent 8 }}
"""


def documented(number: int) -> str:
    """The number-th way of making `$sidecar` that _container.tpl documents, as it stands there."""
    text = (CHART / "templates/_container.tpl").read_text()
    blocks = [block for block in text.split("\n\n") if "{{- $sidecar :=" in block]
    return dedent(
        "\n".join(line for line in blocks[number].splitlines() if line.lstrip().startswith("{{- $"))
    )


@pytest.fixture
def parent(tmp_path: Path) -> Path:
    """A chart `orders` that has this one as a dependency, the injector off."""
    folder = tmp_path / "orders"
    (folder / "templates").mkdir(parents=True)
    shutil.copytree(CHART, folder / "charts/egain-auth-sidecar")
    dependency = {"name": "egain-auth-sidecar", "version": __version__, "repository": ""}
    about = {
        "apiVersion": "v2",
        "name": "orders",
        "version": "7.0.0",
        "appVersion": "7",
        "dependencies": [dependency],
    }
    (folder / "Chart.yaml").write_text(yaml.safe_dump(about))
    off: dict[str, Any] = {part: {"enabled": False} for part in ("webhook", "networkPolicy", "tests")}
    (folder / "values.yaml").write_text(yaml.safe_dump({"egain-auth-sidecar": off}))
    return folder


def test_the_documented_call_works(helm: Helm, parent: Path, tmp_path: Path) -> None:
    """The parent's values under the dependency's name decide; what they leave out is the chart's default."""
    (parent / "templates/deployment.yaml").write_text(documented(0) + "\n" + DEPLOYMENT)
    config = {"upstream": {"url": "https://api.ai.egain.cloud"}}
    sidecar = {"secretName": "orders-egain", "port": 9090}
    rendered = helm.render({"egain-auth-sidecar": {"sidecar": sidecar, "config": config}}, parent)
    made = one(rendered, "Deployment")
    spec = made["spec"]["template"]["spec"]
    container = spec["initContainers"][0]
    assert (container["name"], container["image"]) == ("auth-sidecar", f"egain-auth-sidecar:{__version__}")
    assert container["startupProbe"]["failureThreshold"] == 300
    assert spec["containers"][0]["env"] == [{"name": "EGAIN_BASE_URL", "value": "http://127.0.0.1:9090"}]
    config_map, secret = spec["volumes"]
    assert config_map["configMap"]["name"] == one(rendered, "ConfigMap")["metadata"]["name"]
    assert secret["secret"]["secretName"] == "orders-egain"
    assert violations(spec) == []
    assert kubernetes_finds([made], "1.29", tmp_path) == []


def test_null_takes_a_default_away(fourth: Helm4, parent: Path) -> None:
    """OpenShift's way, in a dependency's values too. Helm 3.6 lets such a null fall there, whatever the chart."""
    (parent / "templates/deployment.yaml").write_text(documented(0) + "\n" + DEPLOYMENT)
    values = {"egain-auth-sidecar": {"sidecar": {"securityContext": {"runAsUser": None}}}}
    spec = one(fourth.render(values, parent), "Deployment")["spec"]["template"]["spec"]
    context = spec["initContainers"][0]["securityContext"]
    assert "runAsUser" not in context
    assert context["runAsGroup"] == 65532


def test_a_second_pod_may_have_settings_of_its_own(helm: Helm, parent: Path) -> None:
    """Settings laid over a copy change that pod alone."""
    (parent / "templates/a.yaml").write_text(documented(1) + "\n" + DEPLOYMENT)
    (parent / "templates/b.yaml").write_text(documented(0) + "\n" + DEPLOYMENT.replace("orders}", "other}"))
    rendered = helm.render({}, parent)
    volumes = {
        name: one(rendered, "Deployment", name)["spec"]["template"]["spec"]["volumes"]
        for name in ("orders", "other")
    }
    assert volumes["orders"][0]["configMap"]["name"] == "orders"
    assert volumes["orders"][1]["secret"]["secretName"] == "orders-egain"
    assert volumes["other"][0]["configMap"]["name"] == "rel-egain-auth-sidecar-config"
    assert volumes["other"][1]["secret"]["secretName"] == "egain-client"


def test_a_call_without_values_says_how(helm: Helm, parent: Path) -> None:
    """The mistake of passing the parent's own context is told, not rendered."""
    call = '{{ include "egain-auth-sidecar.container" . }}'
    (parent / "templates/a.yaml").write_text("a: |\n" + indent(call, "  "))
    with pytest.raises(Refused, match=r"Values\.sidecar is missing; see templates/_container\.tpl"):
        helm.render({}, parent)
