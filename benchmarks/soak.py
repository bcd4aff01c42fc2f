"""Hours in minutes: many requests through tokens that live seconds, and what it does to the sidecar.

    python -m benchmarks.soak --minutes 10 --rate 500 --json soak.json

Three processes: the eGain stand-in, the sidecar as anybody runs it, and this one, which is the load. Every way of
getting a token takes part. Ends by itself, with 1 when any request was not answered 200.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import sys
import tempfile
from array import array
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.processes import CALLERS, Egain, Process, TokenCounts, sidecar, stand_in
from benchmarks.steady import Steady, get
from sidecar.demo.config import write_config

AGENTS = 20
_EVERY = 30.0  # seconds between two lines


def requests(egain: Egain) -> list[bytes]:
    """All grants in turn: half of them the application's own, the rest shared by the others."""
    agents = [get("/demo/echo/agent", f"X-On-Behalf-Of: agent{n}") for n in range(AGENTS)]
    exchanged = [get("/demo/echo/okta", f"Authorization: Bearer {token}") for token in egain.caller_tokens]
    app, anonymous = get("/demo/echo/app"), get("/demo/echo/anonymous")
    turns = []
    for n, agent in enumerate(agents):
        turns += [app, anonymous, app, agent, app, exchanged[n % CALLERS]]
    return turns


async def _warm_up(address: str, asked: list[bytes]) -> None:
    """Each request once: the first one of a subject waits for its token, which is not what is measured."""
    load = Steady(address, asked, rate=100, connections=1)
    load.on_reply = lambda _: load.stop() if load.sent == len(asked) else None
    await load.run()
    if load.failed:
        raise RuntimeError(f"not even the first requests were answered: {dict(load.outcomes)}")


@dataclass
class Report:
    """What is printed and written; latencies in milliseconds, from the moment each request was due."""

    rate: float
    seconds: float = 0.0
    sent: int = 0
    failed: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    rotations: int = 0
    token_failures: int = 0
    waited: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    rss_mib: dict[str, float] = field(default_factory=dict)
    log_events: dict[str, int] = field(default_factory=dict)
    ended_early: bool = False

    @property
    def good(self) -> bool:
        return self.sent > 0 and self.failed == 0 and not self.ended_early

    def line(self) -> str:
        rss = "  ".join(f"{when} {mib:.1f}" for when, mib in self.rss_mib.items())
        return (
            f"{self.seconds:5.0f} s  sent {self.sent}  failed {self.failed}  rotations {self.rotations}  "
            f"waited {self.waited}  p50 {self.p50_ms:.2f} ms  p99 {self.p99_ms:.2f} ms  RSS MiB: {rss}"
        )


def percentiles(latencies: array[float]) -> tuple[float, float]:
    """(p50, p99) in milliseconds."""
    if len(latencies) < 2:
        return 0.0, 0.0
    cuts = statistics.quantiles(latencies, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def moments(seconds: float) -> list[tuple[float, str]]:
    """When to look, and what the sidecar's memory at that time is called."""
    looks = {float(at): "now" for at in range(int(_EVERY), int(seconds), int(_EVERY))}
    return sorted({**looks, seconds / 2: "middle", seconds: "end"}.items())


async def soak(egain: Egain, config: Path, rate: float, seconds: float) -> Report:
    """The load, looked at now and then."""
    asked, loop = requests(egain), asyncio.get_running_loop()
    async with sidecar(config) as process:
        await _warm_up(process.proxy, asked)
        before, report = await process.tokens(), Report(rate)
        report.rss_mib["start"] = process.rss_mib()
        load = Steady(process.proxy, asked, rate, connections=32)
        began, seen = loop.time(), 0
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.run())
            for at, name in moments(seconds):
                await asyncio.sleep(began + at - loop.time())
                report.ended_early = process.ended
                if report.ended_early:
                    print(f"the sidecar ended by itself with {process.child.returncode}", flush=True)
                    break
                await _look(report, process, load, before)
                report.seconds, report.rss_mib[name] = loop.time() - began, process.rss_mib()
                # Of the requests since the last line: sorting them all would itself hold up the load.
                report.p50_ms, report.p99_ms = percentiles(load.latencies[seen:])
                seen = len(load.latencies)
                print(report.line(), flush=True)
            load.stop()
        report.sent, report.failed, report.outcomes = load.sent, load.failed, dict(load.outcomes)
        report.p50_ms, report.p99_ms = percentiles(load.latencies)
        report.rss_mib.pop("now", None)
        report.log_events = dict(process.events)
    return report


async def _look(report: Report, process: Process, load: Steady, before: TokenCounts) -> None:
    report.sent, report.failed = load.sent, load.failed
    counts = (await process.tokens()).since(before)
    report.rotations, report.token_failures, report.waited = counts


async def main(rate: float, minutes: float, lifetime: float) -> Report:
    """Start everything, load it, end everything; also on SIGTERM."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    with tempfile.TemporaryDirectory(prefix="auth-sidecar-soak-") as folder, stand_in(lifetime) as egain:
        # The demo's log is quiet; here it is written, as in a pod, and told where the sidecar listens.
        config = write_config(Path(folder), {**egain.config, "log": {"level": "info"}}, egain.secret)
        return await soak(egain, config, rate, minutes * 60)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second (default: 500)")
    parser.add_argument("--lifetime", type=float, default=5.0, help="of tokens, in seconds (default: 5)")
    parser.add_argument("--json", type=Path, help="write the report here as well")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    try:
        final = asyncio.run(main(given.rate, given.minutes, given.lifetime))
    except (asyncio.CancelledError, KeyboardInterrupt):
        sys.exit("ended early")
    print("total", final.line().strip())
    print("answers", final.outcomes, " failed token requests", final.token_failures, " log", final.log_events)
    if given.json:
        given.json.write_text(json.dumps(asdict(final), indent=2) + "\n", encoding="utf-8")
    sys.exit(0 if final.good else 1)
