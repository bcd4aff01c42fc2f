"""A run of the comparison as a picture.

    .bench/bin/python benchmarks/plot.py bench.json docs/performance.svg

Reads what `python -m benchmarks.bench --json` wrote. Needs matplotlib, which benchmarks/install puts into `.bench`.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

_PEERS = ("aiohttp", "caddy", "envoy", "sidecar", "nginx")
_OURS, _THEIRS = "#2563eb", "#94a3b8"


def numbers(run: dict[str, Any]) -> dict[tuple[str, str], list[float]]:
    return {(entry["measure"], entry["peer"]): entry["numbers"] for entry in run["rounds"]}


def bars(axes: Any, title: str, found: dict[str, list[float]]) -> None:
    """A bar for each peer at its median; the line through its end goes from the lowest round to the highest."""
    for row, (name, values) in enumerate(found.items()):
        middle = statistics.median(values)
        axes.barh(row, middle, color=_OURS if name.startswith("sidecar") else _THEIRS, height=0.62)
        axes.plot([min(values), max(values)], [row, row], color="#0f172a", linewidth=1.2)
        axes.text(
            max(values),
            row,
            f" {middle:,.0f}" if middle >= 100 else f" {middle:.1f}",
            va="center",
            fontsize=8,
        )
    axes.set_yticks(range(len(found)), list(found), fontsize=8)
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlim(0, 1.2 * max(max(values) for values in found.values()))
    axes.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def draw(run: dict[str, Any], file: Path) -> None:
    found = numbers(run)

    def of(measure: str, suffix: str) -> dict[str, list[float]]:
        return {p: found[measure, p + suffix] for p in _PEERS if (measure, p + suffix) in found}

    figure, grid = plt.subplots(2, 2, figsize=(9, 5))
    bars(grid[0][0], "requests a second, a log line for each", of("requests/s", "+log"))
    bars(grid[0][1], "requests a second, no log", of("requests/s", ""))
    bars(grid[1][0], "CPU milliseconds for 1,000 requests, log on", of("CPU ms/1000", "+log"))
    bars(grid[1][1], "resident memory under load, MiB", of("RSS MiB", "+log"))
    figure.suptitle(
        f"One core, TLS to the upstream, 1 KB answers. {run['machine']}", fontsize=8, color="#475569"
    )
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2]))
