"""As much of an API server as Helm 3's `install` and `upgrade` need: which kinds there are, and a store for objects.

It is there so that what one run of Helm leaves is what the next one's `lookup` finds. It is no API server: nothing is
checked, defaulted or selected but by labels, and a patch is merged key by key.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Store = dict[str, dict[str, Any]]  # an object's path -> the object

# The kinds of the default rendering, by group and version; Helm wants to know them all before it goes on.
_KINDS = {
    "v1": ("ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"),
    "apps/v1": ("Deployment",),
    "policy/v1": ("PodDisruptionBudget",),
    "networking.k8s.io/v1": ("NetworkPolicy",),
    "admissionregistration.k8s.io/v1": ("MutatingWebhookConfiguration",),
}


def _resource(kind: str) -> dict[str, Any]:
    singular = kind.lower()
    plural = singular[:-1] + "ies" if singular.endswith("y") else singular + "s"
    namespaced = kind != "MutatingWebhookConfiguration"
    verbs = ["get", "list"]
    return {"name": plural, "singularName": singular, "namespaced": namespaced, "kind": kind, "verbs": verbs}


def _group(version: str) -> dict[str, Any]:
    names = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [names], "preferredVersion": names}


_ANSWERS: dict[str, Any] = {
    "/version": {"major": "1", "minor": "29", "gitVersion": "v1.29.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(x) for x in _KINDS if "/" in x]},
} | {
    f"/{'apis' if '/' in version else 'api'}/{version}": {
        "kind": "APIResourceList",
        "groupVersion": version,
        "resources": [_resource(kind) for kind in kinds],
    }
    for version, kinds in _KINDS.items()
}


def _merged(old: Any, patch: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(patch, dict):
        return patch
    both = old | {key: _merged(old.get(key), value) for key, value in patch.items()}
    return {key: value for key, value in both.items() if value is not None}


class _Handler(BaseHTTPRequestHandler):
    store: Store

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        listed = [one for path, one in self.store.items() if path.rpartition("/")[0] == url.path]
        if found := _ANSWERS.get(url.path) or self.store.get(url.path):
            self._answer(200, found)
        elif url.query:
            (selector,) = parse_qs(url.query)["labelSelector"]
            wanted = dict(term.split("=") for term in selector.split(","))
            items = [one for one in listed if wanted.items() <= one["metadata"].get("labels", {}).items()]
            # Helm lists its releases, which are Secrets, and nothing else.
            self._answer(200, {"kind": "SecretList", "apiVersion": "v1", "items": items})
        else:
            self._missing()

    def do_POST(self) -> None:
        made = self._body()
        self._keep(f"{urlsplit(self.path).path}/{made['metadata']['name']}", made)

    def do_PUT(self) -> None:
        self._keep(urlsplit(self.path).path, self._body())

    def do_PATCH(self) -> None:
        path = urlsplit(self.path).path
        self._keep(path, _merged(self.store[path], self._body()))

    def do_DELETE(self) -> None:
        self._answer(200, self.store.pop(urlsplit(self.path).path))

    def _body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        return body

    def _keep(self, path: str, made: dict[str, Any]) -> None:
        self.store[path] = made
        self._answer(200, made)

    def _missing(self) -> None:
        self._answer(
            404,
            {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404},
        )

    def _answer(self, status: int, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the test says what went wrong."""


@contextmanager
def api_server() -> Iterator[tuple[str, Store]]:
    """Serve an empty store on a free port of loopback; yields the base URL and the store."""
    store: Store = {}
    handler = type("Handler", (_Handler,), {"store": store})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", store
        finally:
            server.shutdown()
            thread.join()
