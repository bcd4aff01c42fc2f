"""What came of an act: counted, timed and held against its bounds.

Owns the counts, the time to recover, the series over time and the verdict. Pure.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.faults.acts import Act
from benchmarks.stream import Sent

NEWCOMER = " for a newcomer"
RECOVERED_WITHIN = 5.0  # seconds
_BIN = 0.5  # seconds
_UNDER_WAY = 20  # token requests that may have arrived and not ended when they are counted


def most_token_requests(tokens: int, newcomers: float, seconds: float, initial: float, longest: float) -> int:
    """How many token requests so many tokens may make in a fault of so many seconds: what backoff bounds, half as much
    again because chance is chance.

    Full jitter waits half the ceiling on average, which doubles from `initial` to `longest`. Newcomers' tokens are
    asked for when a request needs one, and at most twice more while they are kept.
    """
    doublings = math.ceil(math.log2(max(longest / initial, 1.0)))
    each = 1 + doublings + seconds / (longest / 2)
    return math.ceil(1.5 * tokens * each + 3 * newcomers)


@dataclass
class Score:
    """One act. Times are the loop's."""

    act: Act
    began: float
    lifted: float
    ended: float
    sent: int = 0
    right: int = 0
    failures: Counter[str] = field(default_factory=Counter)  # seen as such by the caller
    wrong: Counter[str] = field(default_factory=Counter)
    recovered: float = 0.0  # seconds from the fault's end to the last failure
    token_requests: int = 0  # from the fault's beginning to its end, by the sidecar's own count
    token_bound: int = 0
    uncounted: int = 0  # that arrived at the endpoint beyond those
    proven: bool = False
    series: list[dict[str, float]] = field(default_factory=list)

    @property
    def broken(self) -> list[str]:
        """Bounds that did not hold."""
        said = [f"{count} wrong: {what}" for what, count in self.wrong.items()]
        expected = self.act.may | {what + NEWCOMER for what in self.act.newcomers}
        unexpected = {what: count for what, count in self.failures.items() if what not in expected}
        said += [f"{count} unexpected: {what}" for what, count in unexpected.items()]
        if self.recovered > RECOVERED_WITHIN:
            said.append(f"recovered after {self.recovered:.1f} s")
        if self.token_requests > self.token_bound:
            said.append(f"{self.token_requests} token requests, at most {self.token_bound} expected")
        if self.uncounted > _UNDER_WAY:
            said.append(f"{self.uncounted} token requests arrived that the sidecar does not count")
        if not self.proven:
            said.append("nothing shows that the fault was there")
        if self.right == 0:
            said.append("not one request was answered right")
        return said

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.act.name,
            "seconds": round(self.lifted - self.began, 2),
            "sent": self.sent,
            "right": self.right,
            "failures": dict(self.failures),
            "wrong": dict(self.wrong),
            "recovered_s": round(self.recovered, 2),
            "token_requests": self.token_requests,
            "token_requests_at_most": self.token_bound,
            "broken": self.broken,
            "series": self.series,
        }


def score(act: Act, began: float, lifted: float, ended: float, sent: Sequence[Sent]) -> Score:
    """Count what was sent for an act."""
    found = Score(act, began, lifted, ended, sent=len(sent))
    for one in sent:
        verdict = one.verdict
        if verdict.kind == "right":
            found.right += 1
            continue
        newcomer = one.ask.subject.startswith("newcomer") and verdict.what not in act.may
        what = verdict.what + NEWCOMER * newcomer
        (found.wrong if verdict.kind == "wrong" else found.failures)[what] += 1
        found.recovered = max(found.recovered, one.ended - lifted)
    found.series = series(sent, began)
    return found


def series(sent: Iterable[Sent], began: float) -> list[dict[str, float]]:
    """Half seconds, by when requests were due: good and other answers, latency in milliseconds."""
    bins: dict[int, list[Sent]] = {}
    for one in sent:
        bins.setdefault(math.floor((one.due - began) / _BIN), []).append(one)
    return [
        {
            "t": at * _BIN,
            "good": sum(one.verdict.good for one in found),
            "other": sum(not one.verdict.good for one in found),
            "p50_ms": round(statistics.median(one.seconds for one in found) * 1000, 2),
            "max_ms": round(max(one.seconds for one in found) * 1000, 2),
        }
        for at, found in sorted(bins.items())
    ]
