"""The fuzzers' judges see what they are there for: each target finds a defect that is planted, from fixed seeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from sidecar.config import loading
from sidecar.config.loading import load
from sidecar.metrics import exposition
from sidecar.oauth import answer, keyset
from sidecar.openapi.operations import document
from sidecar.openapi.reading import read
from sidecar.proxy import headers, subject
from sidecar.proxy.answer import AnswerReader
from sidecar.proxy.attempt import Attempt
from sidecar.proxy.caller import CallerConnection
from sidecar.routing import routes, target
from sidecar.tokens import token
from sidecar.tokens.keeper import Keeper
from tests.fuzz import documents
from tests.fuzz.catalogue import TARGETS
from tests.fuzz.running import Result, Target, again, once, run

BY_NAME = {one.name: one for one in TARGETS}
Plant = Callable[[pytest.MonkeyPatch], None]


def _never_reject(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keeper, "reject", lambda self, token: True)


def _no_backoff(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keeper, "_may_ask", lambda self, now: self._shared.spawn is not None)


def _late_stop(patch: pytest.MonkeyPatch) -> None:
    original = token.planned

    def planned(lifetime: float, *rest: Any) -> tuple[float, float]:
        ahead, stop = original(lifetime, *rest)
        return ahead, stop + lifetime / 20

    patch.setattr(token, "planned", planned)


def _no_timer(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Keeper, "_asks_at", lambda self, now: None)


def _reuse_everything(patch: pytest.MonkeyPatch) -> None:
    original = AnswerReader.end

    def end(self: AnswerReader) -> bool:
        self.reusable = True
        return original(self)

    patch.setattr(AnswerReader, "end", end)


def _retry_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("sidecar.proxy.attempt._IDEMPOTENT", frozenset({"GET", "HEAD", "PUT", "POST"}))


def _no_cut(patch: pytest.MonkeyPatch) -> None:
    def failed(self: Attempt, fault: Any, unanswered: bool) -> None:
        if self.answering and self._chunked:
            self.answer_end()
            self.flush()
        else:
            original(self, fault, unanswered)

    original = Attempt.failed
    patch.setattr(Attempt, "failed", failed)


def _keep_authorization(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(headers._REQUEST, b"authorization", headers.Field.PLAIN)


def _parser_errors_are_silent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("sidecar.proxy.admission.check_framing", lambda version, head: None)


def _go_on_after_errors(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CallerConnection, "close_lingeringly", lambda self: None)


def _decode_slash(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(target, "_FORBIDDEN_ENCODED", frozenset(b"\\"))


def _order_matters(patch: pytest.MonkeyPatch) -> None:
    original = routes.RouteTable.__init__
    patch.setattr(routes.RouteTable, "__init__", lambda self, given: original(self, list(given)[:1]))


def _no_names(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(headers, "connection_names", lambda value: frozenset())


def _trimmed_subject(patch: pytest.MonkeyPatch) -> None:
    original = subject.text
    patch.setattr(subject, "text", lambda raw: original(raw.strip(b"\xef\xbb\xbf~")))


def _any_lifetime(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answer, "_lifetime", lambda expires_in, *rest: float(expires_in or 60))


def _nothing_hidden(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(answer, "one_line", lambda text, hide=(): text[:100])


def _any_key(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(keyset, "GARBAGE", (ValueError,))


def _crash_on_config(patch: pytest.MonkeyPatch) -> None:
    original = loading._convert
    patch.setattr(
        loading, "_convert", lambda data, context: original({**data, "routes": data["routes"]}, context)
    )


def _no_escapes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(exposition, "_escaped", lambda value: value.replace("\n", " "))


PLANTED: list[tuple[str, Plant, int]] = [
    ("keeper", _never_reject, 60),
    ("keeper", _no_backoff, 60),
    ("keeper", _late_stop, 120),
    ("keeper", _no_timer, 60),
    ("upstream", _reuse_everything, 40),
    ("upstream", _retry_everything, 60),
    ("upstream", _no_cut, 40),
    ("raw-http", _keep_authorization, 400),
    ("raw-http", _parser_errors_are_silent, 2000),
    ("raw-http", _go_on_after_errors, 400),
    ("targets", _decode_slash, 1000),
    ("routes", _order_matters, 300),
    ("fields", _no_names, 1000),
    ("subjects", _trimmed_subject, 2000),
    ("token-answers", _any_lifetime, 1000),
    ("token-answers", _nothing_hidden, 1000),
    ("key-sets", _any_key, 3000),
    ("configs", _crash_on_config, 3000),
    ("exposition", _no_escapes, 200),
]


_ROUNDS = 12


@pytest.mark.parametrize(
    ("name", "plant", "examples"),
    PLANTED,
    ids=[f"{name}: {plant.__name__.strip('_')}" for name, plant, _ in PLANTED],
)
def test_planted_defect_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, plant: Plant, examples: int
) -> None:
    """The same target without it finds nothing, or `make fuzz` would fail.

    What a seed makes depends on the modules that are loaded - Hypothesis takes constants from them - so that one
    round may miss what the next one finds.
    """
    plant(monkeypatch)
    rounds = (once(BY_NAME[name], examples, seed, shrink=False) for seed in range(1, _ROUNDS + 1))
    found = next((result for result in rounds if result.failure is not None), None)
    assert found is not None, f"{_ROUNDS} rounds of {examples} examples, and nothing found"
    assert found.again


def test_good_input_is_good(tmp_path: Path) -> None:
    """What is mutated would be taken as it is: fuzzing only what is refused at its first key shows little."""
    (tmp_path / "more.yaml").write_bytes(documents.MORE)
    (tmp_path / "sidecar.yaml").write_bytes(documents.RICH)
    assert len(load(tmp_path / "sidecar.yaml", {"SECRET": "x", "CLIENT": "y"}).config.routes) == 6
    for raw in documents.SEEDS_OF_SPECS:
        assert document(read(raw), None).operations


def test_failure_is_made_again_by_what_is_printed() -> None:
    """The example that failed, alone, from its blob."""

    def check(number: int) -> None:
        assert number < 1000

    made = Target("made", "", (st.integers(),), check)
    found = once(made, 200, seed=1)
    assert found.failure is not None
    assert "number=1000" in found.failure
    assert found.again is not None
    repeated = again(made, found.again.removeprefix("BLOB="))
    assert repeated.runs == 1
    assert repeated.failure is not None
    assert "assert number < 1000" in repeated.failure


def test_rounds_end_with_the_time() -> None:
    """And nothing is found where nothing is."""
    result: Result = run(Target("made", "", (st.booleans(),), lambda flag: None), 0.2, seed=1, keep=False)
    assert result.failure is None
    assert result.runs >= 2
    assert result.seconds < 20
