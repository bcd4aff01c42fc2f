"""A histogram of seconds: plain numbers, one bisect per observation.

Owns bucket bounds and what is estimated from buckets. prometheus-client's own `Histogram.observe` takes a
lock and walks its buckets in Python; here everything runs on one event loop, so an int in a list is enough.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

# From what the sidecar itself adds (1 ms) to the default response timeout (60 s).
REQUEST_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
# A token request crosses the Internet and is cut at tokens.request_timeout (10 s).
TOKEN_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@cache
def _written(bounds: tuple[float, ...]) -> tuple[str, ...]:
    """Each bound as the value of the label `le`."""
    return (*map(str, bounds), "+Inf")


class Histogram:
    """Counts per bucket (not cumulative); the last one is everything above the last bound."""

    __slots__ = ("bounds", "counts", "total", "written")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.written = _written(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        self.total += seconds
        self.counts[bisect_left(self.bounds, seconds)] += 1  # `le` is inclusive

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """(`le` as it is written, how many at or below it), ending with `+Inf`: the count of all."""
        return zip(self.written, accumulate(self.counts), strict=True)

    def quantile(self, share: float) -> float | None:
        """Estimate, linear inside a bucket as in PromQL's `histogram_quantile`; None when nothing was seen.

        What lies above the last bound is reported as that bound.
        """
        rank, below, lower = share * sum(self.counts), 0, 0.0
        if not rank:
            return None
        for upper, count in zip(self.bounds, self.counts, strict=False):
            if count and below + count >= rank:
                return lower + (upper - lower) * (rank - below) / count
            below, lower = below + count, upper
        return self.bounds[-1]
