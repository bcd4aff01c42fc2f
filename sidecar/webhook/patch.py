"""From a pod and what it asks for to the JSON Patch (RFC 6902) that puts the sidecar in.

Owns where in the pod things go. Nothing that is there is replaced or moved, but that the sidecar comes first: an init
container that calls the API finds it running, and it outlives every container of the pod. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.config.network import TcpAddress
from sidecar.webhook.pod import Pod
from sidecar.webhook.reading import Object
from sidecar.webhook.template import (
    ADMIN,
    ADMIN_ENV,
    CONFIG_VOLUME,
    LISTEN_ENV,
    SECRET_VOLUME,
    Template,
)
from sidecar.webhook.wishes import INJECTED, STATUS, Wishes


def injection(pod: Pod, template: Template, wishes: Wishes) -> list[Object]:
    """The operations, in the order in which they have to be applied."""
    return [
        *_base_urls(pod, template, wishes),  # first: these count init containers as they are now
        *_volumes(pod, template, wishes),
        _container(pod, container(template, wishes)),
        _add(INJECTED, "metadata", "annotations", STATUS),
    ]


def container(template: Template, wishes: Wishes) -> Object:
    """The sidecar, as this pod wants it."""
    made = dict(template.container)
    if wishes.port is not None:
        made["env"] = _with_env(made, LISTEN_ENV, TcpAddress(template.listen.host, wishes.port))
    if wishes.admin_port is not None:
        made["env"] = _with_env(made, ADMIN_ENV, TcpAddress(template.admin.host, wishes.admin_port))
        made["ports"] = [
            {**port, "containerPort": wishes.admin_port} if port.get("name") == ADMIN else port
            for port in made["ports"]
        ]
    if wishes.resources is not None:
        made["resources"] = wishes.resources
    return made


def _with_env(made: Object, name: str, value: TcpAddress) -> list[Object]:
    env = list(made.get("env") or ())
    if not any(variable.get("name") == name for variable in env):
        return [*env, {"name": name, "value": str(value)}]
    return [{"name": name, "value": str(value)} if one.get("name") == name else one for one in env]


def _base_urls(pod: Pod, template: Template, wishes: Wishes) -> Iterator[Object]:
    """Who has a variable of that name knows better. In front, where other variables can refer to it."""
    url = f"http://{TcpAddress(template.listen.host, wishes.port or template.listen.port)}"
    variable = {"name": template.base_url_env, "value": url}
    for one in pod.containers:
        if template.base_url_env in one.env:
            continue
        if one.has_env:
            yield _add(variable, "spec", one.group, one.index, "env", 0)
        else:
            yield _add([variable], "spec", one.group, one.index, "env")


def _volumes(pod: Pod, template: Template, wishes: Wishes) -> Iterator[Object]:
    volumes = [_volume(volume, template, wishes) for volume in template.volumes]
    if not pod.has_volumes:
        yield _add(volumes, "spec", "volumes")
        return
    for volume in volumes:
        yield _add(volume, "spec", "volumes", "-")


def _volume(volume: Object, template: Template, wishes: Wishes) -> Object:
    if volume["name"] == CONFIG_VOLUME:
        return {**volume, "configMap": {**volume["configMap"], "name": wishes.configmap}}
    if volume["name"] == SECRET_VOLUME:
        secret = wishes.secret or template.secret
        return {**volume, "secret": {**volume["secret"], "secretName": secret}}
    return volume


def _container(pod: Pod, made: Object) -> Object:
    if pod.has_init_containers:
        return _add(made, "spec", "initContainers", 0)
    return _add([made], "spec", "initContainers")


def _add(value: object, *path: str | int) -> Object:
    """RFC 6902 section 4.1, the path as in RFC 6901."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return {"op": "add", "path": "".join(f"/{part}" for part in parts), "value": value}
