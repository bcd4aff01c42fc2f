"""The rules of the restricted Pod Security Standard (tests/pod_security.py): each one bites, and only where it must."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from tests.pod_security import RULES, violations

CONTEXT: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
GOOD: dict[str, Any] = {
    "containers": [{"name": "app", "securityContext": CONTEXT}],
    "initContainers": [{"name": "side", "securityContext": CONTEXT, "ports": [{"containerPort": 8081}]}],
    "volumes": [
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "secret", "secret": {"secretName": "s"}},
    ],
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with the value at a dotted path set; a number is a list's index, and what is missing is made."""
    spec: dict[str, Any] = deepcopy(GOOD)
    place: Any = spec
    *parents, last = path.split(".")
    for step in parents:
        place = place[int(step)] if step.isdigit() else place.setdefault(step, {})
    place[int(last) if last.isdigit() else last] = value
    return spec


BROKEN = [
    ("HostProcess", "securityContext.windowsOptions.hostProcess", True),
    ("HostProcess", "initContainers.0.securityContext.windowsOptions.hostProcess", True),
    ("Host Namespaces", "hostNetwork", True),
    ("Host Namespaces", "hostPID", True),
    ("Host Namespaces", "hostIPC", True),
    ("Privileged Containers", "initContainers.0.securityContext.privileged", True),
    ("HostPath Volumes", "volumes.0", {"name": "x", "hostPath": {"path": "/"}}),
    ("Host Ports", "initContainers.0.ports.0.hostPort", 8081),
    ("Host Probes / Lifecycle Hooks", "containers.0.livenessProbe.httpGet.host", "10.0.0.1"),
    ("Host Probes / Lifecycle Hooks", "containers.0.lifecycle.preStop.tcpSocket.host", "10.0.0.1"),
    ("AppArmor", "securityContext.appArmorProfile.type", "Unconfined"),
    ("SELinux", "containers.0.securityContext.seLinuxOptions.type", "spc_t"),
    ("SELinux", "securityContext.seLinuxOptions.user", "root"),
    ("SELinux", "securityContext.seLinuxOptions.role", "sysadm_r"),
    ("/proc Mount Type", "containers.0.securityContext.procMount", "Unmasked"),
    ("Sysctls", "securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    ("Volume Types", "volumes.0", {"name": "x", "nfs": {"server": "s", "path": "/"}}),
    ("Privilege Escalation", "containers.0.securityContext.allowPrivilegeEscalation", True),
    ("Privilege Escalation", "containers.0.securityContext.allowPrivilegeEscalation", None),
    ("Privilege Escalation", "initContainers.0.securityContext", None),
    ("Running as Non-root", "containers.0.securityContext.runAsNonRoot", None),
    ("Running as Non-root", "containers.0.securityContext.runAsNonRoot", False),
    ("Running as Non-root", "securityContext.runAsNonRoot", False),
    ("Running as Non-root user", "containers.0.securityContext.runAsUser", 0),
    ("Running as Non-root user", "securityContext.runAsUser", 0),
    ("Seccomp", "containers.0.securityContext.seccompProfile", None),
    ("Seccomp", "containers.0.securityContext.seccompProfile.type", "Unconfined"),
    ("Seccomp", "securityContext.seccompProfile.type", "Unconfined"),
    ("Capabilities", "containers.0.securityContext.capabilities", None),
    ("Capabilities", "containers.0.securityContext.capabilities.drop", ["NET_RAW"]),
    ("Capabilities", "containers.0.securityContext.capabilities.add", ["SYS_ADMIN"]),
    ("Capabilities", "ephemeralContainers", [{"name": "debug"}]),
]


@pytest.mark.parametrize(("control", "path", "value"), BROKEN)
def test_a_broken_control_is_named(control: str, path: str, value: Any) -> None:
    """A spec with one forbidden setting is refused under that control's name."""
    assert any(found.startswith(f"{control}: ") for found in violations(changed(path, value)))


def test_every_control_has_a_case_that_breaks_it() -> None:
    """No rule stands in the table unproved."""
    assert {rule.control for rule in RULES} == {control for control, _, _ in BROKEN}


def test_a_restricted_pod_has_no_violations() -> None:
    """What keeps the standard is let through."""
    assert violations(GOOD) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("initContainers.0.securityContext.capabilities.add", ["NET_BIND_SERVICE"]),
        ("securityContext.sysctls", [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]),
        ("securityContext.appArmorProfile.type", "Localhost"),
        ("securityContext.seLinuxOptions.type", "container_t"),
        ("containers.0.securityContext.runAsUser", 65532),
        ("containers.0.livenessProbe.httpGet", {"path": "/", "port": 80}),
        ("initContainers.0.ports.0.hostPort", 0),
    ],
)
def test_what_the_standard_allows_is_let_through(path: str, value: Any) -> None:
    """Settings that look suspicious and are allowed are no violations."""
    assert violations(changed(path, value)) == []


def test_the_pods_own_context_counts_for_containers_that_say_nothing() -> None:
    """runAsNonRoot and seccompProfile may stand at the pod; the rest must stand at each container."""
    spec = deepcopy(GOOD)
    spec["securityContext"] = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    for container in spec["containers"] + spec["initContainers"]:
        container["securityContext"] = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert violations(spec) == []
    del spec["securityContext"]
    assert len(violations(spec)) == 4
