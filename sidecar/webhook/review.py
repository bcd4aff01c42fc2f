"""An AdmissionReview (admission.k8s.io/v1): read from the request's body, and answered.

Owns what a review must be to be answered, which of them are about a new pod, and the shape of the answer. Pure.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sidecar.webhook.reading import Malformed, Object, flag, mapping, string

Outcome = Literal["injected", "untouched", "refused"]

_VERSION = "admission.k8s.io/v1"
_MAX_UID = 256  # the API server's have 36 characters
# Objects, lists and items: parsed, a body can be 50 times as large, and memory is limited. A pod with a megabyte of
# managedFields has 100,000.
_MAX_PARTS = 250_000
_POD = {"group": "", "version": "v1", "kind": "Pod"}
_FORBIDDEN = 403


@dataclass(frozen=True, slots=True)
class Review:
    """What is asked; `pod` is None when it is not about creating a pod."""

    uid: str
    namespace: str
    dry_run: bool
    pod: Object | None = field(repr=False)  # environment variables are in it


@dataclass(frozen=True, slots=True)
class Decision:
    """What is answered. A patch only when injected, reasons only when refused."""

    outcome: Outcome
    patch: Sequence[Object] = ()
    reasons: Sequence[str] = ()
    warnings: Sequence[str] = ()
    facts: Object = field(default_factory=dict)  # for the log: what was put in


def read(raw: bytes) -> Review:
    """Raises Malformed."""
    document = _document(raw)
    if document.get("kind") != "AdmissionReview":
        raise Malformed("the body is no AdmissionReview")
    version = document.get("apiVersion")
    if version == "admission.k8s.io/v1beta1":
        raise Malformed(
            "admission.k8s.io/v1beta1 is not supported; write admissionReviewVersions: [v1] into the "
            "MutatingWebhookConfiguration"
        )
    if version != _VERSION:
        raise Malformed(f"apiVersion is not {_VERSION}")
    request = mapping(document, "request", "the review")
    uid = string(request, "uid", "request")
    if not 0 < len(uid) <= _MAX_UID:
        raise Malformed("request.uid is missing or too long")
    return Review(
        uid,
        string(request, "namespace", "request"),
        flag(request, "dryRun", "request"),
        _new_pod(request),
    )


def answer(uid: str, decision: Decision) -> Object:
    """The AdmissionReview that answers the one with this uid."""
    response: Object = {"uid": uid, "allowed": decision.outcome != "refused"}
    if decision.patch:
        response["patchType"] = "JSONPatch"
        response["patch"] = base64.b64encode(json.dumps(list(decision.patch)).encode()).decode()
    if decision.reasons:
        response["status"] = status(_FORBIDDEN, "Forbidden", ". ".join(decision.reasons))
    if decision.warnings:
        response["warnings"] = list(decision.warnings)
    return {"apiVersion": _VERSION, "kind": "AdmissionReview", "response": response}


def status(code: int, reason: str, message: str) -> Object:
    """Kubernetes' Status: what an API server shows of a refusal or a failed call."""
    return {
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": message,
    }  # fmt: skip


def _document(raw: bytes) -> Object:
    if raw.count(b"{") + raw.count(b"[") + raw.count(b",") > _MAX_PARTS:
        raise Malformed("the body has more parts than any pod has")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, a number too long, nested too deep
        raise Malformed("the body is not JSON") from None
    if not isinstance(found, dict):
        raise Malformed("the body is not a JSON object")
    return found


def _new_pod(request: Object) -> Object | None:
    """The pod that is created, else None: an update, a deletion, a subresource such as pods/ephemeralcontainers."""
    operation = string(request, "operation", "request")
    subresource = string(request, "subResource", "request")
    kind = mapping(request, "kind", "request")
    if operation != "CREATE" or subresource or {**_POD, **kind} != _POD or not kind:
        return None
    pod = mapping(request, "object", "request")
    if not pod:
        raise Malformed("request.object is missing")
    return pod
