"""`auth-sidecar webhook` runs with the settings and the certificate the chart makes, and passes `helm test`."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chart.helms import Rendered, one
from tests.chart.test_example_runs import free_port, started, wait_for

pytestmark = pytest.mark.chart

Render = Callable[[dict[str, Any]], Rendered]

# Every name is this machine: the certificate is for the Service's name, which no DNS here knows.
RESOLVER = """
import socket
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **options: resolve("127.0.0.1", *rest, **options)
"""


def test_it_runs_and_injects(render: Render, values: dict[str, Any], tmp_path: Path) -> None:
    """With the settings of every file under ci/: it starts as its pod would, and the test pod's program succeeds."""
    webhook = {**values.get("webhook", {}), "enabled": True, "certificate": {"mode": "helm"}}
    rendered = render({**values, "webhook": webhook, "tests": {"enabled": True}})
    (container,) = one(rendered, "Deployment", "-webhook")["spec"]["template"]["spec"]["containers"]
    port, listening = free_port(), container["ports"][0]["containerPort"]

    def rewrite(text: str) -> str:
        text = text.replace("/etc/auth-sidecar-webhook/settings", str(tmp_path))
        text = text.replace("/etc/auth-sidecar-webhook/tls", str(tmp_path))
        return text.replace(f"0.0.0.0:{listening}", f"127.0.0.1:{port}")

    settings = one(rendered, "ConfigMap", "-webhook-settings")["data"]["settings.yaml"]
    # In a cluster it serves on for a while after SIGTERM; nobody has to learn of its end here.
    (tmp_path / "settings.yaml").write_text(rewrite(settings) + "\ndrain: 0s\n")
    for name, text in one(rendered, "Secret", "-webhook-tls")["data"].items():
        (tmp_path / name).write_bytes(base64.b64decode(text))
    (test,) = one(rendered, "Pod", "-webhook-test")["spec"]["containers"]
    env = {entry["name"]: entry["value"] for entry in test["env"]}
    service = one(rendered, "Service", "-webhook")["spec"]["ports"][0]["port"]
    env["WEBHOOK_URL"] = env["WEBHOOK_URL"].replace(f":{service}", f":{port}")
    env["CA_FILE"] = env["CA_FILE"].replace("/etc/ca", str(tmp_path))
    command = [sys.executable, *test["command"][1:], RESOLVER + test["args"][0]]
    log = tmp_path / "webhook.log"
    with started(container, rewrite, log) as process:
        wait_for(process, log, port)
        said = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout.startswith("the webhook would inject the sidecar"), said.stderr
    assert process.returncode == 0
