"""What was measured: a number per round, and what is made of them.

Owns medians, spreads and ratios. A ratio is taken within a round, where both sides met the same machine, and only
then is the median formed.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

Key = tuple[str, str]  # (measure, peer)


@dataclass(frozen=True)
class Spread:
    """The middle of some rounds, and their ends."""

    median: float
    low: float
    high: float
    rounds: int

    @staticmethod
    def of(numbers: list[float]) -> Spread:
        return Spread(statistics.median(numbers), min(numbers), max(numbers), len(numbers))


@dataclass
class Record:
    """One run."""

    rounds: defaultdict[Key, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    disturbed: list[str] = field(default_factory=list)  # turns in which others used much of a core

    def add(self, measure: str, peer: str, turn: int, number: float) -> None:
        self.rounds[measure, peer][turn] = number

    def spread(self, measure: str, peer: str) -> Spread | None:
        numbers = list(self.rounds.get((measure, peer), {}).values())
        return Spread.of(numbers) if numbers else None

    def ratio(self, above: Key, below: Key) -> Spread | None:
        """Round by round; None when there is no round in which both were measured."""
        one, other = self.rounds.get(above, {}), self.rounds.get(below, {})
        ratios = [one[turn] / other[turn] for turn in sorted(one.keys() & other.keys()) if other[turn]]
        return Spread.of(ratios) if ratios else None

    def peers(self, measure: str) -> list[str]:
        return [peer for name, peer in self.rounds if name == measure]

    def as_json(self) -> dict[str, object]:
        return {
            "rounds": [
                {"measure": measure, "peer": peer, "numbers": list(numbers.values())}
                for (measure, peer), numbers in self.rounds.items()
            ],
            "disturbed": self.disturbed,
        }
