"""A day of a sidecar in two minutes: all is well, then everything that an alert is for, then all is well again.

Owns the order of events and what was seen on the way. What must have been seen is the tests' to say.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.alerts.injector import injector
from tests.alerts.prometheus import MINUTE, Prometheus, prometheus
from tests.alerts.stage import LIFETIME, Asked, Sidecar, Stage, somewhere, stage
from tests.alerts.waiting import until
from tests.test_alerts_rules import RULES

_PATIENCE = 90.0  # seconds until an alert fires or ends
# By the label `job`: as Prometheus Operator labels it, as a plain list does, and a sidecar that starts late.
OPERATOR, PLAIN, LATE, INJECTOR = "shop/sidecars", "sidecars", "late", "injector"

API_TROUBLE = {
    "AuthSidecarReplaysRising",
    "AuthSidecarFreshTokenRejected",
    "AuthSidecarRouteMapGap",
    "AuthSidecarReloadFailed",
    "AuthSidecarOverloaded",
}
TOKEN_TROUBLE = {
    "AuthSidecarTokenNotRenewed",
    "AuthSidecarTokenRunsOut",
    "AuthSidecarRequestsWithoutToken",
    "AuthSidecarNoFirstToken",
}
REFUSED = {"AuthSidecarCredentialRefused"}
CERTIFICATE = {"AuthSidecarWebhookCertificateExpires"}


@dataclass
class Story:
    """What was seen."""

    prometheus: Prometheus
    stage: Stage
    began: float  # Unix time
    while_well: set[str] = field(default_factory=set)
    fired: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    after: set[str] = field(default_factory=set)

    def jobs(self, alert: str) -> set[str]:
        """For which scrapes it fired."""
        return {one["labels"]["job"] for one in self.fired.get(alert, [])}


def due(alert: str) -> set[str]:
    """For which scrapes an alert must fire."""
    if alert in CERTIFICATE:
        return {INJECTOR}
    return {LATE} if alert == "AuthSidecarNoFirstToken" else {OPERATOR, PLAIN}


@contextlib.contextmanager
def told(folder: Path) -> Iterator[Story]:
    """The whole story; Prometheus and the sidecar are still there inside the block."""
    late = somewhere()
    with (
        stage(folder) as acting,
        injector(folder) as webhook,
        prometheus(folder, RULES, [*_scrapes(acting.sidecar, late), webhook.scrape(INJECTOR)]) as watching,
        acting.calling(*acting.usual, every=0.05),
    ):
        story = Story(watching, acting, time.time())
        until(lambda: len(watching.now("up == 1")) == 3, "Prometheus scrapes sidecar and webhook", _PATIENCE)
        assert webhook.inject()
        _all_is_well(story)
        _trouble_with_the_api(story)
        _trouble_with_tokens(story, late)
        _wait_for(story, CERTIFICATE)
        webhook.renew()
        _all_is_well_again(story)
        yield story


def _scrapes(one: Sidecar, late: Sidecar) -> list[dict[str, Any]]:
    labels = {"namespace": "shop", "pod": "app-1", "container": "auth-sidecar"}
    return [
        {"job_name": OPERATOR, "static_configs": [{"targets": [one.admin], "labels": labels}]},
        {"job_name": PLAIN, "static_configs": [{"targets": [one.admin]}]},
        {"job_name": LATE, "static_configs": [{"targets": [late.admin]}]},
    ]


def _all_is_well(story: Story) -> None:
    """Two lives of tokens, a reload, and what happens to anybody once in a while."""
    acting, end = story.stage, time.monotonic() + 2 * LIFETIME
    acting.file.write_text(acting.file.read_text() + "# changed\n")
    acting.faults(api={"kind": "unauthorized", "path": "/demo/echo", "times": 1})
    assert acting.ask(Asked("/demo/echo/app")) == 200  # mended by another token
    acting.faults(api={"kind": "reset", "path": "/demo/echo", "times": 1})
    assert acting.ask(Asked("/demo/echo/app", method="POST")) == 502
    acting.leave(acting.slow)
    for number in range(100):  # more subjects than tokens.max_cached
        acting.ask(Asked("/demo/echo/agent", {"X-On-Behalf-Of": f"visitor{number}"}))
    while time.monotonic() < end:
        story.while_well |= story.prometheus.alerts("firing").keys()
        time.sleep(MINUTE / 2)


def _trouble_with_the_api(story: Story) -> None:
    acting = story.stage
    right = acting.file.read_text()
    acting.file.write_text(right + "nonsense: true\n")
    acting.faults(api={"kind": "unauthorized", "path": "/demo/echo"})
    with (
        acting.calling(*acting.rejected, every=0.1),
        acting.calling(*acting.unmapped, every=0.1),
        acting.calling(acting.slow, every=0.5, callers=40),
    ):
        _wait_for(story, API_TROUBLE)
    acting.file.write_text(right)
    acting.faults(api={"kind": "unauthorized", "path": "/demo/upload", "times": 1})
    assert acting.ask(acting.rejected[-1]) == 401  # too large to be sent again
    acting.faults(api={})


def _trouble_with_tokens(story: Story, late: Sidecar) -> None:
    acting = story.stage
    acting.faults(token={"kind": "down"})
    with acting.another(late):
        _wait_for(story, TOKEN_TROUBLE)
        acting.faults(token={"kind": "error", "error": "invalid_client", "status": 401})
        _wait_for(story, REFUSED)
        acting.faults(token={})
        until(
            lambda: not story.prometheus.alerts("firing").get("AuthSidecarNoFirstToken"), "ready", _PATIENCE
        )


def _all_is_well_again(story: Story) -> None:
    with contextlib.suppress(AssertionError):  # the tests say which did not end
        until(lambda: not story.prometheus.alerts("firing"), "no alert is left", _PATIENCE)
    story.after = set(story.prometheus.alerts("firing"))


def _wait_for(story: Story, expected: set[str]) -> None:
    """Until all of these were firing for all scrapes that they concern; what did not come, the tests say."""

    def seen() -> bool:
        for name, alerts in story.prometheus.alerts("firing").items():
            known = story.fired.setdefault(name, [])
            known += [alert for alert in alerts if alert["labels"] not in [one["labels"] for one in known]]
        return all(story.jobs(name) >= due(name) for name in expected)

    with contextlib.suppress(AssertionError):
        until(seen, "", _PATIENCE)
