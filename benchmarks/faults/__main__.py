"""The sidecar under 200 requests a second, while everything around it goes wrong in turn.

    python -m benchmarks.faults [--only WORDS] [--rate N] [--json FILE]

Per fault: requests sent, answered right, failed so that the caller can see it, wrong, the time to recover and the token
requests made. Exits with 1 when a bound is broken, with 2 when something is not installed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.faults import secluded
from benchmarks.faults.acts import PLAIN, SECLUDED, Act
from benchmarks.faults.run import Run
from benchmarks.faults.score import Score
from benchmarks.faults.stage import playing, set_up
from benchmarks.goals import table
from benchmarks.machine import describe
from benchmarks.processes import STRAY
from sidecar import __version__

_BUGS = (STRAY, "uncaught", "internal_error")


async def go(
    acts: Sequence[Act],
    rate: float,
    folder: Path,
    *,
    host: str = "127.0.0.1",
    inside: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> list[Score]:
    """One sidecar through some acts. Raises RuntimeError when its log tells of a bug."""
    if not acts:
        return []
    with set_up(folder, "bench-secret", host) as stage:
        async with playing(stage, inside, environment):
            scores = await Run(stage, rate).through(acts)
        if bugs := [event for event in stage.sidecar.events if event in _BUGS]:
            raise RuntimeError(f"in the sidecar's log: {', '.join(bugs)}")
        if stage.api.output:
            raise RuntimeError(f"the API itself failed: {stage.api.output[-2000:]}")
        return scores


async def everything(only: str, rate: float, folder: Path) -> list[Score]:
    chosen = [[act for act in acts if only in act.name] for acts in (PLAIN, SECLUDED)]
    plain, apart = folder / "plain", folder / "secluded"
    for place in (plain, apart):
        place.mkdir()
    aside = {
        "inside": secluded.inside(apart),
        "environment": secluded.environment(apart),
    }  # first: may be missing
    return [
        *await go(chosen[0], rate, plain),
        *await go(chosen[1], rate, apart, host=secluded.HOST, **aside),  # type: ignore[arg-type]
    ]


def report(scores: Sequence[Score]) -> str:
    """The table."""
    head = [
        "fault",
        "sent",
        "right",
        "failed, as the contract says",
        "wrong",
        "recovered s",
        "token requests",
        "",
    ]
    rows = [
        [
            found.act.name,
            str(found.sent),
            str(found.right),
            ", ".join(f"{n} {what}" for what, n in found.failures.most_common()),
            str(found.wrong.total()),
            f"{found.recovered:.1f}",
            f"{found.token_requests} (<= {found.token_bound})",
            "; ".join(found.broken) or "held",
        ]
        for found in scores
    ]
    return table([head, *rows])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="acts whose name has these words in it")
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default: 200)")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    given = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="auth-sidecar-faults-") as name:
        try:
            scores = asyncio.run(everything(given.only, given.rate, Path(name)))
        except secluded.Missing as missing:
            print(missing, file=sys.stderr)
            return 2
    print(report(scores))
    print(f"\n{describe()}\n{given.rate:g} requests a second, {time.monotonic() - began:.0f} s")
    if given.json:
        about = {"machine": describe(), "version": __version__, "rate": given.rate}
        acts = [found.as_json() for found in scores]
        given.json.write_text(json.dumps({**about, "faults": acts}, indent=1) + "\n", encoding="utf-8")
    return 1 if not scores or any(found.broken for found in scores) else 0


if __name__ == "__main__":
    sys.exit(main())
