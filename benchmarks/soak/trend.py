"""Does it grow? A straight line through measurements, and how sure its slope is.

Owns the regression and the judgement. Pure.

A process's memory is no independent noise: what is resident now is much of what was resident a second ago, and an
interval computed from thousands of such samples would be far too narrow. So the samples of a whole cycle - calm and
every kind of hostile caller - make one number, its mean, and the line goes through those: n cycles give n - 2 degrees
of freedom.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

# Two-sided 95 % quantiles of Student's t for 1, 2, ... degrees of freedom.
_T = (
    12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip

Word = Literal["flat", "below the limit, not surely", "above the limit, not surely", "grows"]


@dataclass(frozen=True)
class Trend:
    """Units of the measurement for each hour; the slope is between `low` and `high` with 95 % confidence."""

    slope: float
    low: float
    high: float
    points: int

    @staticmethod
    def of(points: Sequence[tuple[float, float]]) -> Trend | None:
        """`points` are (seconds, value); None with fewer than three."""
        if len(points) < 3:
            return None
        hours = [at / 3600 for at, _ in points]
        values = [value for _, value in points]
        slope, start = statistics.linear_regression(hours, values)
        middle = statistics.fmean(hours)
        spread = sum((hour - middle) ** 2 for hour in hours)
        freedom = len(points) - 2
        squares = sum((value - start - slope * hour) ** 2 for hour, value in zip(hours, values, strict=True))
        error = math.sqrt(squares / freedom / spread)
        reach = error * (_T[freedom - 1] if freedom <= len(_T) else 1.96)
        return Trend(slope, slope - reach, slope + reach, len(points))

    def word(self, limit: float) -> Word:
        """Held against a limit."""
        if self.high < limit:
            return "flat"
        if self.low > limit:
            return "grows"
        return "below the limit, not surely" if self.slope < limit else "above the limit, not surely"


def cycle_means(samples: Sequence[tuple[int, float, float]]) -> list[tuple[float, float]]:
    """(cycle, seconds, value) of each sample to (mean seconds, mean value) of each cycle."""
    found: dict[int, list[tuple[float, float]]] = {}
    for cycle, at, value in samples:
        found.setdefault(cycle, []).append((at, value))
    return [
        (statistics.fmean(at for at, _ in some), statistics.fmean(value for _, value in some))
        for some in found.values()
    ]
