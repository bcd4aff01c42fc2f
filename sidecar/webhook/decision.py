"""What becomes of a pod: the table of all cases, in the order in which they are looked at.

Owns the rules and the words of a refusal. A pod that did not ask is never touched; one that did gets its sidecar or is
refused with all reasons at once, because a pod that silently lacks it is found out much later. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from sidecar.webhook.patch import injection
from sidecar.webhook.pod import Container, Pod, annotations_of
from sidecar.webhook.reading import mapping, quoted
from sidecar.webhook.review import Decision, Review
from sidecar.webhook.template import NAME, Template
from sidecar.webhook.wishes import ADMIN_PORT, INJECT, INJECTED, PORT, SECRET, STATUS, Wishes, asked, wishes

_MOST = 8  # reasons and warnings that are said
_GRACE = 30  # seconds: the sidecar's drain takes up to 25
_UNTOUCHED = Decision("untouched")


def decide(template: Template, review: Review) -> Decision:
    """Raises Malformed when the pod is not as Kubernetes writes it."""
    if review.pod is None or not asked(annotations_of(mapping(review.pod, "metadata", "request.object"))):
        return _UNTOUCHED
    pod = Pod.of(review.pod)
    if any(one.name == NAME for one in pod.containers):
        return _there_already(pod)
    wanted = wishes(pod.annotations)
    reasons = [
        *wanted.problems,
        *_where_it_cannot_be(pod),
        *_missing(template, wanted),
        *_clashes(template, pod, wanted),
    ]
    if reasons:
        return Decision("refused", reasons=_bounded(reasons))
    return Decision(
        "injected",
        patch=injection(pod, template, wanted),
        warnings=_bounded([*wanted.warnings, *_doubts(pod)]),
        facts={"configmap": wanted.configmap, "secret": wanted.secret or template.secret},
    )


def _there_already(pod: Pod) -> Decision:
    """Asked again, about our own work or about a pod copied from one; else the container is somebody else's."""
    if pod.annotations.get(STATUS) == INJECTED:
        return _UNTOUCHED
    return Decision(
        "untouched",
        warnings=[
            f"the pod has a container {NAME} of its own, so {INJECT} puts none in; take one of the two out"
        ],
    )


def _where_it_cannot_be(pod: Pod) -> Iterator[str]:
    if pod.windows:
        yield f"the sidecar does not run on Windows; take {INJECT} out, or run the pod on Linux"
    if pod.host_network:
        yield (
            "the pod is on the host's network (hostNetwork), where everything on the node could use the sidecar's "
            "tokens; take hostNetwork out"
        )


def _missing(template: Template, wanted: Wishes) -> Iterator[str]:
    if not template.secret and wanted.secret is None and not any(SECRET in one for one in wanted.problems):
        yield f"no Secret is named; add the annotation {SECRET} with the name of the one that has client_secret"


def _clashes(template: Template, pod: Pod, wanted: Wishes) -> Iterator[str]:
    for name in dict.fromkeys(volume["name"] for volume in template.volumes if volume["name"] in pod.volumes):
        yield f"the pod has a volume {quoted(name)}, which is the sidecar's name for its own; give it another name"
    listen, admin = wanted.port or template.listen.port, wanted.admin_port or template.admin.port
    if listen == admin:
        yield f"the sidecar cannot have port {listen} twice; let {PORT} and {ADMIN_PORT} be different"
    taken = {port.number for one in pod.containers for port in one.ports} | {listen, admin}
    for number, annotation in ((listen, PORT), (admin, ADMIN_PORT)):
        holders = [one.name for one in pod.containers if _listens(one, number)]
        free = _free(number, taken) if holders else number
        for holder in holders:
            yield (
                f"container {quoted(holder)} has port {number}, where the sidecar would listen; add the annotation "
                f'{annotation}: "{free}", or another free port'
            )
    for one in pod.containers:
        yield from _on_the_node(template, one)


def _listens(one: Container, number: int) -> bool:
    return any(port.number == number and port.protocol == "TCP" for port in one.ports)


def _on_the_node(template: Template, one: Container) -> Iterator[str]:
    """Only if the settings give the sidecar a port of the node."""
    ours = {(port.protocol, port.host) for port in template.ports if port.host}
    for protocol, number in sorted({(port.protocol, port.host) for port in one.ports if port.host} & ours):
        yield (
            f"container {quoted(one.name)} has hostPort {number} ({protocol}), and so has the sidecar; take one of the "
            "two out"
        )


def _free(number: int, taken: set[int | None]) -> int:
    """A port nearby that no container says it has."""
    near = chain(range(number + 100, 65_536), range(1024, number))
    return next((port for port in near if port not in taken), number)


def _doubts(pod: Pod) -> Iterator[str]:
    if pod.shares_processes:
        yield (
            "with shareProcessNamespace or hostPID, others may see the sidecar's files and memory, and so its client "
            "secret; take it out where you can"
        )
    if pod.grace_period < _GRACE:
        yield (
            f"terminationGracePeriodSeconds is {pod.grace_period}: the sidecar is killed before it has let requests "
            f"finish; write {_GRACE} or more"
        )


def _bounded(said: list[str]) -> list[str]:
    more = len(said) - _MOST
    return said if more <= 0 else [*said[:_MOST], f"and {more} more"]
