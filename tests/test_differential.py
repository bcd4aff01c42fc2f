"""What decides that the sidecar takes more than other proxies do; the comparison itself is `make test-differential`."""

from __future__ import annotations

import pytest

from tests.differential import judging
from tests.differential.asking import Outcome, Request
from tests.differential.corpus import cases
from tests.differential.judging import judge, summary

_X, _NEXT = Request("GET", "/x", b""), Request("GET", "/next", b"")
_BODY = Request("POST", "/x", b"hello")


def outcome(*requests: Request, odd: bool = False) -> Outcome:
    return Outcome(requests, (200,) * len(requests), odd)


@pytest.mark.parametrize(
    ("ours", "others", "kind"),
    [
        (outcome(_X), [outcome(_X), outcome()], "as others"),
        (outcome(), [outcome(_X), outcome()], "as others"),
        (outcome(), [outcome(_X), outcome(_X)], "stricter"),
        (outcome(_X), [outcome(), outcome()], "more lenient"),
        (outcome(_X, _NEXT), [outcome(_X), outcome(_X)], "more lenient"),
        (outcome(_X), [outcome(_BODY), outcome(_BODY)], "more lenient"),
        (outcome(Request("GET", "/y", b"")), [outcome(_X), outcome()], "as others"),
        (outcome(odd=True), [outcome(_X), outcome(_X)], "more lenient"),
    ],
)
def test_more_lenient_is_more_than_all_others(ours: Outcome, others: list[Outcome], kind: str) -> None:
    """Counted in whole requests at the upstream, and by method and body; the path is each proxy's own business."""
    assert judge("a case", {"sidecar": ours, "a": others[0], "b": others[1]}).kind == kind


def test_deliberate_leniency_has_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the whole name of a case or by its beginning."""
    monkeypatch.setattr(judging, "EXCEPTIONS", {"a *": "because", "b": "therefore"})
    found = {"sidecar": outcome(_X), "a": outcome()}
    assert [judge(name, found).why for name in ("a case", "b")] == ["because", "therefore"]
    assert judge("b case", found).kind == "more lenient"


def test_cases_are_several_hundred_and_the_same_each_time() -> None:
    """A mutation that shows something can be found again by its name."""
    found = cases()
    assert len(found) > 700
    assert found == cases()
    assert len(set(found.values())) == len(found)
    assert summary({"x": {"sidecar": outcome(_X, _NEXT), "a": outcome(odd=True)}}) == [
        ("sidecar", 1, 2, 0),
        ("a", 0, 0, 1),
    ]
