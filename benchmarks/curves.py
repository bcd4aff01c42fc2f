"""The runs of docs/reliability.md as pictures: memory over time, latency around faults, an outage beside Envoy.

    .bench/bin/python benchmarks/curves.py faults.json soak.json outage.json docs

Reads what `python -m benchmarks.faults`, `.soak` and `.outage` wrote with --json. Needs matplotlib, which
benchmarks/install puts into `.bench`.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt

_OURS, _SOONER, _THEIRS, _BAD = "#2563eb", "#93c5fd", "#94a3b8", "#dc2626"
_SHADE = "#f1f5f9"
_SHOWN = (
    "token endpoint stopped", "token endpoint frozen", "token endpoint throttles", "client secret rotated",
    "API stopped", "API frozen", "API slow", "API garbled",
    "configuration broken", "callers without end", "clock an hour ahead", "names not found",
)  # fmt: skip


def plain(axes: Any, title: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.tick_params(labelsize=7)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def save(figure: Any, about: str, file: Path) -> None:
    figure.suptitle(textwrap.fill(about, 130), fontsize=8, color="#475569")
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})


def memory(run: dict[str, Any], file: Path) -> None:
    """Resident memory, descriptors and tasks; the shaded times are those of hostile callers."""
    samples = run["samples"]
    minutes = [sample["t"] / 60 for sample in samples]
    figure, rows = plt.subplots(3, 1, figsize=(9, 6), sharex=True)
    for axes in rows:
        for at, sample in zip(minutes, samples, strict=True):
            if sample["phase"] != "calm":
                axes.axvspan(at - 5 / 60, at, color=_SHADE, linewidth=0)
    rows[0].plot(minutes, [s["rss_mib"] for s in samples], color=_OURS, linewidth=1)
    rows[0].plot(minutes, [s["anonymous_mib"] for s in samples], color=_SOONER, linewidth=1)
    rows[0].axhline(128, color=_BAD, linewidth=0.8, linestyle="--")
    rows[0].set_ylim(0, 140)
    plain(rows[0], "memory, MiB: resident, and of it not backed by files; dashed: the limit")
    rows[1].plot(minutes, [s["descriptors"] for s in samples], color=_OURS, linewidth=1)
    rows[1].plot(minutes, [s["tasks"] for s in samples], color=_SOONER, linewidth=1)
    rows[1].set_ylim(0)
    plain(rows[1], "open descriptors (dark) and tasks (light)")
    rows[2].plot(minutes, [s["p99_ms"] for s in samples], color=_OURS, linewidth=0.8)
    rows[2].set_yscale("log")
    rows[2].set_xlabel("minutes", fontsize=8)
    plain(rows[2], "p99 of the others' requests in each 5 s, ms; shaded: beside hostile callers")
    plan = run["plan"]
    about = (
        f"{plan['rate']:g} requests a second, {plan['subjects']:,} subjects, {plan['idle']:,} idle connections, "
        f"{plan['streams']} event streams; {run['limits']}. {run['machine']}"
    )
    save(figure, about, file)


def faults(run: dict[str, Any], file: Path) -> None:
    """The slowest and the median request of each half second, and those not answered right."""
    acts = {act["name"]: act for act in run["faults"]}
    figure, grid = plt.subplots(3, 4, figsize=(11, 6.5), sharey=True)
    for axes, name in zip(grid.flat, _SHOWN, strict=True):
        act = acts[name]
        series = act["series"]
        times = [part["t"] for part in series]
        axes.axvspan(0, act["seconds"], color=_SHADE, linewidth=0)
        axes.plot(times, [max(part["max_ms"], 0.5) for part in series], color=_THEIRS, linewidth=0.8)
        axes.plot(times, [max(part["p50_ms"], 0.5) for part in series], color=_OURS, linewidth=1.2)
        share = axes.twinx()
        failed = [100 * part["other"] / (part["good"] + part["other"]) for part in series]
        share.fill_between(times, failed, step="post", color=_BAD, alpha=0.25, linewidth=0)
        share.set_ylim(0, 100)
        share.tick_params(labelsize=6, colors=_BAD)
        share.spines["top"].set_visible(False)
        axes.set_yscale("log")
        plain(axes, name)
    about = (
        "ms: median (blue) and slowest (grey) request of each half second; red, right: % not answered right; "
        f"shaded: the fault. {run['rate']:g} requests a second. {run['machine']}"
    )
    save(figure, about, file)


def outage(run: dict[str, Any], file: Path) -> None:
    """Token requests and failed requests since the outage began, by proxy."""
    kinds = list(dict.fromkeys(one["kind"] for one in run["results"]))
    figure, grid = plt.subplots(2, len(kinds), figsize=(3.4 * len(kinds), 5.2), sharex=True, squeeze=False)
    for column, kind in enumerate(kinds):
        for axes, measure in zip(grid[:, column], ("token_requests", "failed"), strict=True):
            axes.axvspan(0, run["outage"], color=_SHADE, linewidth=0)
            for one in (one for one in run["results"] if one["kind"] == kind):
                color = (
                    _THEIRS if one["proxy"] == "envoy" else _OURS if one["proxy"] == "sidecar" else _SOONER
                )
                times = [part["t"] for part in one["series"]]
                values = [part[measure] for part in one["series"]]
                axes.plot(times, values, color=color, linewidth=1.4, label=one["proxy"])
            title = {"token_requests": "token requests since then", "failed": "failed requests a second"}[
                measure
            ]
            plain(axes, f"{kind}: {title}")
        grid[1][column].set_xlabel("seconds", fontsize=8)
    grid[0][0].legend(fontsize=7, frameon=False)
    about = (
        f"The token endpoint is out of order for {run['outage']:g} s (shaded); tokens live {run['lifetime']:g} s; "
        f"{run['rate']:g} requests a second to each. {run['machine']}"
    )
    save(figure, about, file)


if __name__ == "__main__":
    *runs, folder = map(Path, sys.argv[1:])
    drawings = (
        (faults, "reliability-faults.svg"),
        (memory, "reliability-soak.svg"),
        (outage, "reliability-outage.svg"),
    )
    for source, (draw, name) in zip(runs, drawings, strict=True):
        draw(json.loads(source.read_text(encoding="utf-8")), folder / name)
