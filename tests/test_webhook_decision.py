"""What becomes of a pod: the table of cases, each a review as an API server posts it, over TLS."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.pod_security import violations
from tests.webhook_harness import Asked, patch_of, patched, webhook
from tests.webhook_pods import INJECTED, RESTRICTED, Object, asking, container, job, pod, review

URL = {"name": "EGAIN_BASE_URL", "value": "http://127.0.0.1:8080"}
SIDECAR: Object = yaml.safe_load(INJECTED)["container"]
CONFIG = {"name": "auth-sidecar-config", "configMap": {"name": "orders-sidecar", "optional": False}}
SECRET = {
    "name": "auth-sidecar-secret",
    "secret": {"secretName": "egain-client", "defaultMode": 0o444, "optional": False},
}


@pytest.fixture
async def asked(tmp_path: Path) -> AsyncIterator[Asked]:
    async with webhook(tmp_path) as found:
        yield found


def sidecar(**changes: Any) -> Object:
    """The container that is expected."""
    return {**copy.deepcopy(SIDECAR), **changes}


def expected(
    before: Object, made: Object | None = None, url: Object = URL, volumes: Any = (CONFIG, SECRET)
) -> Object:
    """The pod that is expected: nothing gone, nothing moved."""
    after = copy.deepcopy(before)
    spec = after["spec"]
    for one in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        if not any(variable["name"] == url["name"] for variable in one.get("env") or ()):
            one["env"] = [url, *(one.get("env") or ())]
    spec["initContainers"] = [made or sidecar(), *(spec.get("initContainers") or ())]
    spec["volumes"] = [*(spec.get("volumes") or ()), *volumes]
    after["metadata"]["annotations"]["auth-sidecar/status"] = "injected"
    return after


def without(found: Object, *keys: str) -> Object:
    """A pod whose spec lacks some keys."""
    for key in keys:
        found["spec"].pop(key, None)
    return found


REFERRING = [{"name": "API", "value": "$(EGAIN_BASE_URL)/v4"}]
INJECTED_PODS: dict[str, Callable[[], Object]] = {
    "a Deployment's pod": asking,
    "a Job's pod": job,
    "no volumes, no init containers": lambda: without(asking(), "volumes"),
    "lists that are null": lambda: asking(volumes=None, initContainers=None, containers=[container(env=None)]),
    "lists that are empty": lambda: asking(volumes=[], initContainers=[], containers=[container(env=[])]),
    "init containers, one of them a native sidecar": lambda: asking(
        initContainers=[container("migrate"), container("agent", restartPolicy="Always", env=REFERRING)]
    ),
    "variables that refer to ours": lambda: asking(containers=[container(env=REFERRING)]),
    "a base URL of its own": lambda: asking(
        containers=[container(env=[{"name": "EGAIN_BASE_URL", "value": "http://elsewhere"}]), container("b")]
    ),
    "ports beside ours": lambda: asking(
        containers=[
            container(ports=[{"containerPort": 9000, "hostPort": 8080, "protocol": "TCP"}]),
            container("dns", ports=[{"containerPort": 8080, "protocol": "UDP"}]),
        ]
    ),
    "the status without the container": lambda: pod(
        {"auth-sidecar/inject": "orders-sidecar", "auth-sidecar/status": "injected"}
    ),
    "a Linux pod": lambda: asking(os={"name": "linux"}, nodeSelector={"kubernetes.io/os": "linux"}),
    "a name of its own": lambda: {
        **asking(), "metadata": {"name": "one", "annotations": {"auth-sidecar/inject": "orders-sidecar"}}
    },
}  # fmt: skip


@pytest.mark.parametrize("make", INJECTED_PODS.values(), ids=INJECTED_PODS.keys())
async def test_pod_that_asks_gets_the_sidecar_and_keeps_everything_it_had(
    asked: Asked, make: Callable[[], Object]
) -> None:
    """First of the init containers, with its volumes; the others learn where it is; without a warning."""
    before = make()
    response = await asked.ask(before)
    after = patched(before, response)
    assert after == expected(before)
    assert after["spec"]["initContainers"][0]["restartPolicy"] == "Always"
    assert "warnings" not in response
    assert (await asked.numbers())["reviews_total injected"] == 1


@pytest.mark.parametrize("make", INJECTED_PODS.values(), ids=INJECTED_PODS.keys())
async def test_second_time_changes_nothing(asked: Asked, make: Callable[[], Object]) -> None:
    """Our own work, asked about again (reinvocationPolicy), or copied from a running pod."""
    before = make()
    after = patched(before, await asked.ask(before))
    again = await asked.ask(after)
    assert (patch_of(again), "warnings" in again) == ([], False)


@pytest.mark.parametrize("make", INJECTED_PODS.values(), ids=INJECTED_PODS.keys())
async def test_injected_pod_meets_the_restricted_pod_security_standard(
    asked: Asked, make: Callable[[], Object]
) -> None:
    """What was restricted stays so, host ports of its own aside."""
    before = make()
    found = violations(patched(before, await asked.ask(before))["spec"])
    assert found == violations(before["spec"])


def test_pods_of_these_tests_are_restricted() -> None:
    """Else the test above would compare two lists of violations."""
    assert violations(asking()["spec"]) == []
    loose = asking(initContainers=[sidecar(securityContext={**RESTRICTED, "capabilities": {}})])
    assert violations(loose["spec"]) != []


async def test_missing_configmap_is_the_kubelets_to_tell(asked: Asked) -> None:
    """The webhook looks at no cluster: the volume is not optional, so the pod waits and its events say why."""
    before = asking("nobody.made-this")
    volumes = patched(before, await asked.ask(before))["spec"]["volumes"]
    (config,) = (volume["configMap"] for volume in volumes if volume["name"] == "auth-sidecar-config")
    assert config == {"name": "nobody.made-this", "optional": False}


async def test_dry_run_is_answered_the_same(asked: Asked) -> None:
    """There are no side effects to leave out."""
    before = asking()
    assert await asked.ask(before, dryRun=True) == await asked.ask(before, dryRun=False)


ANNOTATED: dict[str, tuple[dict[str, str], Callable[[Object], Object]]] = {
    "port": (
        {"auth-sidecar/port": "8180"},
        lambda before: expected(
            before,
            sidecar(env=[{"name": "AUTH_SIDECAR_LISTEN", "value": "127.0.0.1:8180"}, *SIDECAR["env"][1:]]),
            {**URL, "value": "http://127.0.0.1:8180"},
        ),
    ),
    "admin port": (
        {"auth-sidecar/admin-port": "9181"},
        lambda before: expected(
            before,
            sidecar(
                env=[
                    SIDECAR["env"][0],
                    {"name": "AUTH_SIDECAR_ADMIN", "value": "0.0.0.0:9181"},
                    *SIDECAR["env"][2:],
                ],
                ports=[{"name": "admin", "containerPort": 9181, "protocol": "TCP"}],
            ),
        ),
    ),
    "resources": (
        {"auth-sidecar/resources": '{"limits": {"memory": "256Mi", "cpu": 0.5}}'},
        lambda before: expected(before, sidecar(resources={"limits": {"memory": "256Mi", "cpu": 0.5}})),
    ),
    "secret": (
        {"auth-sidecar/secret": "orders-egain"},
        lambda before: expected(
            before,
            volumes=(CONFIG, {**SECRET, "secret": {**SECRET["secret"], "secretName": "orders-egain"}}),  # type: ignore[dict-item]
        ),
    ),
}


@pytest.mark.parametrize(("annotations", "becomes"), ANNOTATED.values(), ids=ANNOTATED.keys())
async def test_annotation_changes_what_it_names_and_nothing_else(
    asked: Asked, annotations: dict[str, str], becomes: Callable[[Object], Object]
) -> None:
    """Port, admin port (probes name it, so they follow), resources, Secret."""
    before = pod({"auth-sidecar/inject": "orders-sidecar", **annotations})
    response = await asked.ask(before)
    assert patched(before, response) == becomes(before)
    assert "warnings" not in response


UNTOUCHED: dict[str, Callable[[], Object]] = {
    "no annotations": lambda: review(pod()),
    "other annotations": lambda: review(pod({"auth-sidecar/port": "1", "sidecar.istio.io/inject": "true"})),
    "one that says no": lambda: review(asking("false", hostNetwork=True)),
    "host network, not asking": lambda: review(pod(hostNetwork=True)),
    "update": lambda: review(asking(), operation="UPDATE", oldObject=asking()),
    "deletion": lambda: review(None, operation="DELETE", oldObject=asking()),
    "connection": lambda: review({"kind": "PodExecOptions"}, operation="CONNECT", subResource="exec"),
    "ephemeral containers": lambda: review(
        asking(ephemeralContainers=[container("debug")]), operation="UPDATE", subResource="ephemeralcontainers"
    ),
    "binding": lambda: review(
        {"kind": "Binding", "metadata": {"annotations": {"auth-sidecar/inject": "x"}}},
        subResource="binding", kind={"group": "", "version": "v1", "kind": "Binding"},
    ),
    "deployment": lambda: review(
        asking(), kind={"group": "apps", "version": "v1", "kind": "Deployment"}
    ),
    "pod of another group": lambda: review(
        asking(), kind={"group": "example.com", "version": "v1", "kind": "Pod"}
    ),
}  # fmt: skip


@pytest.mark.parametrize("make", UNTOUCHED.values(), ids=UNTOUCHED.keys())
async def test_what_is_not_a_new_pod_that_asks_is_allowed_untouched(
    asked: Asked, make: Callable[[], Object]
) -> None:
    """No patch, no warning, whatever else is in it."""
    response = await asked.respond(make())
    assert set(response) == {"uid", "allowed"}
    assert response["allowed"] is True
    assert (await asked.numbers())["reviews_total untouched"] == 1


@pytest.mark.parametrize("group", ["containers", "initContainers"])
async def test_container_of_the_name_that_is_somebody_elses_is_left_with_a_warning(
    asked: Asked, group: str
) -> None:
    """From a chart that includes it, say: two of them would be one too many."""
    before = asking(**{"containers": [container()], group: [container("auth-sidecar")]})
    response = await asked.ask(before)
    assert patch_of(response) == []
    (warning,) = response["warnings"]
    assert "has a container auth-sidecar of its own" in warning


REFUSED: dict[str, tuple[Callable[[], Object], tuple[str, ...]]] = {
    "nothing named": (lambda: asking(""), ("auth-sidecar/inject names no ConfigMap; write the name",)),
    "true": (lambda: asking("true"), ("auth-sidecar/inject names no ConfigMap",)),
    "capitals": (lambda: asking("Orders"), ("auth-sidecar/inject names no ConfigMap",)),
    "a line end": (lambda: asking("orders\n"), ("auth-sidecar/inject names no ConfigMap",)),
    "too long a name": (lambda: asking("a" * 254), ("auth-sidecar/inject names no ConfigMap",)),
    "host network": (lambda: asking(hostNetwork=True), ("hostNetwork", "take hostNetwork out")),
    "windows by os": (lambda: asking(os={"name": "windows"}), ("does not run on Windows",)),
    "windows by selector": (
        lambda: asking(nodeSelector={"kubernetes.io/os": "windows"}),
        ("does not run on Windows",),
    ),
    "port": (
        lambda: asking(containers=[container(), container("web", ports=[{"containerPort": 8080}])]),
        ('container "web" has port 8080', 'annotation auth-sidecar/port: "8180"'),
    ),
    "port of an init container": (
        lambda: asking(
            initContainers=[container("setup", ports=[{"containerPort": 8080, "protocol": "TCP"}])]
        ),
        ('container "setup" has port 8080',),
    ),
    "port twice, once on the node": (
        lambda: asking(
            containers=[container(ports=[{"containerPort": 8080, "hostPort": 80}, {"containerPort": 8180}])]
        ),
        ('container "app" has port 8080', 'auth-sidecar/port: "8181"'),
    ),
    "admin port": (
        lambda: asking(containers=[container(ports=[{"containerPort": 8081, "hostPort": 8081}])]),
        ('container "app" has port 8081', 'annotation auth-sidecar/admin-port: "8181"'),
    ),
    "asked for a port that is taken": (
        lambda: pod(
            {"auth-sidecar/inject": "x", "auth-sidecar/port": "9000"},
            containers=[container(ports=[{"containerPort": 9000}])],
        ),
        ('container "app" has port 9000', '"9100"'),
    ),
    "one port for both": (
        lambda: pod({"auth-sidecar/inject": "x", "auth-sidecar/port": "8081"}),
        ("cannot have port 8081 twice",),
    ),
    "volume": (
        lambda: asking(volumes=[{"name": "auth-sidecar-secret", "emptyDir": {}}]),
        ('volume "auth-sidecar-secret"', "give it another name"),
    ),
    "everything at once": (
        lambda: asking("", hostNetwork=True, volumes=[{"name": "auth-sidecar-config", "emptyDir": {}}]),
        ("names no ConfigMap", "hostNetwork", 'volume "auth-sidecar-config"'),
    ),
    "a name that would start a line": (
        lambda: asking(containers=[container("a\nb\x1b[2J", ports=[{"containerPort": 8080}])]),
        ('container "a\\nb\\x1b[2J"',),
    ),
}


@pytest.mark.parametrize(("make", "said"), REFUSED.values(), ids=REFUSED.keys())
async def test_pod_that_cannot_have_it_is_refused_and_told_why(
    asked: Asked, make: Callable[[], Object], said: tuple[str, ...]
) -> None:
    """Allowed without the sidecar would be found out much later. Every reason at once, each with what to do."""
    response = await asked.ask(make())
    assert set(response) == {"uid", "allowed", "status"}
    assert response["allowed"] is False
    status = response["status"]
    assert (status["kind"], status["status"], status["code"]) == ("Status", "Failure", 403)
    for part in said:
        assert part in status["message"]
    assert status["message"].isprintable()
    assert (await asked.numbers())["reviews_total refused"] == 1


async def test_reasons_without_end_are_cut(asked: Asked) -> None:
    """A message is for a person."""
    many = [container(f"c{n}", ports=[{"containerPort": 8080}]) for n in range(100)]
    message = (await asked.ask(asking(containers=many)))["status"]["message"]
    assert message.count("has port 8080") == 8
    assert message.endswith("and 92 more")


DOUBTFUL: dict[str, tuple[Callable[[], Object], str]] = {
    "shared processes": (lambda: asking(shareProcessNamespace=True), "client secret"),
    "the node's processes": (lambda: asking(hostPID=True), "client secret"),
    "little time": (lambda: asking(terminationGracePeriodSeconds=29), "terminationGracePeriodSeconds is 29"),
    "no time": (lambda: asking(terminationGracePeriodSeconds=0), "write 30 or more"),
    "misspelt annotation": (
        lambda: pod({"auth-sidecar/inject": "orders-sidecar", "auth-sidecar/adminport": "9000"}),
        "did you mean auth-sidecar/admin-port?",
    ),
}


@pytest.mark.parametrize(("make", "said"), DOUBTFUL.values(), ids=DOUBTFUL.keys())
async def test_doubtful_pod_gets_the_sidecar_and_a_warning(
    asked: Asked, make: Callable[[], Object], said: str
) -> None:
    """kubectl shows it to whoever creates the pod."""
    before = make()
    response = await asked.ask(before)
    assert patched(before, response) == expected(before)
    (warning,) = response["warnings"]
    assert said in warning


async def test_without_a_default_a_pod_has_to_name_its_secret(tmp_path: Path) -> None:
    """The chart may leave it to the pods."""
    text = INJECTED.replace("secretName: egain-client", 'secretName: ""')
    async with webhook(tmp_path, text) as asked:
        refused = await asked.ask(asking())
        assert "add the annotation auth-sidecar/secret" in refused["status"]["message"]
        before = pod({"auth-sidecar/inject": "orders-sidecar", "auth-sidecar/secret": "mine"})
        volumes = patched(before, await asked.ask(before))["spec"]["volumes"]
        assert volumes[-1]["secret"]["secretName"] == "mine"


async def test_ports_and_volumes_of_the_settings_are_minded(tmp_path: Path) -> None:
    """Whatever the operator put into the container: other ports, a port of the node, more volumes."""
    text = (
        INJECTED.replace("127.0.0.1:8080", "127.0.0.1:7000")
        .replace("containerPort: 8081,", "containerPort: 8081, hostPort: 18081,")
        .replace("volumes:\n", "volumes:\n  - {name: ca, configMap: {name: ca}}\n")
    )
    async with webhook(tmp_path, text) as asked:
        before = asking(containers=[container(ports=[{"containerPort": 8080}])])
        after = patched(before, await asked.ask(before))
        assert after["spec"]["containers"][0]["env"] == [{**URL, "value": "http://127.0.0.1:7000"}]
        refused = await asked.ask(
            asking(
                containers=[container(ports=[{"containerPort": 1, "hostPort": 18081, "protocol": "TCP"}])],
                volumes=[{"name": "ca", "emptyDir": {}}],
            )
        )
    message = refused["status"]["message"]
    assert 'container "app" has hostPort 18081 (TCP)' in message
    assert 'volume "ca"' in message


async def test_patch_is_what_an_api_server_can_apply(asked: Asked) -> None:
    """Only additions, in this order: init containers are counted before there is one more."""
    before = asking(initContainers=[container("migrate")])
    operations = patch_of(await asked.ask(before))
    assert {operation["op"] for operation in operations} == {"add"}
    assert [operation["path"] for operation in operations] == [
        "/spec/initContainers/0/env",
        "/spec/containers/0/env",
        "/spec/volumes/-",
        "/spec/volumes/-",
        "/spec/initContainers/0",
        "/metadata/annotations/auth-sidecar~1status",
    ]
