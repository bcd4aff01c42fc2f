"""What is counted per route, and a view of it for the status page.

Owns the numbers and how many of them there can be: labels come from the configuration, and a status that an
upstream made up cannot add series without end. Knows nothing of exposition formats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

from sidecar.metrics.histogram import REQUEST_SECONDS, Histogram

OTHER = "(other)"
UNMAPPED = "(unmapped)"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
MAX_PAIRS = 80  # distinct (method, status) a route is counted by; statuses beyond that become (other)

Replay = Literal["ok", "rejected_again", "not_replayable"]
REPLAYS: tuple[Replay, ...] = ("ok", "rejected_again", "not_replayable")
REJECTIONS = (401, 403)
Gap = Literal["scope", "persona"]
GAPS: tuple[Gap, ...] = ("scope", "persona")


@dataclass(frozen=True, slots=True)
class RouteView:
    """One route's traffic so far; p50 and p95 in seconds, estimated from the buckets."""

    label: str
    requests: int
    by_class: dict[str, int]  # "2xx" -> how many
    errors: int
    rejections: int
    p50: float | None
    p95: float | None


class RouteMetrics:
    """The numbers of one route. Bound once; `finished` is the only call of the hot path."""

    __slots__ = (
        "_bounds",
        "_counts",
        "_methods",
        "durations",
        "errors",
        "gaps",
        "label",
        "rejections",
        "replays",
        "requests",
    )

    def __init__(self, label: str, methods: set[str]) -> None:
        self.label = label
        self.requests: dict[tuple[str, int | str], int] = {}
        self.durations = Histogram(REQUEST_SECONDS)
        self.errors: defaultdict[str, int] = defaultdict(int)
        self.rejections = dict.fromkeys(REJECTIONS, 0)
        self.gaps: dict[Gap, int] = dict.fromkeys(GAPS, 0)
        self.replays: dict[Replay, int] = dict.fromkeys(REPLAYS, 0)
        self._methods = methods  # shared with all routes, grows with the configuration
        self._bounds = self.durations.bounds
        self._counts = self.durations.counts

    def finished(self, method: str, status: int, seconds: float) -> None:
        """A request was answered with `status`. (Inlines Histogram.observe: called once a request.)"""
        try:
            self.requests[method, status] += 1
        except KeyError:
            self._first(method, status)
        self.durations.total += seconds
        self._counts[bisect_left(self._bounds, seconds)] += 1

    def error(self, code: str) -> None:
        """The sidecar answered itself; `code` is one of the error tree's."""
        self.errors[code] += 1

    def upstream_rejected(self, status: int) -> None:
        """The upstream said 401 or 403."""
        self.rejections[status] += 1

    def gap(self, lacks: Gap) -> None:
        """The upstream said what this route's token lacks."""
        self.gaps[lacks] += 1

    def replayed(self, outcome: Replay) -> None:
        self.replays[outcome] += 1

    def view(self) -> RouteView:
        by_class: Counter[str] = Counter()
        for (_, status), count in self.requests.items():
            by_class[OTHER if status == OTHER else f"{str(status)[0]}xx"] += count
        return RouteView(
            self.label,
            requests=by_class.total(),
            by_class=dict(sorted(by_class.items())),
            errors=sum(self.errors.values()),
            rejections=sum(self.rejections.values()),
            p50=self.durations.quantile(0.5),
            p95=self.durations.quantile(0.95),
        )

    def _first(self, method: str, status: int) -> None:
        """Count under a pair not seen before, or not worth a series of its own."""
        method = method if method in self._methods else OTHER
        pair: tuple[str, int | str] = (method, status)
        if pair not in self.requests and len(self.requests) >= MAX_PAIRS:
            pair = (method, OTHER)
        self.requests[pair] = self.requests.get(pair, 0) + 1
