"""What /metrics says: exactly the documented names and labels, in text that Prometheus reads."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.samples import Sample

from sidecar.metrics import UNMAPPED, Metrics
from sidecar.tokens.view import Trigger
from sidecar.webhook.numbers import Numbers
from tests.admin_state import EMPTY, HELD, StillClock, view

TABLE: dict[str, tuple[str, set[str]]] = {
    "auth_sidecar_sessions": ("gauge", {"credential"}),
    "auth_sidecar_logins_total": ("counter", {"credential", "outcome"}),
    "auth_sidecar_session_refreshes_total": ("counter", {"credential", "outcome"}),
    "auth_sidecar_sessions_ended_total": ("counter", {"credential", "reason"}),
    "auth_sidecar_build_info": ("gauge", {"version", "python"}),
    "auth_sidecar_requests_total": ("counter", {"route", "method", "status"}),
    "auth_sidecar_request_duration_seconds": ("histogram", {"route"}),
    "auth_sidecar_requests_in_flight": ("gauge", set()),
    "auth_sidecar_errors_total": ("counter", {"route", "code"}),
    "auth_sidecar_token_requests_total": ("counter", {"credential", "trigger", "outcome"}),
    "auth_sidecar_token_failures_total": ("counter", {"credential", "reason"}),
    "auth_sidecar_token_request_duration_seconds": ("histogram", {"credential"}),
    "auth_sidecar_token_lifetime_seconds": ("gauge", {"credential"}),
    "auth_sidecar_token_expires_in_seconds": ("gauge", {"credential"}),
    "auth_sidecar_token_last_success_timestamp_seconds": ("gauge", {"credential"}),
    "auth_sidecar_token_wait_seconds": ("histogram", {"credential"}),
    "auth_sidecar_tokens_cached": ("gauge", {"credential"}),
    "auth_sidecar_tokens_dropped_total": ("counter", {"credential", "reason"}),
    "auth_sidecar_upstream_rejections_total": ("counter", {"route", "status"}),
    "auth_sidecar_route_map_gaps_total": ("counter", {"route", "lacks"}),
    "auth_sidecar_replays_total": ("counter", {"route", "outcome"}),
    "auth_sidecar_upstream_connections": ("gauge", {"state"}),
    "auth_sidecar_config_reloads_total": ("counter", {"outcome"}),
    "auth_sidecar_config_last_reload_successful": ("gauge", set()),
}
DOCS = Path(__file__).parent.parent / "docs" / "metrics.md"


def busy() -> Metrics:
    """Metrics in which everything that can be counted was counted once."""
    metrics = Metrics(StillClock(now=1000.0))
    route = metrics.route('say "hi" \\ there\nfriend')
    route.finished("GET", 200, 0.02)
    route.error("token_unavailable")
    route.upstream_rejected(401)
    route.replayed("ok")
    for trigger in get_args(Trigger):
        metrics.tokens.requested("app", trigger, "ok", 0.2)
    metrics.tokens.obtained("app", None, frozenset({"app.read"}), 3600.0)
    metrics.tokens.failed("app", None, "ahead", "invalid_client", 1.0, "no")
    metrics.tokens.dropped("app", "rejected")
    metrics.tokens.waited("app", 0.1)
    metrics.sessions.credential("user")
    metrics.watch(lambda: [HELD], lambda: (3, 2))
    return metrics


def samples(metrics: Metrics) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {}
    for family in parse_text(metrics.render()[0].decode()):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample)
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return next((s.value for s in samples(metrics).get(name, []) if s.labels == labels), None)


def test_names_types_and_labels_are_those_of_the_table() -> None:
    """Nothing is missing, nothing is there besides, and no label is called otherwise."""
    seen: dict[str, tuple[str, set[str]]] = {}
    for family in parse_text(busy().render()[0].decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        seen[name] = (family.type, {label for s in family.samples for label in s.labels} - {"le"})
    assert seen == TABLE


def documented() -> dict[str, tuple[str, set[str]]]:
    """One row per metric in docs/metrics.md, naming type and labels."""
    rows = dict(re.findall(r"^\| `(auth_sidecar_\w+)` \| ([^|]+) \|", DOCS.read_text(), re.MULTILINE))
    return {
        name: (kind.split()[0].strip(",;"), set(re.findall(r"`(\w+)`", kind))) for name, kind in rows.items()
    }


def test_the_documentation_lists_every_metric_with_its_labels() -> None:
    """No more and no fewer."""
    own = {name: row for name, row in documented().items() if not name.startswith("auth_sidecar_webhook_")}
    assert own == TABLE


def test_the_documentation_lists_every_metric_of_the_webhook() -> None:
    """Its page is another one, in the same two formats."""
    text, _ = Numbers().render("*/*")
    opened, _ = Numbers().render("application/openmetrics-text")
    seen = {}
    for family in parse_text(text.decode()):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        seen[name] = (family.type, {label for sample in family.samples for label in sample.labels})
    names = {sample.name for family in parse_openmetrics(opened.decode()) for sample in family.samples}  # type: ignore[no-untyped-call]
    shared = {name: row for name, row in seen.items() if not name.startswith("auth_sidecar_webhook_")}
    assert names == seen.keys()
    assert shared.keys() == {"auth_sidecar_build_info"}
    own = {name: row for name, row in documented().items() if name.startswith("auth_sidecar_webhook_")}
    assert {**shared, **own} == seen


def test_openmetrics_is_written_for_who_asks_and_says_the_same() -> None:
    """Accept chooses the format; both carry the same samples, and neither `_created` series."""
    metrics = busy()
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    body, content_type = metrics.render(accept)
    assert content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"# EOF\n")
    opened = {
        (s.name, tuple(sorted(s.labels.items())), s.value)
        for family in parse_openmetrics(body.decode())  # type: ignore[no-untyped-call]
        for s in family.samples
    }
    text, content_type = metrics.render("*/*")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    plain = {
        (s.name, tuple(sorted(s.labels.items())), s.value)
        for family in parse_text(text.decode())
        for s in family.samples
    }
    assert opened == plain
    assert not [name for name, _, _ in plain if name.endswith("_created")]


@pytest.mark.parametrize(
    "accept", ["", "text/html", "application/openmetrics-text;version=zzz;escaping=\x00", ";;,=,q"]
)
def test_any_accept_header_gets_an_exposition(accept: str) -> None:
    """Parameters nobody understands change nothing."""
    body, content_type = busy().render(accept)
    assert b"auth_sidecar_build_info" in body
    assert "charset=utf-8" in content_type


def test_label_values_survive_escaping() -> None:
    """Quotes, backslashes and line ends of a route's name come back as they were."""
    (sample,) = samples(busy())["auth_sidecar_requests_total"]
    assert sample.labels["route"] == 'say "hi" \\ there\nfriend'


def test_promtool_finds_nothing_to_complain_about() -> None:
    """Names, units and help texts follow Prometheus' conventions."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian package prometheus)")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=busy().render()[0], capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, b"")


def test_in_flight_connections_and_reloads_are_read_at_the_scrape() -> None:
    """Values that only matter when somebody looks are those of that moment."""
    metrics = busy()
    metrics.in_flight += 4
    metrics.in_flight -= 1
    assert value(metrics, "auth_sidecar_requests_in_flight") == 3
    assert value(metrics, "auth_sidecar_upstream_connections", state="idle") == 3
    assert value(metrics, "auth_sidecar_upstream_connections", state="busy") == 2
    assert value(metrics, "auth_sidecar_config_last_reload_successful") == 1
    metrics.reloaded(False)
    assert value(metrics, "auth_sidecar_config_last_reload_successful") == 0
    assert value(metrics, "auth_sidecar_config_reloads_total", outcome="failed") == 1
    metrics.reloaded(True)
    assert value(metrics, "auth_sidecar_config_last_reload_successful") == 1
    assert value(metrics, "auth_sidecar_config_reloads_total", outcome="ok") == 1


def test_expiry_is_the_least_of_the_tokens_in_use() -> None:
    """Idle tokens and those never obtained do not count; past expiry is negative."""
    metrics = Metrics(StillClock(now=1000.0))
    metrics.watch(
        lambda: [
            view(expires_at=1500.0),
            view(expires_at=1200.0),
            view(expires_at=1001.0, in_use=False),
            view(EMPTY),
            view(credential="agent", expires_at=990.0),
            view(EMPTY, credential="okta"),
        ],
        lambda: (0, 0),
    )
    found = {
        s.labels["credential"]: s.value for s in samples(metrics)["auth_sidecar_token_expires_in_seconds"]
    }
    assert found == {"app": 200.0, "agent": -10.0}
    cached = {s.labels["credential"]: s.value for s in samples(metrics)["auth_sidecar_tokens_cached"]}
    assert cached == {"app": 3.0, "agent": 1.0, "okta": 0.0}


def test_a_credential_without_a_token_has_never_succeeded() -> None:
    """A start-up token that was never obtained can be found by an alert before anything happened to it."""
    metrics = Metrics(StillClock())
    metrics.watch(lambda: [view(EMPTY, credential="okta")], lambda: (0, 0))
    assert value(metrics, "auth_sidecar_token_last_success_timestamp_seconds", credential="okta") == 0
    assert value(metrics, "auth_sidecar_token_expires_in_seconds", credential="okta") is None
    labels = {"credential": "okta", "trigger": "startup", "outcome": "unavailable"}
    assert value(metrics, "auth_sidecar_token_requests_total", **labels) == 0


def test_series_do_not_grow_under_hostile_input() -> None:
    """Ten thousand invented methods, statuses and failure reasons end in a bounded number of series."""
    metrics = Metrics(StillClock())
    routes = [metrics.route(UNMAPPED), metrics.route("get-articles")]
    for n in range(10_000):
        for route in routes:
            route.finished(("GET", "POST", f"M{n}")[n % 3], 100 + n % 900, 0.01)
        metrics.tokens.failed("app", None, "demand", f"reason_{n}", 1.0, "x")
        metrics.tokens.failed("app", None, "demand", f"Bad reason\n{n}", 1.0, "x")
    found = samples(metrics)
    assert sum(len(series) for series in found.values()) < 500
    assert sum(s.value for s in found["auth_sidecar_requests_total"]) == 20_000
    assert {s.labels["method"] for s in found["auth_sidecar_requests_total"]} == {"GET", "POST", "(other)"}
    assert sum(s.value for s in found["auth_sidecar_token_failures_total"]) == 20_000
