"""The fault run's own bounds: each of them can be broken."""

from __future__ import annotations

import pytest

from benchmarks.asking import Ask, Verdict
from benchmarks.faults.acts import CUT, NO_TOKEN, PLAIN, REFUSED, SECLUDED, Act, nothing
from benchmarks.faults.score import Score, most_token_requests, score, series
from benchmarks.stream import Sent

ACT = Act("something", nothing, nothing, lambda _: True, frozenset({NO_TOKEN}), frozenset({REFUSED}))
BEGAN, LIFTED, ENDED = 100.0, 108.0, 113.0


def sent(due: float, verdict: Verdict, *, seconds: float = 0.01, subject: str = "alice") -> Sent:
    return Sent(due, due + seconds, verdict, Ask(1, subject, "", b""))


RIGHT = sent(101.0, Verdict("right"))


def scored(*more: Sent) -> Score:
    found = score(ACT, BEGAN, LIFTED, ENDED, [RIGHT, *more])
    found.proven, found.token_bound = True, 10
    return found


def test_an_act_that_held_says_nothing() -> None:
    """Failures that may be, recovery in time, few token requests."""
    found = scored(sent(109.0, Verdict("refused", NO_TOKEN)))
    assert found.broken == []
    assert found.recovered == pytest.approx(1.01)


BROKEN = {
    "wrong": (sent(101.0, Verdict("wrong", "another subject")), "1 wrong: another subject"),
    "another failure": (sent(101.0, Verdict("cut", CUT)), "1 unexpected: cut"),
    "refused with a token held": (sent(101.0, Verdict("refused", REFUSED)), f"1 unexpected: {REFUSED}"),
    "late": (sent(108.0, Verdict("refused", NO_TOKEN), seconds=5.5), "recovered after 5.5 s"),
}


@pytest.mark.parametrize(("bad", "said"), BROKEN.values(), ids=BROKEN)
def test_one_bad_answer_breaks_the_act(bad: Sent, said: str) -> None:
    """Among however many right ones."""
    assert scored(bad).broken == [said]


def test_a_newcomer_may_be_refused_where_others_may_not() -> None:
    """There is no token of theirs that could have been held."""
    assert scored(sent(101.0, Verdict("refused", REFUSED), subject="newcomer7")).broken == []


def test_a_storm_of_token_requests_breaks_the_act() -> None:
    """By the sidecar's count, and by what arrived beyond it."""
    found = scored()
    found.token_requests = 11
    assert found.broken == ["11 token requests, at most 10 expected"]
    found.token_requests, found.uncounted = 5, 50
    assert found.broken == ["50 token requests arrived that the sidecar does not count"]


def test_an_act_that_hit_nothing_is_no_success() -> None:
    """Nor one in which nothing was answered right."""
    found = scored()
    found.proven = False
    assert found.broken == ["nothing shows that the fault was there"]
    assert "not one request was answered right" in score(ACT, BEGAN, LIFTED, ENDED, []).broken


def test_the_bound_is_far_below_one_token_request_for_each_request() -> None:
    """22 tokens, a fault of 8 s at 200 requests a second: 1,600 requests."""
    assert most_token_requests(22, 26, 8.0, 0.5, 4.0) < 1600 / 4


def test_the_series_counts_by_when_requests_were_due() -> None:
    """In half seconds from the fault's beginning."""
    found = series(
        [RIGHT, sent(101.2, Verdict("cut", CUT), seconds=2.0), sent(99.9, Verdict("right"))], BEGAN
    )
    assert [(part["t"], part["good"], part["other"]) for part in found] == [(-0.5, 1, 0), (1.0, 1, 1)]
    assert found[1]["max_ms"] == 2000


def test_all_acts_have_names_of_their_own() -> None:
    """`--only` and the report go by them."""
    names = [act.name for act in (*PLAIN, *SECLUDED)]
    assert len(set(names)) == len(names)
