"""What is to be reached, as a table, and the report that holds a run against it.

Owns the goals and how a run is written down as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.record import Key, Record, Spread

LOG, QUIET = "+log", ""  # behind a peer's name: it writes a line per request, or none


@dataclass(frozen=True)
class Goal:
    """A number or a ratio, and on which side of what it shall be."""

    text: str
    above: Key
    below: Key | None
    sense: Literal[">=", "<="]
    limit: float

    def reached(self, record: Record) -> Spread | None:
        if self.below is not None:
            return record.ratio(self.above, self.below)
        return record.spread(*self.above)

    def met(self, found: Spread) -> bool:
        return found.median >= self.limit if self.sense == ">=" else found.median <= self.limit


RPS, P99, RSS, RISE, START = "requests/s", "p99 ms", "RSS MiB", "RSS rise MiB", "start to 200 s"
P50, CPU, DOWN, UP, TOKEN = "p50 ms", "CPU ms/1000", "down MB/s", "up MB/s", "bytes/token"
S_LOG, S = "sidecar" + LOG, "sidecar" + QUIET


def _over(name: str, limit: float) -> list[Goal]:
    return [
        Goal(f"requests/s ÷ {name}, a log line each", (RPS, S_LOG), (RPS, name + LOG), ">=", limit),
        Goal(f"requests/s ÷ {name}, no log", (RPS, S), (RPS, name + QUIET), ">=", limit),
    ]


GOALS = [
    *_over("envoy", 1.0),
    *_over("caddy", 1.5),
    *_over("aiohttp", 3.0),
    Goal("p99 at 500 requests/s ÷ envoy", (P99, S_LOG), (P99, "envoy" + LOG), "<=", 1.5),
    Goal("RSS under load ÷ envoy", (RSS, S_LOG), (RSS, "envoy" + LOG), "<=", 1.0),
    Goal("RSS under load, MiB", (RSS, S_LOG), None, "<=", 64.0),
    Goal("RSS rise during a body of 64 MiB, MiB", (RISE, S_LOG), None, "<=", 16.0),
    Goal("start to the first 200, s", (START, S_LOG), None, "<=", 1.0),
    Goal("64 MiB down, MB/s ÷ envoy", (DOWN, S_LOG), (DOWN, "envoy" + LOG), ">=", 0.8),
    Goal("64 MiB up, MB/s ÷ envoy", (UP, S_LOG), (UP, "envoy" + LOG), ">=", 0.8),
    Goal("10,000 subjects' tokens ÷ one", (RPS, "many subjects"), (RPS, "one subject"), ">=", 0.95),
    Goal("1,000 routes ÷ 10", (RPS, "1000 routes"), (RPS, "10 routes"), ">=", 0.97),
    Goal("request log on ÷ off", (RPS, S_LOG), (RPS, S), ">=", 0.9),
]
_COLUMNS = (RPS, CPU, RSS, P50, P99, DOWN, UP, RISE, START, TOKEN)


def table(rows: list[list[str]]) -> str:
    """Aligned columns; the first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(c.ljust(w) if not n else c.rjust(w) for n, (c, w) in enumerate(zip(row, widths, strict=True)))
             for row in rows]  # fmt: skip
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def medians(record: Record) -> str:
    """Each peer's medians."""
    peers = list(dict.fromkeys(peer for measure in _COLUMNS for peer in record.peers(measure)))
    rows = [["", *_COLUMNS]]
    for peer in peers:
        found = [record.spread(measure, peer) for measure in _COLUMNS]
        rows.append([peer, *("" if s is None else number(s.median) for s in found)])
    return table(rows)


def verdicts(record: Record) -> str:
    """Each goal: what was reached, over which rounds, and whether that is enough."""
    rows = [["goal", "wanted", "reached", "rounds from .. to", ""]]
    for goal in GOALS:
        found = goal.reached(record)
        if found is None:
            rows.append([goal.text, f"{goal.sense} {goal.limit:g}", "-", "", "not measured"])
            continue
        spread = f"{number(found.low)} .. {number(found.high)} ({found.rounds})"
        missed = "" if goal.met(found) else f"missed by {abs(found.median - goal.limit) / goal.limit:.0%}"
        rows.append(
            [goal.text, f"{goal.sense} {goal.limit:g}", number(found.median), spread, missed or "met"]
        )
    return table(rows)


def all_met(record: Record) -> bool:
    return all((found := goal.reached(record)) is not None and goal.met(found) for goal in GOALS)
