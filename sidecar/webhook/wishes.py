"""What a pod asks for: the annotations, read and checked.

Owns their names and what may stand in them. A complaint says what to do; it never repeats a value beyond a name. Pure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from sidecar.config.wording import suggestion
from sidecar.webhook.reading import Object, quoted

PREFIX = "auth-sidecar/"
INJECT = f"{PREFIX}inject"
SECRET = f"{PREFIX}secret"
PORT = f"{PREFIX}port"
ADMIN_PORT = f"{PREFIX}admin-port"
RESOURCES = f"{PREFIX}resources"
STATUS = f"{PREFIX}status"
INJECTED = "injected"
_KNOWN = (INJECT, SECRET, PORT, ADMIN_PORT, RESOURCES, STATUS)

# RFC 1123 label, and several of them with dots: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_SUBDOMAIN = 253
_PORT = re.compile(r"[1-9][0-9]{3,4}")
_LOWEST_PORT, _HIGHEST_PORT = 1024, 65535  # the sidecar is nobody who may listen below
_QUANTITY = re.compile(r"\+?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")
_RESOURCE = re.compile(r"cpu|memory|ephemeral-storage|hugepages-[0-9A-Za-z]+|[a-z0-9.-]+/[A-Za-z0-9._-]+")
_MAX_QUANTITY = 40
_LARGEST = 2**63 - 1
_MAX_JSON = 4096
_MOST = 3  # unknown annotations that are told


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wishes:
    """What goes into the pod; None: as the settings say."""

    configmap: str
    secret: str | None
    port: int | None
    admin_port: int | None
    resources: Object | None
    problems: Sequence[str]  # "what is wrong; what to do"
    warnings: Sequence[str]


def asked(annotations: Mapping[str, str]) -> bool:
    """Whether the pod asks at all; "false" is how one says no where an annotation cannot be taken out."""
    return annotations.get(INJECT, "false") != "false"


def wishes(annotations: Mapping[str, str]) -> Wishes:
    """Everything that is asked for, and everything that is wrong with it."""
    problems: list[str] = []

    def read(name: str, parse: Callable[[str], T]) -> T | None:
        if name not in annotations:
            return None
        try:
            return parse(annotations[name])
        except ValueError as error:
            problems.append(f"annotation {name} {error}")
            return None

    return Wishes(
        configmap=read(INJECT, _configmap) or "",
        secret=read(SECRET, _secret),
        port=read(PORT, _port),
        admin_port=read(ADMIN_PORT, _port),
        resources=read(RESOURCES, _resources),
        problems=problems,
        warnings=list(_unknown(annotations)),
    )


def _unknown(annotations: Mapping[str, str]) -> Iterator[str]:
    strange = (name for name in annotations if name.startswith(PREFIX) and name not in _KNOWN)
    for name in islice(strange, _MOST):
        yield f"unknown annotation {quoted(name)}; {suggestion(name, _KNOWN)}"


def _configmap(value: str) -> str:
    if not _is_name(value) or value == "true":
        raise ValueError(
            'names no ConfigMap; write the name of the ConfigMap that has the key sidecar.yaml, or "false" '
            "for no sidecar"
        )
    return value


def _secret(value: str) -> str:
    if not _is_name(value):
        raise ValueError("names no Secret; write the name of the Secret that has the key client_secret")
    return value


def _is_name(value: str) -> bool:
    return len(value) <= _MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(value) is not None


def _port(value: str) -> int:
    if _PORT.fullmatch(value) and _LOWEST_PORT <= int(value) <= _HIGHEST_PORT:
        return int(value)
    raise ValueError(f'is not a port from {_LOWEST_PORT} to {_HIGHEST_PORT}; write one, in quotes: "8180"')


def _resources(value: str) -> Object:
    """A container's `resources`, as JSON."""
    hint = 'write something like {"requests": {"cpu": "50m"}, "limits": {"memory": "128Mi"}}'
    try:
        found = json.loads(value[: _MAX_JSON + 1])
    except (ValueError, RecursionError):
        raise ValueError(f"is not JSON of at most {_MAX_JSON} characters; {hint}") from None
    if not isinstance(found, dict) or found.keys() - {"limits", "requests"}:
        raise ValueError(f"is not an object of limits and requests; {hint}")
    for amounts in found.values():
        if not isinstance(amounts, dict):
            raise ValueError(f"has limits or requests that are no object; {hint}")
        for resource, amount in amounts.items():
            if not _RESOURCE.fullmatch(resource):
                raise ValueError("names a resource that containers do not have; write cpu or memory")
            if not _is_quantity(amount):
                raise ValueError(f"has an amount of {quoted(resource)} that is no quantity; {hint}")
    return found


def _is_quantity(amount: object) -> bool:
    """https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/, not negative."""
    if isinstance(amount, str):
        return len(amount) <= _MAX_QUANTITY and _QUANTITY.fullmatch(amount) is not None
    if isinstance(amount, bool) or not isinstance(amount, int | float):
        return False
    return 0 <= amount <= _LARGEST  # neither NaN nor infinity is
