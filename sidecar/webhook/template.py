"""What is put into a pod: the container and the volumes of the settings, and where in them something is filled in.

Owns what is relied on in them, and the complaint when it is not there; everything else is passed on unseen. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidecar.config.network import TcpAddress, address
from sidecar.config.wording import Complaint, Loc
from sidecar.webhook.pod import Port, ports_of
from sidecar.webhook.reading import Malformed, Object

NAME = "auth-sidecar"
CONFIG_VOLUME = "auth-sidecar-config"
SECRET_VOLUME = "auth-sidecar-secret"  # noqa: S105 - a volume's name
ADMIN = "admin"
LISTEN_ENV = "AUTH_SIDECAR_LISTEN"
ADMIN_ENV = "AUTH_SIDECAR_ADMIN"
_DEFAULTS = {LISTEN_ENV: TcpAddress("127.0.0.1", 8080), ADMIN_ENV: TcpAddress("0.0.0.0", 8081)}  # noqa: S104


@dataclass(frozen=True, slots=True)
class Template:
    """The settings' container and volumes, with what was found in them."""

    container: Object
    volumes: Sequence[Object]
    base_url_env: str
    listen: TcpAddress  # where the app finds the sidecar
    admin: TcpAddress  # where the kubelet finds it
    secret: str  # name of the Secret, empty when pods have to name it
    ports: Sequence[Port]

    @classmethod
    def of(cls, container: Object, volumes: Sequence[Object], base_url_env: str) -> Template:
        """Of a container and volumes that `flaws` has nothing to say about."""
        env = _env(container)
        (secret,) = (volume["secret"] for volume in volumes if volume["name"] == SECRET_VOLUME)
        return cls(
            container,
            volumes,
            base_url_env,
            _address(env, LISTEN_ENV),
            _address(env, ADMIN_ENV),
            secret.get("secretName") or "",
            ports_of(container, "container"),
        )


def flaws(container: Object, volumes: Sequence[Object]) -> Iterator[Complaint]:
    """What would keep an injected sidecar from being found, from starting, or a pod from ending."""
    if container.get("name") != NAME:
        yield Complaint(("container", "name"), f"is not {NAME}, which it is known by; write name: {NAME}")
    if container.get("restartPolicy") != "Always":
        yield Complaint(
            ("container", "restartPolicy"),
            "is not Always: pods would wait for an init container that never ends; write restartPolicy: Always",
        )
    yield from _ports(container)
    yield from _volume(volumes, CONFIG_VOLUME, "configMap")
    yield from _volume(volumes, SECRET_VOLUME, "secret")
    for index, volume in enumerate(volumes):
        if not isinstance(volume.get("name"), str) or not volume["name"]:
            yield Complaint(("volumes", index, "name"), "is missing; add it")


def _ports(container: Object) -> Iterator[Complaint]:
    at: Loc = ("container", "env")
    try:
        env = _env(container)
        ports_of(container, "container")
    except (Malformed, AttributeError, TypeError):
        yield Complaint(
            ("container",), "has env or ports that are no lists of mappings; write them as in a pod"
        )
        return
    found: dict[str, TcpAddress] = {}
    for name in (LISTEN_ENV, ADMIN_ENV):
        try:
            found[name] = _address(env, name)
        except ValueError as error:
            yield Complaint(at, f"{name} {error}")
    listen, admin = found.get(LISTEN_ENV), found.get(ADMIN_ENV)
    if listen is not None and not listen.is_loopback:
        yield Complaint(
            at,
            f"{LISTEN_ENV} is not a loopback address: other pods could use the tokens; write 127.0.0.1:PORT",
        )
    named = [port.get("containerPort") for port in container.get("ports") or () if port.get("name") == ADMIN]
    if admin is not None and named != [admin.port]:
        yield Complaint(
            ("container", "ports"),
            f"needs one port named {ADMIN}, with the port of {ADMIN_ENV}: probes find the sidecar by it; add it",
        )


def _volume(volumes: Sequence[Object], name: str, kind: str) -> Iterator[Complaint]:
    found = [index for index, volume in enumerate(volumes) if volume.get("name") == name]
    if len(found) != 1:
        yield Complaint(("volumes",), f"needs one volume {name}, of kind {kind}; add it")
    elif not isinstance(volumes[found[0]].get(kind), dict):
        yield Complaint(
            ("volumes", found[0]), f"is not of kind {kind}, whose name is filled in; write {kind}:"
        )


def _env(container: Object) -> Mapping[str, object]:
    return {variable.get("name"): variable.get("value") for variable in container.get("env") or ()}


def _address(env: Mapping[str, object], name: str) -> TcpAddress:
    found = address(env[name]) if name in env else _DEFAULTS[name]
    if not isinstance(found, TcpAddress):
        raise ValueError("is a unix socket, which the app and the kubelet cannot find; write HOST:PORT")
    return found
