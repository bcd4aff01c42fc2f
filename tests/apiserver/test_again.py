"""Asked twice about one pod, the webhook changes it once."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator

import pytest
import trustme

from tests.apiserver.cluster import Cluster
from tests.apiserver.conftest import LABEL
from tests.apiserver.injector import Injector, mutations, pod
from tests.apiserver.release import Object

pytestmark = pytest.mark.apiserver

ASKS = {"auth-sidecar/inject": "orders"}


def test_applied_again_nothing_changes(api: Cluster, injector: Injector) -> None:
    """What `kubectl apply` sends the second time is what was applied before."""
    manifest = pod("applied", "in", ASKS)
    assert api.do("apply", "-f", "-", manifest=manifest) == "pod/applied created\n"
    stored = api.get("pod", "applied", "-nin")
    assert api.do("apply", "-f", "-", manifest=manifest) == "pod/applied unchanged\n"
    assert api.get("pod", "applied", "-nin") == stored


def test_copy_of_an_injected_pod_is_left_as_it_is(api: Cluster, injector: Injector) -> None:
    """`kubectl get --output=yaml`, edited and created: it has its sidecar already."""
    api.do("create", "-f", "-", manifest=pod("original", "in", ASKS))
    stored = api.get("pod", "original", "-nin")
    kept = {key: stored["metadata"][key] for key in ("namespace", "annotations")}
    copy = {**stored, "metadata": {**kept, "name": "copy"}}
    del copy["status"]
    api.do("create", "-f", "-", manifest=copy)
    assert api.get("pod", "copy", "-nin")["spec"] == stored["spec"]
    (event,) = api.audit("in", "copy")
    assert [one["mutated"] for one in mutations(event).values()] == [False]


@contextlib.contextmanager
def other_webhook() -> Iterator[Object]:
    """Somebody else's, which comes after ours and labels every pod; yields its configuration."""
    ca = trustme.CA()
    leaf = ca.issue_cert("127.0.0.1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    leaf.configure_cert(context)
    patch = json.dumps([{"op": "add", "path": "/metadata/labels", "value": {"other": "was-here"}}])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            response: dict[str, object] = {"uid": asked["request"]["uid"], "allowed": True}
            if "labels" not in asked["request"]["object"]["metadata"]:
                response |= {"patchType": "JSONPatch", "patch": base64.b64encode(patch.encode()).decode()}
            body = json.dumps(
                {"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": response}
            ).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield _configuration(f"https://127.0.0.1:{server.server_port}/", ca.cert_pem.bytes())
        finally:
            server.shutdown()
            thread.join()


def _configuration(url: str, ca: bytes) -> Object:
    webhook = {
        "name": "label.other.invalid",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(ca).decode()},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
        ],
        "namespaceSelector": {"matchLabels": LABEL},
    }
    # "zzz": configurations are called in the order of their names.
    kind = "MutatingWebhookConfiguration"
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": "zzz"},
        "webhooks": [webhook],
    }


def test_reinvoked_after_another_webhook_it_changes_nothing(api: Cluster, injector: Injector) -> None:
    """The API server calls ours, the other one, and ours again, since the pod has changed."""
    with other_webhook() as configuration:
        api.do("apply", "-f", "-", manifest=configuration)
        try:
            api.do("create", "-f", "-", manifest=pod("twice", "in", ASKS))
        finally:
            api.do("delete", "-f", "-", manifest=configuration)
    (event,) = api.audit("in", "twice")
    ours = injector.release.configuration["metadata"]["name"]
    calls = sorted((name, one["configuration"], one["mutated"]) for name, one in mutations(event).items())
    assert calls == [
        ("round_0_index_0", ours, True),
        ("round_0_index_1", "zzz", True),
        ("round_1_index_0", ours, False),
    ]
    stored = api.get("pod", "twice", "-nin")
    assert [container["name"] for container in stored["spec"]["initContainers"]] == ["auth-sidecar"]
    assert stored["metadata"]["labels"] == {"other": "was-here"}
