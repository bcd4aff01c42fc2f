"""The soak's own arithmetic: a leak is called one, noise is not."""

from __future__ import annotations

import random
from typing import Any

import pytest

from benchmarks.asking import Ask, Verdict
from benchmarks.confine import Reading
from benchmarks.soak.plan import CALM, SLOWLORIS, Plan
from benchmarks.soak.report import Report
from benchmarks.soak.trend import Trend, cycle_means
from benchmarks.stream import Sent


def samples(
    *,
    leak: float = 0.0,
    malloced: float = 0.0,
    blocks: int = 0,
    noise: float = 0.3,
    tasks: int = 0,
    minutes: int = 30,
) -> list[dict[str, Any]]:
    """Every 5 s; `leak` and `malloced` in MiB, `blocks` an hour, `tasks` more in each cycle of three minutes."""
    chance = random.Random(1)
    found = []
    for at in range(0, minutes * 60, 5):
        cycle = at // 180
        found.append({
            "t": at,
            "cycle": cycle,
            "phase": CALM if at % 180 < 60 else SLOWLORIS,
            "anonymous_mib": 60 + leak * at / 3600 + chance.uniform(-noise, noise),
            "malloced_mib": 20 + malloced * at / 3600,
            "blocks": 500_000 + blocks * at // 3600,
            "rss_mib": 70.0,
            "descriptors": 1300,
            "tasks": 1300 + tasks * cycle,
        })  # fmt: skip
    return found


def report(**changes: Any) -> Report:
    return Report(Plan(30), "", samples=samples(**changes))


def sent(seconds: float, verdict: Verdict) -> Sent:
    return Sent(0.0, seconds, verdict, Ask(1, "alice", "", b""))


def test_the_line_goes_through_the_points_and_is_sure_of_itself() -> None:
    """No noise: the interval is the slope."""
    found = Trend.of([(0, 1.0), (1800, 2.0), (3600, 3.0), (7200, 5.0)])
    assert found is not None
    assert [found.slope, found.low, found.high] == pytest.approx([2, 2, 2])


def test_two_points_are_no_trend() -> None:
    """A line always goes through two."""
    assert Trend.of([(0, 1.0), (60, 2.0)]) is None


def test_interval_is_students() -> None:
    """Against a textbook's numbers: y = 1, 3, 2, 5, 4 at x = 1 .. 5 hours has slope 0.8 +- 1.10."""
    found = Trend.of([(3600 * x, y) for x, y in enumerate((1.0, 3.0, 2.0, 5.0, 4.0), 1)])
    assert found is not None
    assert found.slope == pytest.approx(0.8)
    assert found.high - found.slope == pytest.approx(3.182 * 0.34641, rel=1e-3)


@pytest.mark.parametrize(("leak", "word"), [(0.0, "flat"), (3.0, "grows")])
def test_a_leak_is_told_from_noise_within_half_an_hour(leak: float, word: str) -> None:
    """0.6 MiB of noise, from sample to sample."""
    found = report(leak=leak).trend("anonymous_mib")
    assert found is not None
    assert found.word(1.0) == word


def test_cycles_before_it_has_settled_do_not_count() -> None:
    """What a process fills until all its tokens have been renewed twice is no leak; one that goes on is."""
    warm = report()
    for sample in warm.samples:
        if sample["t"] < warm.plan.settled:
            sample["anonymous_mib"] -= 20
    assert warm.broken == []
    assert (warm.plan.settled, Plan(12).settled) == (600, 360)


def test_means_are_of_cycles() -> None:
    """In the order in which they came."""
    assert cycle_means([(0, 0, 1), (0, 10, 3), (1, 20, 5)]) == [(5, 2), (20, 5)]


def test_a_calm_run_breaks_no_bound() -> None:
    """Else the next tests would show nothing."""
    assert report().broken == []


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "memory": ({"samples": samples(leak=3.0)}, "anonymous_mib grows by"),
    "bytes": ({"samples": samples(malloced=1.5)}, "malloced_mib grows by 1.5 MiB an hour"),
    "objects": ({"samples": samples(blocks=20_000)}, "blocks grows by 20,000.0 blocks an hour"),
    "tasks": ({"samples": samples(tasks=20)}, "tasks: 1320 at first, 1480 at the end"),
    "too much memory": ({"peak_rss_mib": 129.0}, "129 MiB resident"),
    "out of memory": ({"group": Reading(0, 0.0, 1)}, "want of memory"),
    "an expired token": ({"sins": ["a token that expired"]}, "at the API: a token"),
    "a broken stream": ({"bystanders": ["event stream: EOFError"]}, "event stream"),
    "a traceback": ({"log": {"(no JSON)": 1}}, "in the log"),
    "its end": ({"ended": "the sidecar ended"}, "the sidecar ended"),
    "a slow reader cut": ({"nuisances": {"slow readers": {"ended early": 2}}}, "2 ended early"),
}


@pytest.mark.parametrize(("changes", "said"), BROKEN.values(), ids=BROKEN)
def test_what_must_not_be_is_said(changes: dict[str, Any], said: str) -> None:
    """One bound broken, one line."""
    found = report()
    for name, value in changes.items():
        setattr(found, name, value)
    (line,) = found.broken
    assert said in line


def test_an_answer_that_is_not_right_is_said() -> None:
    """Whatever it is, also the sidecar's own errors: nothing was made to go wrong."""
    found = report()
    found.took(CALM, sent(0.01, Verdict("refused", "503 overloaded")))
    assert found.broken == ["1 answers: 503 overloaded"]


def test_others_that_are_held_up_are_said() -> None:
    """p99 beside a hostile caller, against 100 ms or three times that of calm."""
    found = report()
    for _ in range(100):
        found.took(CALM, sent(0.01, Verdict("right")))
        found.took(SLOWLORIS, sent(0.2, Verdict("right")))
    assert found.broken == ["p99 200 ms beside slowloris"]


def test_phases_fill_the_time_in_whole_cycles() -> None:
    """At least four, however short the run is."""
    for minutes in (1.0, 12.0, 30.0):
        phases = list(Plan(minutes).phases())
        assert sum(seconds for _, _, seconds in phases) == pytest.approx(60 * minutes)
        assert phases[-1][0] >= 3
