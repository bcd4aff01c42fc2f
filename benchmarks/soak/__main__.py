"""Hours in minutes: many subjects, short tokens, endless streams and hostile callers, within half a core and 128 MiB.

    python -m benchmarks.soak --minutes 30 --json soak.json

Separate processes: two token endpoints, the API, the sidecar as anybody runs it, each hostile caller, and this one,
which is the load. Ends by itself, with 1 when a bound did not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.soak import writing
from benchmarks.soak.plan import Plan
from benchmarks.soak.report import Report
from benchmarks.soak.run import soak
from sidecar import __version__


async def run(plan: Plan) -> Report:
    """Also on SIGTERM everything that was started is ended."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    with tempfile.TemporaryDirectory(prefix="auth-sidecar-soak-") as folder:
        return await soak(plan, Path(folder))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=200.0, help="requests a second (default: 200)")
    parser.add_argument("--subjects", type=int, default=10_000)
    parser.add_argument("--lifetime", type=float, default=5.0, help="of all tokens but the subjects', in s")
    parser.add_argument("--subject-lifetime", type=float, default=300.0, help="in s (default: 300)")
    parser.add_argument("--json", type=Path, help="write the report and its time series here as well")
    given = parser.parse_args()
    plan = Plan(
        given.minutes,
        given.rate,
        given.subjects,
        lifetime=given.lifetime,
        subject_lifetime=given.subject_lifetime,
    )
    try:
        report = asyncio.run(run(plan))
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("ended early")
    print(f"\n{describe()}\n\n{writing.text(report)}")
    if given.json:
        about = {"machine": describe(), "version": __version__}
        given.json.write_text(
            json.dumps({**about, **writing.as_json(report)}, indent=1) + "\n", encoding="utf-8"
        )
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
