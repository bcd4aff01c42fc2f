"""The webhook as a process behind the chart's Service, and the pods that are sent by it.

Owns the files that the kubelet would mount. The API server finds the process as in a cluster: by the Service, whose
address it listens on, with the certificate that the chart made for the Service's name.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.apiserver.cluster import Cluster, free_port
from tests.apiserver.release import NAMESPACE, Object, known, one, render, without_newer_fields

_READY = 30.0  # seconds
_END = 20.0
# 1.20 takes the sidecar for an ordinary init container, which may have no probes.
NO_PROBES: dict[str, Any] = {"startupProbe": None, "readinessProbe": None, "livenessProbe": None}


@dataclass(frozen=True)
class Release:
    """One installation of the chart in the API server."""

    api: Cluster
    objects: list[Object]  # as rendered
    address: tuple[str, int]  # the webhook's Service

    @property
    def configuration(self) -> Object:
        return one(self.objects, "MutatingWebhookConfiguration")

    @property
    def ca(self) -> bytes:
        """PEM, of the caBundle."""
        return base64.b64decode(self.configuration["webhooks"][0]["clientConfig"]["caBundle"])

    @property
    def server_name(self) -> str:
        service = self.configuration["webhooks"][0]["clientConfig"]["service"]
        return f"{service['name']}.{service['namespace']}.svc"

    @property
    def key_pair(self) -> dict[str, bytes]:
        """File name -> contents, of the Secret."""
        data = one(self.objects, "Secret", "-webhook-tls")["data"]
        return {name: base64.b64decode(value) for name, value in data.items()}


@contextlib.contextmanager
def installed(api: Cluster, name: str, values: Mapping[str, Any], *arguments: str) -> Iterator[Release]:
    """The chart under this name until the block ends; `values` over a free port for the Service."""
    service = {"service": {"port": free_port()}}
    objects = render({**values, "webhook": {**service, **values.get("webhook", {})}}, *arguments, name=name)
    sent = [without_newer_fields(thing)[0] for thing in known(objects)]
    sent = [thing for thing in sent if "helm.sh/hook" not in thing["metadata"].get("annotations", {})]
    api.do("apply", "-f", "-", manifest=sent)
    try:
        made = api.get("service", one(objects, "Service", "-webhook")["metadata"]["name"], f"-n{NAMESPACE}")
        yield Release(api, objects, (made["spec"]["clusterIP"], made["spec"]["ports"][0]["port"]))
    finally:
        api.do("delete", "--wait=false", "--ignore-not-found", "-f", "-", manifest=sent)


@dataclass
class Injector:
    """The webhook while it runs."""

    release: Release
    folder: Path
    log: Path
    _rotations: int = field(default=0)

    def mount(self, files: Mapping[str, bytes]) -> None:
        """Put the Secret's files in place as the kubelet does: whole, by one rename of a symbolic link."""
        self._rotations += 1
        data = self.folder / f"..{self._rotations}"
        data.mkdir(parents=True)
        for name, content in files.items():
            (data / name).write_bytes(content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..data_tmp").symlink_to(data.name)
        (self.folder / "..data_tmp").rename(self.folder / "..data")

    def served(self, ca: bytes) -> bytes:
        """The certificate (DER) that a new connection is shown. Raises ssl.SSLError for a wrong CA or name."""
        context = ssl.create_default_context(cadata=ca.decode())
        plain = socket.create_connection(self.release.address, timeout=5)
        with plain, context.wrap_socket(plain, server_hostname=self.release.server_name) as tls:
            return tls.getpeercert(binary_form=True) or b""

    def shows(self, ca: bytes) -> bool:
        """Whether a new connection is shown a certificate of this CA."""
        try:
            return bool(self.served(ca))
        except ssl.SSLCertVerificationError:
            return False


@contextlib.contextmanager
def running(release: Release, folder: Path, files: Mapping[str, bytes] | None = None) -> Iterator[Injector]:
    """`auth-sidecar webhook` with the chart's settings, where the Service says; `files`: instead of its Secret."""
    injector = Injector(release, folder / "tls", folder / "webhook.log")
    injector.mount(files or release.key_pair)
    settings = one(release.objects, "ConfigMap", "-webhook-settings")["data"]["settings.yaml"]
    host, port = release.address
    for chart, here in (
        ("0.0.0.0:8443", f"{host}:{port}"),
        ("/etc/auth-sidecar-webhook/tls", str(injector.folder)),
    ):
        assert chart in settings
        settings = settings.replace(chart, here)
    (folder / "settings.yaml").write_text(f"{settings}\ndrain: 0s\n")
    with injector.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", "webhook", str(folder / "settings.yaml")], stdout=log, stderr=log,
            env={**os.environ, "SSL_CERT_FILE": os.devnull},
        )  # fmt: skip
        try:
            _wait(injector, process)
            yield injector
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    assert process.returncode == 0, injector.log.read_text()


def _wait(injector: Injector, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            injector.served(injector.release.ca)
            return
        assert process.poll() is None, injector.log.read_text()
        assert time.monotonic() < until, "the webhook does not listen"
        time.sleep(0.05)


def pod(name: str, namespace: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> Object:
    """A pod with one container; keywords are fields of its spec."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            **({"annotations": dict(annotations)} if annotations else {}),
        },
        "spec": {"containers": [{"name": "app", "image": "app:1"}], **spec},
    }


def namespace(name: str, labels: Mapping[str, str]) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}


def mutations(event: Mapping[str, Any], kind: str = "mutation") -> dict[str, Any]:
    """Of an audit event: "round_0_index_0" and so on -> what that call came to (`mutation`) or its patch (`patch`)."""
    prefix = f"{kind}.webhook.admission.k8s.io/"
    annotations = event.get("annotations", {})
    return {
        key.removeprefix(prefix): yaml.safe_load(value)
        for key, value in annotations.items()
        if key.startswith(prefix)
    }
