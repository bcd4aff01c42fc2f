"""`helm test`: asks the webhook, over verified TLS, for an injection, and looks at what it would change."""

import base64
import json
import os
import ssl
import sys
import urllib.request

base = os.environ["WEBHOOK_URL"]
bundle = os.environ.get("CA_BUNDLE")
context = ssl.create_default_context(
    cafile=None if bundle else os.environ.get("CA_FILE"),
    cadata=base64.b64decode(bundle).decode() if bundle else None,
)


def ask(path: str, body: bytes | None = None) -> bytes:
    request = urllib.request.Request(base + path, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10, context=context) as answer:
        read: bytes = answer.read()
        return read


ask("/readyz")
pod = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "app", "namespace": "default", "annotations": {"auth-sidecar/inject": "any"}},
    "spec": {"containers": [{"name": "app", "image": "app:1"}]},
}
review = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "helm-test",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
        "requestResource": {"group": "", "version": "v1", "resource": "pods"},
        "name": "app",
        "namespace": "default",
        "operation": "CREATE",
        "userInfo": {"username": "helm-test"},
        "object": pod,
        "oldObject": None,
        "dryRun": True,
        "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
    },
}
answer = json.loads(ask("/inject", json.dumps(review).encode()))["response"]
if answer["uid"] != "helm-test" or not answer["allowed"] or "patch" not in answer:
    sys.exit(f"the webhook answers, but injects nothing: {answer}")
patch = base64.b64decode(answer["patch"]).decode()
if '"auth-sidecar"' not in patch:
    sys.exit(f"the webhook's patch has no container auth-sidecar: {patch}")
print("the webhook would inject the sidecar, with", len(json.loads(patch)), "changes")
