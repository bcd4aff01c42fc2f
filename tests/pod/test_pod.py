"""A pod, really: while its application is at work, the secret and the configuration change, and then it ends.

What plays the pod is podman, which is no kubelet:
- It knows no native sidecars: podman 4.3 waits for an init container with `restartPolicy: Always` to end, for ever.
  The test creates ordinary containers with `play kube`, starts them in that order - the sidecar, until it is ready,
  then the application - and ends them in either of the two ways of Kubernetes: all at once, as ordinary containers,
  or the sidecar last, as a native one.
- It calls no probe by itself: the test asks /readyz.
- Its secret volumes are never updated. The volumes are folders of this machine that change as the kubelet's do.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Literal

import pytest

from tests.image.podman import podman, until
from tests.pod.manifest import WORK_LEFT
from tests.pod.running import CONFIG, SECRET, Pod, configuration, playing

pytestmark = pytest.mark.pod

End = Literal["all at once", "sidecar last"]
OLD, NEW = "first-secret:with%odd+characters/", "second-secret:quite=another&one"
GRACE = 30  # seconds, Kubernetes' own default


def rotate_the_secret(pod: Pod) -> None:
    """eGain's console first, the cluster's Secret when the sidecar was already refused once."""
    pod.change_secret_at_egain(NEW)
    until(
        lambda: pod.metric("auth_sidecar_token_failures_total", reason="invalid_client"),
        "a refresh with the secret that is no longer right",
    )
    pod.secret.write({SECRET: NEW + "\n"})
    until(lambda: {"app", "agent"} <= renewed(pod), "a new token for each credential that shows the secret")


def renewed(pod: Pod) -> set[str]:
    """Credentials whose last try succeeded; none before eGain has granted a token by the new secret."""
    if not pod.seen()["granted"].get(NEW):
        return set()
    lines = [*pod.sidecar.events("token_refresh_failed"), *pod.sidecar.events("token_obtained")]
    last = {line["credential"]: line["event"] for line in sorted(lines, key=lambda line: line["timestamp"])}
    return {credential for credential, event in last.items() if event == "token_obtained"}


def change_the_configuration(pod: Pod) -> None:
    """A wrong one first: the old one stays. Then one in which a route has another name."""
    pod.config.write({CONFIG: configuration() + "upstream: {url: not a URL}\n"})
    until(
        lambda: pod.metric("auth_sidecar_config_reloads_total", outcome="failed"), "a refused configuration"
    )
    assert pod.metric("auth_sidecar_config_last_reload_successful") == 0
    pod.config.write({CONFIG: configuration(my_details="another-name")})
    until(lambda: pod.metric("auth_sidecar_config_reloads_total", outcome="ok"), "the new configuration")
    assert pod.metric("auth_sidecar_config_last_reload_successful") == 1
    until(
        lambda: pod.metric("auth_sidecar_requests_total", route="another-name"), "a request to the new route"
    )


def end_all_at_once(pod: Pod) -> None:
    """As a pod's ordinary containers: SIGTERM to each; the application goes on with its work, and needs tokens.

    (Not by `podman pod stop`: that takes the pod's network away at the same time, and with it the test's sight.)
    """
    began = time.monotonic()
    podman("kill", "--signal=TERM", *(each.id for each in (pod.sidecar, pod.egain, pod.app)))
    until(lambda: pod.readiness == 503, "the sidecar being unready")
    before = pod.metric("auth_sidecar_requests_total", status="200")
    until(
        lambda: pod.metric("auth_sidecar_requests_total", status="200") > before + 5, "work after the signal"
    )
    assert [each.wait() for each in (pod.app, pod.sidecar)] == [0, 0], pod.app.log[-4000:]
    assert time.monotonic() - began < GRACE
    assert pod.egain.wait() == 0


def end_sidecar_last(pod: Pod) -> None:
    """As a pod with a native sidecar: SIGTERM to the application; to the sidecar when that has ended."""
    began = time.monotonic()
    pod.app.signal("TERM")
    assert pod.app.wait() == 0, pod.app.log[-4000:]
    assert pod.readiness == 200
    for each in (pod.sidecar, pod.egain):
        each.signal("TERM")
        assert each.wait() == 0
    assert time.monotonic() - began < GRACE


@pytest.mark.parametrize("end", ["all at once", "sidecar last"])
@pytest.mark.parametrize("app", ["curl", "sdk"])
def test_application_never_notices(app: str, end: End, images: None, tmp_path: Path) -> None:
    """Rotated secret, replaced configuration, end of the pod: not one request failed."""
    began = time.monotonic()
    with playing(tmp_path, app, OLD) as pod:
        until(lambda: pod.metric("auth_sidecar_requests_total", status="200") >= 20, "steady traffic")
        rotate_the_secret(pod)
        change_the_configuration(pod)
        seen = pod.seen()
        end_all_at_once(pod) if end == "all at once" else end_sidecar_last(pod)

        said = pod.app.log
        told = pod.told()
        assert told["failed"] == 0, said[-4000:]
        assert told["after"] == WORK_LEFT
        assert told["sent"] > 2 * WORK_LEFT
        log = pod.sidecar.log
        requests = pod.sidecar.events("request")
        assert len(requests) == told["sent"]
        assert {line["status"] for line in requests} == {200}
        assert [line["cut"] for line in pod.sidecar.events("stopped")] == [0]
        assert seen["api"].keys() == {"200"}, "no request reached eGain with a token that it refused"
        assert seen["granted"][OLD] > 0
        assert seen["granted"][NEW] > 0
        assert seen["refused"].keys() == {"invalid_client"}
        assert OLD not in log
        assert NEW not in log
    print(
        f"\n{app}, {end}: {json.dumps(told)}, {json.dumps(seen['refused'])}, {time.monotonic() - began:.0f} s"
    )
