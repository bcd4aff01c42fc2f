"""Judge custom resources by their definitions' schemas; runs under `.chart/bin/python`, which has these as models.

Reads objects as a JSON list on stdin, prints what is wrong with them as a JSON list of sentences. The schemas are those
of the Prometheus operator and of cert-manager (the packages cloudcoil-models-*, made from the definitions these
projects publish), closed: an API server drops a field that is not in the definition, here it is an error.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from cloudcoil.models.cert_manager import v1 as cert_manager
from cloudcoil.models.prometheus_operator import v1 as prometheus_operator
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

GROUPS = {"cert-manager.io/v1": cert_manager, "monitoring.coreos.com/v1": prometheus_operator}


def closed(node: Any) -> Any:
    """The schema with no further properties allowed where it lists properties at all."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


def wrong(resource: dict[str, Any]) -> Iterator[str]:
    model = getattr(GROUPS[resource["apiVersion"]], resource["kind"])
    validator = Draft202012Validator(closed(model.model_json_schema(by_alias=True)))
    for error in validator.iter_errors(resource):
        yield f"{resource['kind']} {resource['metadata']['name']}: {error.json_path}: {error.message}"


print(json.dumps([found for resource in json.load(sys.stdin) for found in wrong(resource)]))
