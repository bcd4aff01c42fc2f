"""What is counted per route."""

from __future__ import annotations

import math

import pytest

from sidecar.metrics import Metrics
from sidecar.metrics.histogram import Histogram
from tests.admin_state import StillClock


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(StillClock())


def test_a_label_has_one_set_of_numbers_for_ever(metrics: Metrics) -> None:
    """After a reload the same route counts on, and one that is gone keeps what it had."""
    old = metrics.route("old")
    old.finished("GET", 200, 0.01)
    assert metrics.route("old") is old
    metrics.route("new")
    assert [view.label for view in metrics.route_views()] == ["old", "new"]
    assert b'route="old"' in metrics.render()[0]


@pytest.mark.parametrize(
    ("method", "counted"),
    [
        ("GET", "GET"),
        ("OPTIONS", "OPTIONS"),
        ("get", "(other)"),
        ("BREW", "(other)"),
        ("PURGE", "PURGE"),
        ("", "(other)"),
    ],
)
def test_a_method_is_known_or_other(metrics: Metrics, method: str, counted: str) -> None:
    """The usual ones and those the configuration names; spelling counts."""
    route = metrics.route("purge", methods=["PURGE"])
    route.finished(method, 200, 0.01)
    assert list(route.requests) == [(counted, 200)]


def test_methods_of_a_later_configuration_are_known_to_earlier_routes(metrics: Metrics) -> None:
    """A reload that names a new method makes it a label everywhere."""
    route = metrics.route("first")
    route.finished("REPORT", 200, 0.01)
    metrics.route("second", methods=["REPORT"])
    route.finished("REPORT", 200, 0.01)
    assert route.requests == {("(other)", 200): 1, ("REPORT", 200): 1}


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.0, 0), (0.001, 0), (0.0011, 1), (60.0, 14), (60.1, 15), (9e9, 15)]
)
def test_a_duration_falls_into_the_bucket_whose_bound_includes_it(
    metrics: Metrics, seconds: float, bucket: int
) -> None:
    """`le` means less or equal; whatever is above the last bound is kept too."""
    route = metrics.route("r")
    route.finished("GET", 200, seconds)
    assert route.durations.counts.index(1) == bucket
    assert route.durations.total == seconds


def test_observe_and_finished_count_alike(metrics: Metrics) -> None:
    """The copy of `observe` on the hot path does what the original does."""
    route, other = metrics.route("r"), Histogram(metrics.route("r").durations.bounds)
    for n in range(200):
        route.finished("GET", 200, n * n / 500)
        other.observe(n * n / 500)
    assert route.durations.counts == other.counts
    assert route.durations.total == other.total


def test_quantiles_are_interpolated_inside_their_bucket() -> None:
    """As `histogram_quantile` does it; nothing seen gives nothing, the open bucket its lower bound."""
    histogram = Histogram((1.0, 2.0, 4.0))
    assert histogram.quantile(0.5) is None
    for seconds in (1.5, 1.5, 3.0, 3.0):
        histogram.observe(seconds)
    assert histogram.quantile(0.25) == 1.5
    assert histogram.quantile(0.5) == 2.0
    assert histogram.quantile(0.75) == 3.0
    histogram.observe(math.inf)
    assert histogram.quantile(1.0) == 4.0


def test_the_view_adds_up(metrics: Metrics) -> None:
    """Requests by class of status, errors and rejections of all kinds; the busiest route first."""
    metrics.route("quiet")
    busy = metrics.route("busy")
    for status in (200, 204, 304, 404, 503, 503):
        busy.finished("GET", status, 0.02)
    busy.error("token_unavailable")
    busy.error("overloaded")
    busy.upstream_rejected(401)
    busy.upstream_rejected(403)
    first, second = metrics.route_views()
    assert (first.label, first.requests, first.errors, first.rejections) == ("busy", 6, 2, 2)
    assert first.by_class == {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 2}
    assert first.p95 is not None
    assert 0.01 < first.p95 <= 0.025
    assert (second.label, second.requests, second.by_class, second.p95) == ("quiet", 0, {}, None)


def test_a_route_in_use_shows_zeros_for_what_alerts_wait_for(metrics: Metrics) -> None:
    """increase() needs a zero before the first one."""
    metrics.route("r").finished("GET", 200, 0.01)
    metrics.route("unused")
    text = metrics.render()[0].decode()
    for line in (
        'auth_sidecar_errors_total{route="r",code="token_unavailable"} 0',
        'auth_sidecar_replays_total{route="r",outcome="rejected_again"} 0',
        'auth_sidecar_upstream_rejections_total{route="r",status="401"} 0',
    ):
        assert line in text
    assert "unused" not in text
