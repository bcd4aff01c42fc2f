"""The configuration the chart writes is the one that was typed, and `auth-sidecar check` accepts it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from sidecar.demo.directory import CLIENT_SECRET
from tests.chart.helms import CI, Rendered, objects, one

pytestmark = pytest.mark.chart

Render = Callable[[dict[str, Any]], Rendered]
SECRET = "/var/run/secrets/egain"  # where the container has it


def configured() -> Iterator[dict[str, Any]]:
    """The values under ci/ that make a configuration."""
    for path in CI:
        values = yaml.safe_load(path.read_text())
        if values.get("config") or values.get("example", {}).get("enabled"):
            yield values


def directory(data: dict[str, str], folder: Path) -> Path:
    """A ConfigMap's keys as the kubelet would lay them out, with what the pod mounts elsewhere below the folder."""
    for name in ("client_secret", "client_id"):
        (folder / name).write_text("redirected")
    trustme.CA().cert_pem.write_to_path(folder / "ca.pem")
    for name, text in data.items():
        redirected = text.replace(SECRET, str(folder)).replace("/etc/private-ca", str(folder))
        (folder / name).write_text(redirected)
    return folder / "sidecar.yaml"


@pytest.mark.parametrize("values", list(configured()))
def test_check_accepts_it(render: Render, values: dict[str, Any], tmp_path: Path) -> None:
    """Every ConfigMap with a `sidecar.yaml`, its included files beside it, is a good configuration without warnings."""
    maps = [x for x in objects(render(values)) if x["kind"] == "ConfigMap" and "sidecar.yaml" in x["data"]]
    assert maps
    for number, made in enumerate(maps):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-m", "sidecar", "check", "--strict", directory(made["data"], folder)],
            env={"EGAIN_CLIENT_ID": "x", "EGAIN_TENANT": "T", "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")


def test_values_arrive_unchanged(render: Render) -> None:
    """Nothing is lost, rounded or escaped on the way: large numbers, text that looks like numbers, braces, quotes."""
    config = {
        "upstream": {"url": "https://api.ai.egain.cloud"},
        "client": {"id": "0123456789", "secret": {"file": f"{SECRET}/client_secret"}},
        "limits": {"max_in_flight": 123456789},
        "refresh": {"at": 0.25},
        "log": {"requests": False},
        "routes": [{"path": "/{portalID}/**", "credential": "none", "name": 'a "name": {{ x }} # \\'}],
    }
    files = {"routes.yaml": '- path: /<&>\n  name: "{{ .Values }}"\n\n# \\u003c é\n'}
    data = one(render({"webhook": {"enabled": False}, "config": config, "configFiles": files}), "ConfigMap")[
        "data"
    ]
    assert yaml.safe_load(data.pop("sidecar.yaml")) == config
    assert data == files


def test_the_examples_secret_is_the_stand_ins(render: Render) -> None:
    """The one secret in the chart is the stand-in's, which is public and opens nothing else."""
    secret = one(render({"example": {"enabled": True}}), "Secret", "-example")
    assert secret["stringData"] == {"client_secret": CLIENT_SECRET}
