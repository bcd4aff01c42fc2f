"""What tests of the webhook share: its settings, and pods and reviews as an API server sends them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from sidecar.webhook.settings import load
from sidecar.webhook.template import Template

Object = dict[str, Any]

# As the chart writes it, octal mode and all. TLS is put in front by `settings`.
INJECTED = """
container:
  name: auth-sidecar
  image: "egain-auth-sidecar:0.1.0"
  imagePullPolicy: IfNotPresent
  restartPolicy: Always
  args: [run, /etc/auth-sidecar/sidecar.yaml]
  env:
    - name: AUTH_SIDECAR_LISTEN
      value: "127.0.0.1:8080"
    - name: AUTH_SIDECAR_ADMIN
      value: "0.0.0.0:8081"
    - {name: EGAIN_TENANT, value: "0123"}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  ports:
    - {name: admin, containerPort: 8081, protocol: TCP}
  startupProbe:
    httpGet: {path: /readyz, port: admin}
    periodSeconds: 1
    failureThreshold: 300
  readinessProbe:
    httpGet: {path: /readyz, port: admin}
  livenessProbe:
    httpGet: {path: /healthz, port: admin}
  resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 128Mi}}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL]}
    seccompProfile: {type: RuntimeDefault}
  volumeMounts:
    - {name: auth-sidecar-config, mountPath: /etc/auth-sidecar, readOnly: true}
    - {name: auth-sidecar-secret, mountPath: /var/run/secrets/egain, readOnly: true}
volumes:
  - name: auth-sidecar-config
    configMap: {name: somebody-elses, optional: false}
  - name: auth-sidecar-secret
    secret: {secretName: egain-client, defaultMode: 0444, optional: false}
"""

RESTRICTED: Object = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def settings(folder: Path, certificate: Path, key: Path, text: str = INJECTED, **more: Any) -> Path:
    """A file of settings in this folder."""
    own = yaml.safe_dump(
        {"listen": "127.0.0.1:0", "tls": {"certificate": str(certificate), "key": str(key)}, **more}
    )
    path = folder / "settings.yaml"
    path.write_text(f"{own}{text.lstrip()}")
    return path


def template(path: Path) -> Template:
    return load(path).template()


def container(name: str = "app", **more: Any) -> Object:
    """A container with what an API server fills in."""
    return {
        "name": name,
        "image": f"{name}:1",
        "resources": {},
        "volumeMounts": [
            {
                "name": "kube-api-access-6xj2p",
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
        "securityContext": RESTRICTED,
        **more,
    }


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> Object:
    """A Deployment's pod at admission: no name, no namespace, a volume of the service account's."""
    metadata: Object = {
        "generateName": "orders-5d8f9c7b6d-",
        "creationTimestamp": None,
        "labels": {"app": "orders", "pod-template-hash": "5d8f9c7b6d"},
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "orders-5d8f9c7b6d",
                "uid": "3a4c1e9e-08d1-4a3f-9a50-40b1e2f2a6f1",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
        "managedFields": [
            {
                "manager": "kube-controller-manager",
                "operation": "Update",
                "apiVersion": "v1",
                "time": "2026-11-26T08:00:00Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:spec": {"f:containers": {'k:{"name":"app"}': {".": {}, "f:image": {}}}}},
            }
        ],
    }
    if annotations is not None:
        metadata["annotations"] = annotations
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata,
        "spec": {
            "volumes": [
                {
                    "name": "kube-api-access-6xj2p",
                    "projected": {
                        "sources": [{"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}}],
                        "defaultMode": 420,
                    },
                }
            ],
            "containers": [container()],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "serviceAccountName": "default",
            "serviceAccount": "default",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "tolerations": [
                {
                    "key": "node.kubernetes.io/not-ready",
                    "operator": "Exists",
                    "effect": "NoExecute",
                    "tolerationSeconds": 300,
                }
            ],
            "priority": 0,
            "enableServiceLinks": True,
            "preemptionPolicy": "PreemptLowerPriority",
            **spec,
        },
        "status": {},
    }


def asking(configmap: str = "orders-sidecar", /, **spec: Any) -> Object:
    """A pod that asks for the sidecar."""
    return pod({"auth-sidecar/inject": configmap}, **spec)


def job(**spec: Any) -> Object:
    """A Job's pod."""
    found = asking(restartPolicy="Never", **spec)
    found["metadata"]["generateName"] = "report-28930"
    found["metadata"]["ownerReferences"][0].update(apiVersion="batch/v1", kind="Job", name="report-28930")
    found["metadata"]["labels"] = {"batch.kubernetes.io/job-name": "report-28930", "job-name": "report-28930"}
    return found


def review(asked: Object | None, **more: Any) -> Object:
    """What an API server posts when a controller creates the pod."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    resource = {"group": "", "version": "v1", "resource": "pods"}
    return {
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind,
            "resource": resource,
            "requestKind": kind,
            "requestResource": resource,
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {
                "username": "system:serviceaccount:kube-system:replicaset-controller",
                "uid": "f8ff2cf0-3a8a-4d9b-9c5e-6a4e2a8f3c11",
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
            "object": copy.deepcopy(asked),
            "oldObject": None,
            "dryRun": False,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
            **more,
        },
    }
