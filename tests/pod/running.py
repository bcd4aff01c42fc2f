"""A pod that runs: started in a native sidecar's order, looked at from outside, and removed.

Owns the pod, by its own name, and the folders mounted into it. What the test says to the stand-in, and what it reads
of the sidecar's metrics, goes to the pod's own address, as a Prometheus would.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.image.asking import answers, ask
from tests.image.podman import ROOT, Container, inspect, podman, until
from tests.pod.kubelet import Volume
from tests.pod.manifest import pod

CONFIG, SECRET = "sidecar.yaml", "client_secret"


def configuration(**names: str) -> str:
    """config/demo.yaml, with the secret in the Secret's volume; `get_portal="..."` gives a route another name."""
    mapping = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())
    mapping |= {
        "client": mapping["client"] | {"secret": {"file": f"/var/run/secrets/egain/{SECRET}"}},
        "refresh": mapping["refresh"] | {"retry": {"initial": "500ms", "max": "2s"}},
        "log": {"level": "info"},
    }
    people = {name for name, one in mapping["credentials"].items() if one["grant"] == "authorization_code"}
    for name in people:  # nobody signs in here
        del mapping["credentials"][name]
    mapping["routes"] = [route for route in mapping["routes"] if route["credential"] not in people]
    del mapping["listen"], mapping["admin"], mapping["sessions"]
    for route in mapping["routes"]:
        if route.get("name") == "get-portals":
            route["credential"] = "anonymous"  # the SDK's own bearer token is nothing that could be exchanged
        if "name" in route:
            route["name"] = names.get(route["name"].replace("-", "_"), route["name"])
    return yaml.safe_dump(mapping)


@dataclass(frozen=True)
class Pod:
    """Its three containers and two volumes."""

    name: str
    address: str  # of the pod
    sidecar: Container
    egain: Container
    app: Container
    config: Volume
    secret: Volume

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the sidecar's samples with this name and these labels."""
        families = text_string_to_metric_families(ask(f"{self.address}:8081", "/metrics").text)
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def seen(self) -> dict[str, dict[str, int]]:
        """What the stand-in has seen: `api`, `granted`, `refused`, each a count."""
        told = json.loads(ask(f"{self.address}:9001", "/seen").body)
        assert isinstance(told, dict)
        return told

    def change_secret_at_egain(self, secret: str) -> None:
        """From now on eGain refuses the one before."""
        with urllib.request.urlopen(
            f"http://{self.address}:9001/secret", secret.encode(), timeout=20
        ) as answer:
            assert answer.status == 200

    @property
    def readiness(self) -> int:
        """/readyz of the sidecar, 0 when nobody answers."""
        return answers(f"{self.address}:8081", "/readyz")

    def told(self) -> dict[str, int]:
        """The application's last line."""
        told = json.loads(podman("logs", self.app.id).stdout.splitlines()[-1])
        assert isinstance(told, dict)
        return told


@contextlib.contextmanager
def playing(folder: Path, app: str, secret: str) -> Iterator[Pod]:
    """The pod, up and with its application at work."""
    config = Volume(folder / "config", {CONFIG: configuration()})
    mounted = Volume(folder / "secret", {SECRET: secret + "\n"})
    name = f"auth-sidecar-test-{secrets.token_hex(4)}"
    manifest = folder / "pod.yaml"
    manifest.write_text(yaml.safe_dump(pod(name, app, config.folder, mounted.folder, secret)))
    try:
        podman("play", "kube", "--start=false", manifest)
        sidecar, egain, application = (
            Container(inspect("container", f"{name}-{each}")["Id"])
            for each in ("auth-sidecar", "egain", "app")
        )
        podman("start", egain.id)
        podman("start", sidecar.id)
        made = Pod(name, _address(name), sidecar, egain, application, config, mounted)
        until(lambda: made.readiness == 200, "the sidecar being ready")  # its startupProbe
        podman("start", application.id)
        yield made
    finally:
        podman("pod", "rm", "--force", "--time=0", name, check=False)


def _address(name: str) -> str:
    infra = podman("pod", "inspect", "--format={{.InfraContainerID}}", name).stdout.strip()
    networks: dict[str, dict[str, Any]] = inspect("container", infra)["NetworkSettings"]["Networks"]
    (address,) = (network["IPAddress"] for network in networks.values())
    assert isinstance(address, str)
    return address
