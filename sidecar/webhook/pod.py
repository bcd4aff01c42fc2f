"""A pod as it is about to be created: what the decision looks at, and no more.

Owns where these things are in Kubernetes' Pod. Nothing has been validated yet when a mutating webhook is asked. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sidecar.webhook.reading import Malformed, Object, flag, integer, mapping, objects, string

Group = Literal["initContainers", "containers"]

_OS_LABEL = "kubernetes.io/os"
_AT = "request.object"
_MOST = 1000  # containers in one list: no pod has so many, and nobody may keep the event loop busy with more


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a container; `host` is the node's, when it has one."""

    number: int | None
    host: int | None
    protocol: str


@dataclass(frozen=True, slots=True)
class Container:
    """One container, and where it is: `spec.GROUP[INDEX]`."""

    name: str
    group: Group
    index: int
    ports: Sequence[Port]
    env: Sequence[str]  # the names
    has_env: bool  # whether the list itself is there


@dataclass(frozen=True, slots=True)
class Pod:
    """The whole of it."""

    name: str  # what the name will begin with, while a controller has only said that
    annotations: Mapping[str, str]
    containers: Sequence[Container]  # init containers first
    volumes: Sequence[str]  # the names
    has_init_containers: bool  # whether the list itself is there
    has_volumes: bool
    host_network: bool
    shares_processes: bool
    windows: bool
    grace_period: int  # seconds

    @classmethod
    def of(cls, found: Object) -> Pod:
        """Raises Malformed."""
        metadata, spec = mapping(found, "metadata", _AT), mapping(found, "spec", _AT)
        at = f"{_AT}.spec"
        system = string(mapping(spec, "os", at), "name", f"{at}.os")
        node = mapping(spec, "nodeSelector", at).get(_OS_LABEL)
        grace = integer(spec, "terminationGracePeriodSeconds", at)
        return cls(
            name=name_of(metadata),
            annotations=annotations_of(metadata),
            containers=[*_containers(spec, "initContainers"), *_containers(spec, "containers")],
            volumes=[string(volume, "name", f"{at}.volumes") for volume in objects(spec, "volumes", at)],
            has_init_containers=spec.get("initContainers") is not None,
            has_volumes=spec.get("volumes") is not None,
            host_network=flag(spec, "hostNetwork", at),
            shares_processes=flag(spec, "shareProcessNamespace", at) or flag(spec, "hostPID", at),
            windows="windows" in (system, node),
            grace_period=30 if grace is None else grace,  # Kubernetes' default
        )


def name_of(metadata: Object) -> str:
    """`metadata.name`, or what it is going to be made from. Raises Malformed."""
    at = f"{_AT}.metadata"
    return string(metadata, "name", at) or string(metadata, "generateName", at)


def annotations_of(metadata: Object) -> Mapping[str, str]:
    """Raises Malformed."""
    found = mapping(metadata, "annotations", f"{_AT}.metadata")
    if not all(isinstance(value, str) for value in found.values()):
        raise Malformed(f"{_AT}.metadata.annotations has a value that is not a string")
    return found


def ports_of(container: Object, at: str) -> list[Port]:
    """Raises Malformed."""
    return [_port(port, f"{at}.ports") for port in objects(container, "ports", at)]


def _port(port: Object, at: str) -> Port:
    return Port(
        integer(port, "containerPort", at),
        integer(port, "hostPort", at) or None,
        string(port, "protocol", at) or "TCP",
    )


def _containers(spec: Object, group: Group) -> list[Container]:
    found, given = [], objects(spec, group, f"{_AT}.spec")
    if len(given) > _MOST:
        raise Malformed(f"{_AT}.spec.{group} has more than {_MOST} items")
    for index, container in enumerate(given):
        at = f"{_AT}.spec.{group}[{index}]"
        env = [string(variable, "name", f"{at}.env") for variable in objects(container, "env", at)]
        ports = ports_of(container, at)
        name = string(container, "name", at)
        found.append(Container(name, group, index, ports, env, container.get("env") is not None))
    return found
