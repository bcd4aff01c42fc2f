"""Kubernetes' own objects inside our YAML: passed on as they stand.

Owns what an unquoted scalar becomes, which is what kubectl makes of it: true and false, decimal and octal numbers and
null; anything else is text. Knows no key of Kubernetes. Pure.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import PlainValidator

from sidecar.config.scalars import Bare, integer, number


def verbatim(value: Any) -> Any:
    """The value as Kubernetes' JSON."""
    if isinstance(value, dict):
        return {key: verbatim(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [verbatim(inner) for inner in value]
    return _scalar(value) if isinstance(value, Bare) else value


def _scalar(value: Bare) -> object:
    if value in ("true", "false"):
        return value == "true"
    if value.isdigit() and value[0] == "0" and len(value) > 1:
        return int(value, 8)  # defaultMode: 0444
    try:
        return integer(value)
    except ValueError:
        return number(value)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("is not a mapping; write the object as it would stand in a pod")
    found: dict[str, Any] = verbatim(value)
    return found


def _objects(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError("is not a list of mappings; write the objects as they would stand in a pod")
    found: list[dict[str, Any]] = verbatim(value)
    return found


KubernetesObject = Annotated[dict[str, Any], PlainValidator(_object)]
KubernetesObjects = Annotated[list[dict[str, Any]], PlainValidator(_objects)]
