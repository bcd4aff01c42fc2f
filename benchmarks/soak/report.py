"""What a soak came to: its samples over time, latency in each phase, and the bounds it is held against.

Owns the judgement; how it is written down is writing.py's. Pure.
"""

from __future__ import annotations

import statistics
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.confine import Reading
from benchmarks.soak.plan import CALM, MEMORY_MIB, Plan
from benchmarks.soak.trend import Trend, cycle_means
from benchmarks.stream import Sent

# By the hour: what is resident besides files, and what leaks before that shows it - bytes given out by the C library's
# heap and blocks given out by Python's (some hundred bytes each).
GROWTH: Final = {"anonymous_mib": (1.0, "MiB"), "malloced_mib": (1.0, "MiB"), "blocks": (10_000.0, "blocks")}
TOLD_AFTER = 10.0  # minutes: before, memory is not judged by its slope
SURE_AFTER = 20.0  # minutes: from here on a slope above the limit fails even when chance may have made it
_FLAT_WITHIN = 40  # descriptors, tasks: idle connections of the load and of the pool come and go
_DISTURBED = 100.0  # ms of p99 that nobody need fear to be held up by others...
_TIMES = 3.0  # ...or so many times what it is in calm
_BUGS = ("(no JSON)", "uncaught", "internal_error")  # in the log


@dataclass
class Report:
    """Filled while it runs."""

    plan: Plan
    limits: str
    samples: list[dict[str, Any]] = field(default_factory=list)
    latencies: dict[str, array[float]] = field(default_factory=dict)  # seconds, by phase
    outcomes: Counter[str] = field(default_factory=Counter)  # of all but the right answers
    sent: int = 0
    rotations: int = 0
    token_failures: int = 0
    waited: int = 0
    events: int = 0
    longest_gap: float = 0.0
    nuisances: dict[str, Counter[str]] = field(default_factory=dict)
    sins: list[str] = field(default_factory=list)
    bystanders: list[str] = field(default_factory=list)  # what was wrong with them
    log: Counter[str] = field(default_factory=Counter)
    peak_rss_mib: float = 0.0
    group: Reading = field(default_factory=Reading)
    ended: str = ""  # why it ended early

    def took(self, phase: str, sent: Sent) -> None:
        """One ordinary request is over."""
        self.sent += 1
        self.latencies.setdefault(phase, array("f")).append(sent.seconds)
        if sent.verdict.kind != "right":
            self.outcomes[sent.verdict.what] += 1

    # -- judgement -----------------------------------------------------------------------------------------------------

    def trend(self, name: str) -> Trend | None:
        """Through the means of the cycles that began when it had settled."""
        warm = {s["cycle"] for s in self.samples if s["t"] < self.plan.settled}
        later = [(s["cycle"], s["t"], s[name]) for s in self.samples if s["cycle"] not in warm]
        return Trend.of(cycle_means(later))

    def calm(self, name: str) -> tuple[float, float]:
        """Mean of a measurement in calm: in the second cycle and in the last one."""
        found = cycle_means([(s["cycle"], s["t"], s[name]) for s in self.samples if s["phase"] == CALM])
        return (found[1][1], found[-1][1]) if len(found) > 1 else (0.0, 0.0)

    def percentiles(self, phase: str) -> tuple[float, float]:
        """(p50, p99) in milliseconds."""
        found = self.latencies.get(phase, array("f"))
        if len(found) < 2:
            return 0.0, 0.0
        cuts = statistics.quantiles(found, n=100)
        return cuts[49] * 1000, cuts[98] * 1000

    @property
    def broken(self) -> list[str]:
        """Bounds that did not hold."""
        said = [f"{count} answers: {what}" for what, count in self.outcomes.items()]
        said += [f"at the API: {sin}" for sin in self.sins[:5]]
        said += self.bystanders[:5]
        said += [f"in the log: {count} {event}" for event, count in self.log.items() if event in _BUGS]
        if self.ended:
            said.append(self.ended)
        if self.peak_rss_mib > MEMORY_MIB:
            said.append(f"{self.peak_rss_mib:.0f} MiB resident")
        if self.group.denied:
            said.append("the kernel ended a process for want of memory")
        said += self._growth() + self._disturbed() + self._unruly()
        return said

    def _growth(self) -> list[str]:
        said: list[str] = []
        for name, (limit, unit) in GROWTH.items():
            found = self.trend(name)
            if found is not None and self.plan.minutes >= TOLD_AFTER:
                above = found.slope >= limit and self.plan.minutes >= SURE_AFTER
                if found.low > limit or above:
                    said.append(f"{name} grows by {found.slope:,.1f} {unit} an hour")
        for name in ("descriptors", "tasks"):
            first, last = self.calm(name)
            if abs(last - first) > _FLAT_WITHIN:
                said.append(f"{name}: {first:.0f} at first, {last:.0f} at the end")
        return said

    def _disturbed(self) -> list[str]:
        _, calm = self.percentiles(CALM)
        most = max(_DISTURBED, _TIMES * calm)
        found = {phase: self.percentiles(phase)[1] for phase in self.latencies if phase != CALM}
        return [f"p99 {p99:.0f} ms beside {phase}" for phase, p99 in found.items() if p99 > most]

    def _unruly(self) -> list[str]:
        """Hostile callers that were served otherwise than they should, or not at all."""
        return [
            f"{phase}: {count} {what}"
            for phase, told in self.nuisances.items()
            for what, count in told.items()
            if what in ("ended otherwise", "ended early", "answered otherwise", "no word from it")
        ]
