"""When a token is usable and when it is refreshed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.schema import Refresh, Retry
from sidecar.tokens.backoff import backoff, wait
from sidecar.tokens.token import Token, hold, planned


def refresh(**more: float) -> Refresh:
    return Refresh.model_validate(more)


PLANS = [
    # lifetime, settings, draw, refresh, hard stop
    (3600.0, {}, 0.0, 1800.0, 3570.0),
    (3600.0, {}, 1.0, 1620.0, 3570.0),
    (60.0, {}, 0.0, 30.0, 54.0),  # a tenth, where 30 s would be half of it
    (300.0, {}, 0.0, 150.0, 270.0),
    (301.0, {}, 0.0, 150.5, 271.0),
    (1.0, {}, 1.0, 0.5, 0.9),  # not earlier than half a second
    (0.1, {}, 0.0, 0.0882, 0.09),
    (3600.0, {"at": 0.99}, 0.0, 3498.6, 3570.0),
    (3600.0, {"at": 0.99, "expiry_skew": 0.0}, 0.0, 3527.9902, 3599.99),
    (2_592_000.0, {"at": 0.01, "jitter": 0.99}, 1.0, 259.2, 2_591_970.0),
]


@pytest.mark.parametrize(("lifetime", "settings", "draw", "ahead", "stop"), PLANS)
def test_plan(lifetime: float, settings: dict[str, float], draw: float, ahead: float, stop: float) -> None:
    """Refresh at its share less jitter, hard stop a skew before the end, however short the life."""
    assert planned(lifetime, refresh(**settings), draw) == pytest.approx((ahead, stop))


@given(
    asked_at=st.floats(0, 1e8),
    lifetime=st.floats(0.001, 30 * 86400),
    at=st.floats(0, 1, exclude_min=True, exclude_max=True),
    jitter=st.floats(0, 1, exclude_max=True),
    skew=st.floats(0, 366 * 86400),
    draw=st.floats(0, 1),
)
def test_refresh_comes_before_the_hard_stop_and_that_before_the_end(
    asked_at: float, lifetime: float, at: float, jitter: float, skew: float, draw: float
) -> None:
    """Complaint: no margin before expiry, or a refresh point later than it. For any legal settings."""
    token = hold(
        "x",
        asked_at=asked_at,
        lifetime=lifetime,
        scopes=frozenset(),
        refresh=refresh(at=at, jitter=jitter, expiry_skew=skew),
        draw=draw,
    )
    assert asked_at < token.refresh_at < token.hard_stop < token.expires_at
    assert token.expires_at - token.hard_stop <= max(min(skew, lifetime / 10), 0.01) + 1e-6


@given(lifetime=st.floats(1, 1e6), draw=st.floats(0, 1))
def test_refreshing_is_never_a_hot_loop(lifetime: float, draw: float) -> None:
    """At most two requests a second for a token that lives a second."""
    assert planned(lifetime, Refresh(), draw)[0] >= 0.5


def held(asked_at: float = 100.0) -> Token:
    return hold("canary", asked_at=asked_at, lifetime=100, scopes=frozenset("a"), refresh=Refresh(), draw=0.0)


def test_usable_until_the_hard_stop_and_not_at_it() -> None:
    """Edges below and at."""
    token = held()
    assert token.usable(189.999)
    assert not token.usable(190.0)


def test_bearer_and_line_are_ready_made() -> None:
    """What is written to the upstream."""
    assert held().line == b"Authorization: Bearer canary\r\n"
    assert held().bearer == b"Bearer canary"


def test_token_does_not_print() -> None:
    """Neither repr nor str shows it."""
    assert "canary" not in f"{held()!r} {held()}"


def test_backoff_doubles_up_to_its_limit() -> None:
    """The ceilings: 1, 2, 4 ... 30, 30."""
    delays = backoff(Retry(), lambda: 1.0)
    assert [next(delays) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


def test_backoff_has_full_jitter_above_a_tenth() -> None:
    """A random share of the ceiling, so that sidecars spread; chance alone makes no hot loop."""
    delays = backoff(Retry(), iter([0.5, 0.0, 0.25]).__next__)
    assert [next(delays) for _ in range(3)] == [0.5, 0.2, 1.0]


def test_backoff_with_initial_above_max_keeps_to_max() -> None:
    """`max` is the longest wait there is."""
    delays = backoff(Retry(initial=60.0, max=5.0), lambda: 1.0)
    assert [next(delays) for _ in range(3)] == [5, 5, 5]


@pytest.mark.parametrize(
    ("delay", "retry_after", "expected"),
    [(3, None, 3), (0.5, 10, 10.5), (4, 10, 11), (12, 10, 12), (0.5, 0, 0.5)],
)
def test_retry_after_is_the_least_wait(delay: float, retry_after: float | None, expected: float) -> None:
    """Complaint: 429 ignored. Never sooner than asked for, a little later, because others were asked, too."""
    assert wait(delay, retry_after, 1.0) == expected


@pytest.mark.parametrize(
    ("delay", "retry_after", "left", "expected"),
    [
        (16, None, 60, 16),
        (16, None, 20, 10),
        (16, None, 1.5, 1),
        (0.5, None, 1.5, 0.5),
        (16, None, 0, 16),
        (4, 30, 20, 31),
    ],
)
def test_wait_leaves_a_held_token_time_for_another_try(
    delay: float, retry_after: float | None, left: float, expected: float
) -> None:
    """Half of what is left, at least the first wait; what the server asked for goes before."""
    assert wait(delay, retry_after, 1.0, left) == expected
