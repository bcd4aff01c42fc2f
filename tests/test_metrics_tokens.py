"""What is counted per credential."""

from __future__ import annotations

import pytest

from sidecar.metrics import Metrics
from tests.admin_state import StillClock
from tests.test_metrics_exposition import value


@pytest.fixture
def clock() -> StillClock:
    return StillClock(wall=1_800_000_000.0)


@pytest.fixture
def metrics(clock: StillClock) -> Metrics:
    return Metrics(clock)


def test_requests_are_counted_by_why_and_what_came_of_it(metrics: Metrics) -> None:
    """One counter per trigger and outcome, and how long it took either way."""
    metrics.tokens.requested("app", "startup", "unavailable", 10.0)
    metrics.tokens.requested("app", "startup", "ok", 0.2)
    metrics.tokens.requested("app", "ahead", "ok", 0.3)
    name = "auth_sidecar_token_requests_total"
    assert value(metrics, name, credential="app", trigger="startup", outcome="unavailable") == 1
    assert value(metrics, name, credential="app", trigger="startup", outcome="ok") == 1
    assert value(metrics, name, credential="app", trigger="ahead", outcome="ok") == 1
    assert value(metrics, name, credential="app", trigger="rejected", outcome="ok") == 0
    seconds = "auth_sidecar_token_request_duration_seconds"
    assert value(metrics, f"{seconds}_count", credential="app") == 3
    assert value(metrics, f"{seconds}_sum", credential="app") == 10.5
    assert value(metrics, f"{seconds}_bucket", credential="app", le="0.25") == 1


def test_the_last_success_is_wall_clock_time(metrics: Metrics, clock: StillClock) -> None:
    """Dashboards compare it with time(); the lifetime is the last one issued."""
    metrics.tokens.obtained("app", None, frozenset({"a"}), 3600.0)
    clock.epoch += 100
    metrics.tokens.obtained("app", None, frozenset({"a"}), 60.0)
    assert (
        value(metrics, "auth_sidecar_token_last_success_timestamp_seconds", credential="app") == 1_800_000_100
    )
    assert value(metrics, "auth_sidecar_token_lifetime_seconds", credential="app") == 60


def test_credentials_are_kept_apart(metrics: Metrics) -> None:
    """A failure of one is not seen at the other."""
    metrics.tokens.credential("agent")
    metrics.tokens.failed("app", None, "ahead", "invalid_client", 1.0, "x")
    name = "auth_sidecar_token_failures_total"
    assert value(metrics, name, credential="app", reason="invalid_client") == 1
    assert value(metrics, name, credential="agent", reason="invalid_client") == 0


@pytest.mark.parametrize(
    ("reason", "counted"),
    [
        ("http_5xx", "http_5xx"),
        ("invalid_target", "invalid_target"),
        ("Invalid", "other"),
        ("a b", "other"),
        ("", "other"),
        ("x" * 41, "other"),
        ('x"} 1\nevil', "other"),
    ],
)
def test_a_reason_is_one_short_word(metrics: Metrics, reason: str, counted: str) -> None:
    """Rarer OAuth codes are kept; what is no word is counted as other."""
    metrics.tokens.failed("app", None, "ahead", reason, 1.0, "x")
    assert value(metrics, "auth_sidecar_token_failures_total", credential="app", reason=counted) == 1


def test_drops_and_waits_are_counted(metrics: Metrics) -> None:
    """Tokens let go by reason, and the waits of requests as a histogram."""
    metrics.tokens.dropped("app", "idle")
    metrics.tokens.waited("app", 0.04)
    metrics.tokens.waited("app", 4.0)
    assert value(metrics, "auth_sidecar_tokens_dropped_total", credential="app", reason="idle") == 1
    assert value(metrics, "auth_sidecar_tokens_dropped_total", credential="app", reason="rejected") == 0
    assert value(metrics, "auth_sidecar_token_wait_seconds_bucket", credential="app", le="0.05") == 1
    assert value(metrics, "auth_sidecar_token_wait_seconds_count", credential="app") == 2


def test_a_subject_is_never_a_label(metrics: Metrics) -> None:
    """Neither the digest nor the detail of a failure reaches the exposition."""
    metrics.tokens.obtained("agent", "5ubjectd1gest", frozenset({"a"}), 60.0)
    metrics.tokens.failed("agent", "5ubjectd1gest", "demand", "invalid_grant", 1.0, "canary-detail")
    text = metrics.render()[0]
    assert b"5ubjectd1gest" not in text
    assert b"canary" not in text
