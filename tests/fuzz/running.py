"""How a target is run for a while: rounds of examples, each with a seed that repeats it.

Owns time, seeds, counting, and what is printed about a failure so that it can be made again. Knows no target.
Examples that failed are kept in .fuzz/examples and tried first the next time.
"""

from __future__ import annotations

import contextlib
import functools
import re
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, given, reproduce_failure, settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase
from hypothesis.errors import DidNotReproduce
from hypothesis.stateful import RuleBasedStateMachine, get_state_machine_test
from hypothesis.strategies import SearchStrategy

KEPT = ".fuzz/examples"
_FIRST_ROUND = 20
_ROUND = 8.0  # seconds that a round should take
_BLOB = re.compile(r"@reproduce_failure\('[^']*', b'([^']*)'\)")


@dataclass(frozen=True)
class Target:
    """Something that is fuzzed.

    `check` is called with what `given` generates; or `machine` makes state machines. `ready` is around all rounds:
    what is started once.
    """

    name: str
    about: str
    given: tuple[SearchStrategy[Any], ...] = ()
    check: Callable[..., None] | None = None
    machine: Callable[[], RuleBasedStateMachine] | None = None
    ready: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    share: int = 1  # of the time, beside the others

    def test(self, count: Callable[[], None]) -> Callable[[], None]:
        """A new hypothesis test, without settings. `count` is called for each run."""
        if self.machine is not None:
            make = self.machine

            def counted() -> RuleBasedStateMachine:
                count()
                return make()

            # The inner function tells hypothesis apart what it keeps of each target.
            test = get_state_machine_test(counted)  # type: ignore[arg-type]  # called, nothing else
            test.__qualname__ = f"fuzz_{self.name}"
            return test
        assert self.check is not None
        check = self.check

        @functools.wraps(check)
        def counting(**values: Any) -> None:
            count()
            check(**values)

        return given(*self.given)(counting)


@dataclass
class Result:
    """What came of one target."""

    name: str
    runs: int = 0
    seconds: float = 0.0
    failure: str | None = None  # the shortest example, as hypothesis tells it
    again: str | None = None  # the arguments that make it again


def run(target: Target, seconds: float, seed: int, *, keep: bool = True) -> Result:
    """Rounds of examples until the time is over or one fails."""
    result, began, number = Result(target.name), time.monotonic(), 0
    examples = _FIRST_ROUND
    with target.ready():
        while result.failure is None and (number == 0 or time.monotonic() - began < seconds):
            started = time.monotonic()
            _round(target, result, seed + number, examples, keep=keep)
            took, number = max(time.monotonic() - started, 0.001), number + 1
            left = seconds - (time.monotonic() - began)
            examples = max(5, min(20_000, int(examples * min(_ROUND, max(left, 0.1)) / took)))
    result.seconds = time.monotonic() - began
    return result


def once(target: Target, examples: int, seed: int, *, shrink: bool = True) -> Result:
    """One round: as many examples, from this seed."""
    result, began = Result(target.name), time.monotonic()
    with target.ready():
        _round(target, result, seed, examples, keep=False, shrink=shrink)
    result.seconds = time.monotonic() - began
    return result


def again(target: Target, blob: str) -> Result:
    """The one example that a failure named."""
    result = Result(target.name)
    with target.ready():
        _attempt(
            target,
            result,
            lambda test: reproduce_failure(hypothesis.__version__, blob.encode())(test),
            1,
            None,
        )
    return result


def _round(
    target: Target, result: Result, seed: int, examples: int, *, keep: bool, shrink: bool = True
) -> None:
    kept = DirectoryBasedExampleDatabase(KEPT) if keep else None
    _attempt(target, result, hypothesis.seed(seed), examples, kept, shrink=shrink)
    if result.failure is not None and result.again is None:
        result.again = f"SEED={seed} EXAMPLES={examples}"


def _attempt(
    target: Target,
    result: Result,
    decorate: Callable[[Callable[[], None]], Callable[[], None]],
    examples: int,
    database: ExampleDatabase | None,
    *,
    shrink: bool = True,
) -> None:
    def count() -> None:
        result.runs += 1

    chosen = settings(
        max_examples=examples,
        database=database,
        deadline=None,
        print_blob=True,
        phases=(Phase.reuse, Phase.generate, Phase.target, *([Phase.shrink] if shrink else [])),
        suppress_health_check=list(HealthCheck),
        stateful_step_count=40,
        report_multiple_bugs=False,
    )
    test = chosen(decorate(_bare(target.test(count))))
    try:
        test()
    except DidNotReproduce:
        pass  # what the example showed is mended
    except Exception as found:
        result.failure = "".join(traceback.format_exception(found))
        blob = _BLOB.search(result.failure)
        if blob:
            result.again = f"BLOB={blob[1]}"


def _bare(test: Any) -> Any:
    """A state machine's test comes with settings of its own."""
    for name in ("_hypothesis_internal_settings_applied", "_hypothesis_internal_use_settings"):
        with contextlib.suppress(AttributeError):
            delattr(test, name)
    return test


def split(targets: list[Target], seconds: float) -> Iterator[tuple[Target, float]]:
    """The time of each."""
    whole = sum(target.share for target in targets)
    for target in targets:
        yield target, seconds * target.share / whole
