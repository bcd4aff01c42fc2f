"""The pod, as somebody would write it: application, sidecar, and eGain's stand-in on one localhost.

Owns names, ports and mounts, as docs/kubernetes.md has them. Written here and not taken from the chart, whose own
tests look at what it renders.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.image.podman import TAG

APP_TAG = "localhost/egain-auth-sidecar-apps:test"
HERE = Path(__file__).parent
LIFETIME = 30  # seconds, of tokens: renewed after some 14, good for 28
WORK_LEFT = 40  # requests that the application sends after it was told to end
APPS = {"curl": ["/bin/sh", "/scripts/curl_loop.sh"], "sdk": ["python3", "-u", "/scripts/sdk_loop.py"]}

_RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


def pod(name: str, app: str, config: Path, secret: Path, first_secret: str) -> dict[str, Any]:
    """A Pod with `app` as its application; `config` and `secret` are folders on this machine."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "containers": [_sidecar(), _egain(first_secret), _app(app)],
            "volumes": [
                _folder("auth-sidecar-config", config),
                _folder("auth-sidecar-secret", secret),
                _folder("scripts", HERE),
            ],
        },
    }


def _sidecar() -> dict[str, Any]:
    return {
        "name": "auth-sidecar",
        "image": TAG,
        "imagePullPolicy": "Never",
        "args": ["run", "/etc/auth-sidecar/sidecar.yaml"],
        "env": [
            {"name": "AUTH_SIDECAR_LISTEN", "value": "127.0.0.1:8080"},
            {"name": "AUTH_SIDECAR_ADMIN", "value": "0.0.0.0:8081"},
        ],
        "ports": [{"name": "admin", "containerPort": 8081}],
        "securityContext": _RESTRICTED,
        "resources": {"limits": {"memory": "128Mi"}},
        "volumeMounts": [
            {"name": "auth-sidecar-config", "mountPath": "/etc/auth-sidecar", "readOnly": True},
            {"name": "auth-sidecar-secret", "mountPath": "/var/run/secrets/egain", "readOnly": True},
        ],
    }


def _egain(secret: str) -> dict[str, Any]:
    return {
        "name": "egain",
        "image": TAG,
        "imagePullPolicy": "Never",
        "command": ["/opt/auth-sidecar/bin/python", "/scripts/standin.py", secret, str(LIFETIME)],
        "securityContext": _RESTRICTED,
        "volumeMounts": [{"name": "scripts", "mountPath": "/scripts", "readOnly": True}],
    }


def _app(app: str) -> dict[str, Any]:
    return {
        "name": "app",
        "image": APP_TAG,
        "imagePullPolicy": "Never",
        "command": APPS[app],
        "env": [
            {"name": "EGAIN_BASE_URL", "value": "http://127.0.0.1:8080"},
            {"name": "WORK_LEFT", "value": str(WORK_LEFT)},
        ],
        "securityContext": _RESTRICTED,
        "volumeMounts": [{"name": "scripts", "mountPath": "/scripts", "readOnly": True}],
    }


def _folder(name: str, path: Path) -> dict[str, Any]:
    return {"name": name, "hostPath": {"path": str(path), "type": "Directory"}}
