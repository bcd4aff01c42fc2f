"""A Kubernetes control plane of two processes on loopback: etcd and kube-apiserver 1.20, and kubectl to talk to them.

Owns their keys, how they start and how they end. No controller, scheduler or kubelet runs: objects are judged, admitted
and stored, nothing becomes of them. Services get addresses within 127.0.0.0/8, so that whoever plays a Service's pod
can listen there, and the API server finds it by the Service as in a cluster. Knows nothing of the chart.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import yaml

TOOLS = Path(__file__).parents[2] / ".apiserver"
Done = subprocess.CompletedProcess[str]
_READY = 120.0  # seconds: on a busy core the first start writes some hundred objects
_END = 20.0
_SERVICES = "127.100.0.0/24"
# What was asked and what each webhook did to it, of new pods.
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Request", "verbs": ["create"], "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "None"},
    ],
}


@dataclass(frozen=True)
class Cluster:
    """The API server while it runs."""

    folder: Path

    def kubectl(self, *arguments: str, manifest: object = None) -> Done:
        """kubectl as the cluster's administrator; `manifest` goes to `-f -`: one object, or a list of them."""
        objects = manifest if isinstance(manifest, list) else [manifest]
        return subprocess.run(
            [TOOLS / "kubectl", f"--kubeconfig={self.folder / 'kubeconfig'}", "--request-timeout=60s", *arguments],
            input=None if manifest is None else yaml.safe_dump_all(objects),
            capture_output=True, text=True, check=False, env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
        )  # fmt: skip

    def do(self, *arguments: str, manifest: object = None) -> str:
        """The same, where it has to succeed: what it printed."""
        done = self.kubectl(*arguments, manifest=manifest)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        """One object."""
        found: dict[str, Any] = json.loads(self.do("get", "--output=json", *arguments))
        return found

    def audit(self, namespace: str, name: str) -> list[dict[str, Any]]:
        """The finished requests that made (or would have made) this pod, oldest first; waits for the first one."""
        until = time.monotonic() + 10
        while True:
            found = [
                event
                for event in map(json.loads, (self.folder / "audit.log").read_text().splitlines())
                if event["requestObject"]["metadata"]["name"] == name
                and event["objectRef"]["namespace"] == namespace
            ]
            if found:
                return found
            assert time.monotonic() < until, f"no audit event for {namespace}/{name}"
            time.sleep(0.05)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A new and empty one, with all its files in this folder, until the block ends."""
    _write_keys(folder)
    client, peer, secure = free_port(), free_port(), free_port()
    etcd = _etcd(folder, client, peer)
    with _running("etcd", etcd, folder, f"http://127.0.0.1:{client}/health", folder / "ca.pem"):
        apiserver = _apiserver(folder, f"http://127.0.0.1:{client}", secure)
        _write_kubeconfig(folder, secure)
        with _running(
            "kube-apiserver", apiserver, folder, f"https://127.0.0.1:{secure}/readyz", folder / "ca.pem"
        ):
            yield Cluster(folder)


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _write_keys(folder: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(folder / "ca.pem")
    for name, leaf in {
        "server": ca.issue_cert("127.0.0.1", "localhost"),
        "admin": ca.issue_cert("admin.invalid", common_name="admin", organization_name="system:masters"),
        "accounts": ca.issue_cert("accounts.invalid"),  # its key signs service accounts' tokens
    }.items():
        leaf.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        leaf.private_key_pem.write_to_path(folder / f"{name}.key")
    (folder / "audit.yaml").write_text(yaml.safe_dump(_AUDIT))
    (folder / "audit.log").touch()


def _write_kubeconfig(folder: Path, port: int) -> None:
    admin = {"client-certificate": str(folder / "admin.pem"), "client-key": str(folder / "admin.key")}
    server = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(folder / "ca.pem")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": server}],
        "users": [{"name": "admin", "user": admin}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))


def _etcd(folder: Path, client: int, peer: int) -> list[str]:
    peers, clients = f"http://127.0.0.1:{peer}", f"http://127.0.0.1:{client}"
    return [
        str(TOOLS / "etcd"), "--name=test", f"--data-dir={folder / 'etcd'}", "--log-level=error",
        f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}", f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=test={peers}",
    ]  # fmt: skip


def _apiserver(folder: Path, etcd: str, port: int) -> list[str]:
    return [
        str(TOOLS / "kube-apiserver"), f"--etcd-servers={etcd}", f"--cert-dir={folder}",
        "--bind-address=127.0.0.1", f"--secure-port={port}", f"--service-cluster-ip-range={_SERVICES}",
        "--endpoint-reconciler-type=none",  # the Service "kubernetes" may have no endpoint on loopback
        f"--tls-cert-file={folder / 'server.pem'}", f"--tls-private-key-file={folder / 'server.key'}",
        f"--client-ca-file={folder / 'ca.pem'}", "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        f"--service-account-key-file={folder / 'accounts.key'}",
        "--disable-admission-plugins=ServiceAccount",  # no controller makes the accounts that it asks for
        f"--audit-policy-file={folder / 'audit.yaml'}", f"--audit-log-path={folder / 'audit.log'}",
    ]  # fmt: skip


@contextlib.contextmanager
def _running(name: str, command: Sequence[str], folder: Path, url: str, ca: Path) -> Iterator[None]:
    """A process from when it is ready until the block ends; its output is in NAME.log."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(name, process, folder, url)
            yield
        finally:
            process.terminate()
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(name: str, process: subprocess.Popen[bytes], folder: Path, url: str) -> None:
    until = time.monotonic() + _READY
    while not _answers(url, folder):
        last = (folder / f"{name}.log").read_text(errors="replace")[-2000:]
        assert process.poll() is None, f"{name} ended: {last}"
        assert time.monotonic() < until, f"{name} is not ready after {_READY:.0f} s: {last}"
        time.sleep(0.1)


def _answers(url: str, folder: Path) -> bool:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "admin.pem", folder / "admin.key")
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
