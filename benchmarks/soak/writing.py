"""A soak written down: a line while it runs, a page at its end, JSON with everything.

Owns words and columns. Pure.
"""

from __future__ import annotations

from typing import Any

from benchmarks.goals import table
from benchmarks.soak.plan import CALM
from benchmarks.soak.report import GROWTH, TOLD_AFTER, Report

_MEASURED = ("rss_mib", "anonymous_mib", "descriptors", "tasks", "blocks", "malloced_mib")


def line(report: Report) -> str:
    """Where it stands."""
    last = report.samples[-1]
    return "  ".join(
        [
            f"{last['t']:6.0f} s  {last['phase']:<12}",
            f"sent {report.sent}",
            f"not right {report.outcomes.total()}",
            f"tokens {report.rotations}",
            f"p99 {last['p99_ms']:.1f} ms",
            f"RSS {last['rss_mib']:.1f} MiB",
            f"descriptors {last['descriptors']}",
            f"tasks {last['tasks']}",
        ]
    )


def text(report: Report) -> str:
    """All of it."""
    group, plan = report.group, report.plan
    lines = [
        ("limits", report.limits),
        ("", f"{group.throttled} periods used up, {group.peak_mib:.0f} MiB charged at most"),
        ("memory", f"{report.peak_rss_mib:.1f} MiB resident at most"),
    ]
    lines += [(name, _slope(report, name)) for name in GROWTH]
    for name in ("descriptors", "tasks"):
        first, last = report.calm(name)
        lines.append((name, f"{first:.0f} in calm at first, {last:.0f} at the end"))
    lines += [
        ("tokens", f"{report.rotations} obtained, {report.token_failures} failures"),
        ("", f"{report.waited} requests waited for one"),
        (
            "streams",
            f"{plan.streams}, {report.events} events, longest gap {report.longest_gap:.2f} s (1 s is right)",
        ),
        ("idle", f"{plan.idle} connections, each used again at the end"),
        ("answers", f"{report.sent}, not right: {dict(report.outcomes) or 'none'}"),
    ]
    body = "\n".join(f"{name:<14}{said}" for name, said in lines)
    return "\n".join([_phases(report), "", body, "", *(report.broken or ["all bounds held"])])


def _phases(report: Report) -> str:
    rows = [["others' requests", "sent", "p50 ms", "p99 ms", "what became of the hostile caller"]]
    for phase, found in report.latencies.items():
        p50, p99 = report.percentiles(phase)
        told = ", ".join(f"{count} {what}" for what, count in sorted(report.nuisances.get(phase, {}).items()))
        rows.append(
            [phase if phase == CALM else f"beside {phase}", str(len(found)), f"{p50:.2f}", f"{p99:.2f}", told]
        )
    return table(rows)


def _slope(report: Report, name: str) -> str:
    found, (limit, unit) = report.trend(name), GROWTH[name]
    if found is None or report.plan.minutes < TOLD_AFTER:
        return f"not judged before {TOLD_AFTER:g} minutes"
    between = f"95 %: {found.low:+,.2f} .. {found.high:+,.2f}, {found.points} cycles"
    return f"{found.slope:+,.2f} {unit} an hour ({between}): {found.word(limit)}"


def as_json(report: Report) -> dict[str, Any]:
    trends = {name: report.trend(name) for name in GROWTH}
    return {
        "plan": vars(report.plan),
        "limits": report.limits,
        "sent": report.sent,
        "not_right": dict(report.outcomes),
        "rotations": report.rotations,
        "token_failures": report.token_failures,
        "waited": report.waited,
        "phases": {
            name: dict(zip(("p50_ms", "p99_ms"), report.percentiles(name), strict=True))
            for name in report.latencies
        },
        "nuisances": {name: dict(told) for name, told in report.nuisances.items()},
        "an_hour": {name: vars(found) if found else None for name, found in trends.items()},
        "calm": {name: report.calm(name) for name in _MEASURED},
        "peak_rss_mib": report.peak_rss_mib,
        "group": vars(report.group),
        "events": report.events,
        "longest_gap_s": report.longest_gap,
        "log": dict(report.log),
        "broken": report.broken,
        "samples": report.samples,
    }
