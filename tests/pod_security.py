"""The "restricted" Pod Security Standard, written out as a table of rules over a pod's spec.

The rules are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/ as of Kubernetes 1.34,
"baseline" included, since "restricted" contains it. Where a Windows pod (`os.name`) is let off a rule, this module is
stricter and lets nobody off. What the standard reads from a pod's metadata (the AppArmor annotation of Kubernetes
before 1.30) is not in a spec and is not looked at.

It knows nothing of this project: a spec goes in, sentences come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

Spec = Mapping[str, Any]

CAPABILITIES = frozenset({"NET_BIND_SERVICE"})  # all that "restricted" lets a container add
VOLUME_TYPES = frozenset(
    {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
)
SELINUX_TYPES = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})
SAFE_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)
PROFILES = frozenset({"RuntimeDefault", "Localhost"})


class Rule(NamedTuple):
    """One control of the standard: its name there, its level, and what finds the places that break it."""

    control: str
    level: str  # baseline | restricted
    broken: Callable[[Spec], Iterator[str]]


def containers(spec: Spec) -> Iterator[tuple[str, Spec]]:
    """Every container of a pod with the name it goes by in a message: the ordinary, the init and the ephemeral ones."""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        for number, container in enumerate(spec.get(kind) or []):
            yield f"{kind}[{container.get('name', number)}]", container


def _context(owner: Spec) -> Spec:
    return owner.get("securityContext") or {}


def _contexts(spec: Spec) -> Iterator[tuple[str, Spec]]:
    yield "spec", _context(spec)
    for name, container in containers(spec):
        yield name, _context(container)


def _host_process(spec: Spec) -> Iterator[str]:
    for where, context in _contexts(spec):
        if (context.get("windowsOptions") or {}).get("hostProcess"):
            yield f"{where}: windowsOptions.hostProcess is true"


def _host_namespaces(spec: Spec) -> Iterator[str]:
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(key):
            yield f"spec: {key} is true"


def _privileged(spec: Spec) -> Iterator[str]:
    for where, context in _contexts(spec):
        if context.get("privileged"):
            yield f"{where}: privileged is true"


def _host_path(spec: Spec) -> Iterator[str]:
    for volume in spec.get("volumes") or []:
        if "hostPath" in volume:
            yield f"volumes[{volume.get('name')}]: hostPath"


def _host_ports(spec: Spec) -> Iterator[str]:
    for where, container in containers(spec):
        for port in container.get("ports") or []:
            if port.get("hostPort"):
                yield f"{where}: hostPort {port['hostPort']}"


def _host_of_probes(spec: Spec) -> Iterator[str]:
    for where, container in containers(spec):
        lifecycle = container.get("lifecycle") or {}
        handlers = {key: container.get(key) for key in ("livenessProbe", "readinessProbe", "startupProbe")}
        handlers |= {f"lifecycle.{key}": lifecycle.get(key) for key in ("postStart", "preStop")}
        for key, handler in handlers.items():
            for action in ("httpGet", "tcpSocket"):
                host = ((handler or {}).get(action) or {}).get("host")
                if host:
                    yield f"{where}: {key}.{action}.host is {host}"


def _apparmor(spec: Spec) -> Iterator[str]:
    for where, context in _contexts(spec):
        kind = (context.get("appArmorProfile") or {}).get("type")
        if kind is not None and kind not in PROFILES:
            yield f"{where}: appArmorProfile.type is {kind}"


def _selinux(spec: Spec) -> Iterator[str]:
    for where, context in _contexts(spec):
        options = context.get("seLinuxOptions") or {}
        if (options.get("type") or "") not in SELINUX_TYPES:
            yield f"{where}: seLinuxOptions.type is {options['type']}"
        for key in ("user", "role"):
            if options.get(key):
                yield f"{where}: seLinuxOptions.{key} is set"


def _proc_mount(spec: Spec) -> Iterator[str]:
    for where, context in _contexts(spec):
        if context.get("procMount") not in (None, "Default"):
            yield f"{where}: procMount is {context['procMount']}"


def _sysctls(spec: Spec) -> Iterator[str]:
    for sysctl in _context(spec).get("sysctls") or []:
        if sysctl.get("name") not in SAFE_SYSCTLS:
            yield f"spec: sysctl {sysctl.get('name')} is not one of the safe ones"


def _volume_types(spec: Spec) -> Iterator[str]:
    for volume in spec.get("volumes") or []:
        for kind in volume.keys() - {"name"} - VOLUME_TYPES:
            yield f"volumes[{volume.get('name')}]: {kind} is not an allowed type"


def _privilege_escalation(spec: Spec) -> Iterator[str]:
    for where, container in containers(spec):
        if _context(container).get("allowPrivilegeEscalation") is not False:
            yield f"{where}: allowPrivilegeEscalation is not false"


def _non_root(spec: Spec) -> Iterator[str]:
    pod = _context(spec).get("runAsNonRoot")
    if pod is False:
        yield "spec: runAsNonRoot is false"
    for where, container in containers(spec):
        own = _context(container).get("runAsNonRoot")
        if (pod if own is None else own) is not True:
            yield f"{where}: runAsNonRoot is not true"


def _root_user(spec: Spec) -> Iterator[str]:
    for where, context in _contexts(spec):
        if context.get("runAsUser") == 0:
            yield f"{where}: runAsUser is 0"


def _seccomp(spec: Spec) -> Iterator[str]:
    pod = (_context(spec).get("seccompProfile") or {}).get("type")
    if pod is not None and pod not in PROFILES:
        yield f"spec: seccompProfile.type is {pod}"
    for where, container in containers(spec):
        own = (_context(container).get("seccompProfile") or {}).get("type")
        effective = pod if own is None else own
        if effective not in PROFILES:
            yield f"{where}: seccompProfile.type is {effective or 'not set'}"


def _capabilities(spec: Spec) -> Iterator[str]:
    for where, container in containers(spec):
        capabilities = _context(container).get("capabilities") or {}
        if "ALL" not in (capabilities.get("drop") or []):
            yield f"{where}: capabilities.drop has no ALL"
        for name in capabilities.get("add") or []:
            if name not in CAPABILITIES:
                yield f"{where}: capabilities.add has {name}"


# Baseline's own rules on capabilities and seccomp are contained in restricted's, which stand here in their place.
RULES: tuple[Rule, ...] = (
    Rule("HostProcess", "baseline", _host_process),
    Rule("Host Namespaces", "baseline", _host_namespaces),
    Rule("Privileged Containers", "baseline", _privileged),
    Rule("HostPath Volumes", "baseline", _host_path),
    Rule("Host Ports", "baseline", _host_ports),
    Rule("Host Probes / Lifecycle Hooks", "baseline", _host_of_probes),
    Rule("AppArmor", "baseline", _apparmor),
    Rule("SELinux", "baseline", _selinux),
    Rule("/proc Mount Type", "baseline", _proc_mount),
    Rule("Sysctls", "baseline", _sysctls),
    Rule("Volume Types", "restricted", _volume_types),
    Rule("Privilege Escalation", "restricted", _privilege_escalation),
    Rule("Running as Non-root", "restricted", _non_root),
    Rule("Running as Non-root user", "restricted", _root_user),
    Rule("Seccomp", "restricted", _seccomp),
    Rule("Capabilities", "restricted", _capabilities),
)


def violations(pod_spec: Spec) -> list[str]:
    """What in a pod's spec the restricted standard forbids, as `CONTROL: WHERE: WHAT`; empty when it is kept."""
    return [f"{rule.control}: {found}" for rule in RULES for found in rule.broken(pod_spec)]
