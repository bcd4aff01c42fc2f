"""The sidecar beside other proxies, on this machine, in one run.

    python -m benchmarks.bench [--quick] [--rounds N] [--json FILE]

One core for the proxy, the other for load and upstream. The peers take turns in rounds, and each round begins with
another one. A turn in which other programs took much of a core is taken again, at most twice (not with --quick),
and marked if that did not help. Exits with 1 when a goal is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from benchmarks import goals, load, nginx, peers
from benchmarks.goals import LOG, QUIET
from benchmarks.machine import Interference, cores, describe
from benchmarks.nginx import Upstream
from benchmarks.peers import Peer, Running
from benchmarks.record import Record

T = TypeVar("T")
_MUCH = 0.15  # of a core, used by others


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int
    turn: float  # seconds of wrk
    slow_turn: float  # seconds at the constant rate
    slow_rounds: int
    subjects: int
    tries: int  # at a turn in which others used much of a core

    @staticmethod
    def of(*, quick: bool, rounds: int) -> Plan:
        return Plan(1, 1, 1, 1, 500, 1) if quick else Plan(rounds, 4, 5, rounds, 10_000, 3)


class Bench:
    """One run: its folder, its upstream, its record."""

    def __init__(self, folder: Path, upstream: Upstream, upstream_pid: int, plan: Plan) -> None:
        self.folder = folder
        self.upstream = upstream
        self.plan = plan
        self.record = Record()
        self._ours = [upstream_pid]
        self._large = folder / "large.bin"
        with self._large.open("wb") as file:
            file.truncate(nginx.BODY_MIB << 20)

    # -- turns -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _at_work(self, waiting: Sequence[Peer]) -> Iterator[list[Running]]:
        with contextlib.ExitStack() as stack:
            running = [stack.enter_context(peer.running()) for peer in waiting]
            before = list(self._ours)
            self._ours += [pid for one in running for pid in (one.process.pid, one.drain.pid)]
            for one in running:
                first_200(one)
            try:
                yield running
            finally:
                self._ours = before

    def _turns(self, running: Sequence[T], rounds: int) -> Iterator[tuple[int, T]]:
        for turn in range(rounds):
            at = turn % len(running)
            for one in (*running[at:], *running[:at]):
                yield turn, one
            print(f"  round {turn + 1} of {rounds}", file=sys.stderr, flush=True)

    def _undisturbed(self, what: str, measure: Callable[[], T]) -> T:
        tries = 0
        while True:
            with Interference(self._ours) as others:
                found = measure()
            tries += 1
            if others.share <= _MUCH:
                return found
            if tries == self.plan.tries:
                self.record.disturbed.append(f"{what}: others used {others.share:.0%} of a core")
                return found

    # -- what is measured --------------------------------------------------------------------------------------------

    def main(self) -> None:
        """Throughput with and without log lines, memory, latency, bodies."""
        waiting = [
            build(self.folder, self.upstream, name + kind, log=kind == LOG)
            for name, build in peers.PEERS.items()
            for kind in (LOG, QUIET)
        ]
        with self._at_work(waiting) as running:
            say("requests a second, 32 connections")
            for one in running:
                load.throughput(one.url(), 1)
            for turn, one in self._turns(running, self.plan.rounds):
                self._throughput(turn, one)
            logging = [one for one in running if one.name.endswith(LOG)]
            say(f"{load.RATE:.0f} requests a second")
            for turn, one in self._turns(logging, self.plan.slow_rounds):
                address, seconds = f"127.0.0.1:{one.peer.port}", self.plan.slow_turn
                p50, p99 = self._undisturbed(one.name, lambda: load.latency(address, seconds))  # noqa: B023
                self.record.add(goals.P50, one.name, turn, p50)
                self.record.add(goals.P99, one.name, turn, p99)
            say(f"bodies of {nginx.BODY_MIB} MiB")
            for one in logging:
                self._first_bodies(one)
            for turn, one in self._turns(logging, self.plan.slow_rounds):
                self._bodies(turn, one)

    def _throughput(self, turn: int, one: Running, script: Path | None = None) -> None:
        def measure() -> tuple[float, float]:
            before = one.cpu_seconds()
            rps = load.throughput(one.url(), self.plan.turn, script)
            return rps, (one.cpu_seconds() - before) * 1e6 / (rps * self.plan.turn)

        rps, cpu = self._undisturbed(one.name, measure)
        self.record.add(goals.RPS, one.name, turn, rps)
        self.record.add(goals.CPU, one.name, turn, cpu)
        self.record.add(goals.RSS, one.name, turn, one.memory_mib())

    def _first_bodies(self, one: Running) -> None:
        """The first of a process are what makes its memory grow; those that follow find it there, and are faster."""
        before = one.memory_mib()
        one.forget_peak()
        load.download(one.url("/large"))
        load.upload(one.url("/upload"), self._large)
        self.record.add(goals.RISE, one.name, 0, max(0.0, one.memory_mib("VmHWM") - before))

    def _bodies(self, turn: int, one: Running) -> None:
        down = self._undisturbed(one.name, lambda: load.download(one.url("/large")))
        up = self._undisturbed(one.name, lambda: load.upload(one.url("/upload"), self._large))
        self.record.add(goals.DOWN, one.name, turn, down)
        self.record.add(goals.UP, one.name, turn, up)

    def subjects(self) -> None:
        """A token for each of many subjects, beside one subject's."""
        count = self.plan.subjects
        say(f"{count} subjects' tokens beside one")
        changes = peers.on_behalf_of(self.upstream)
        waiting = [
            peers.sidecar(self.folder, self.upstream, name, log=False, **changes)
            for name in ("one subject", "many subjects")
        ]
        field = "X-On-Behalf-Of"
        one = load.in_turn(self.folder / "one.lua", 1, field=field, value="user%d")
        many = load.in_turn(self.folder / "many.lua", count, field=field, value="user%d")
        with self._at_work(waiting) as running:
            for peer in running:
                load.warm_up(peer.url(), one, 2)
            before = running[1].memory_mib()
            while cached(running[1]) < count:
                load.warm_up(running[1].url(), many, 2)
            grown = (running[1].memory_mib() - before) * (1 << 20) / count
            self.record.add(goals.TOKEN, "many subjects", 0, grown)
            pairs = list(zip(running, (one, many), strict=True))
            for turn, (one_of_them, script) in self._turns(pairs, self.plan.rounds):
                self._throughput(turn, one_of_them, script)

    def routes(self) -> None:
        """A thousand routes beside ten, all of them asked for."""
        say("1,000 routes beside 10")
        counts = (10, 1000)
        waiting = [
            peers.sidecar(self.folder, self.upstream, f"{n} routes", log=False, routes=peers.routes(n))
            for n in counts
        ]
        scripts = [
            load.paths(self.folder / f"{n}.lua", [r["path"] for r in peers.routes(n) if "{" in r["path"]])
            for n in counts
        ]
        with self._at_work(waiting) as running:
            for peer, script in zip(running, scripts, strict=True):
                load.throughput(peer.url(), 1, script)
            for turn, (peer, script) in self._turns(
                list(zip(running, scripts, strict=True)), self.plan.rounds
            ):
                self._throughput(turn, peer, script)

    def starts(self) -> None:
        """From the start of the process to the first proxied 200."""
        say("start to the first 200")
        builds = list(peers.PEERS.items())
        for turn, (name, build) in self._turns(builds, self.plan.slow_rounds):
            peer = build(self.folder, self.upstream, f"{name}-start{turn}", log=True)
            with peer.running() as running:
                self.record.add(goals.START, name + LOG, turn, first_200(running))


def first_200(running: Running) -> float:
    """Seconds from the start of the process until a request through it is answered 200."""
    while time.monotonic() < running.began + 20:
        connection = http.client.HTTPConnection("127.0.0.1", running.peer.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", peers.PATH, headers={"X-On-Behalf-Of": "first"})
            if connection.getresponse().status == 200:
                return time.monotonic() - running.began
        time.sleep(0.005)
    raise RuntimeError(f"{running.name} does not answer 200")


def cached(running: Running) -> int:
    """How many tokens the sidecar holds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{running.peer.admin}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return sum(
        int(float(line.split()[-1])) for line in lines if line.startswith("auth_sidecar_tokens_cached{")
    )


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def run(plan: Plan) -> Record:
    """Everything, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="auth-sidecar-bench-") as name, contextlib.ExitStack() as stack:
        folder, place = Path(name), Path(name) / "upstream"
        place.mkdir()
        folder.chmod(0o755)  # nginx's worker is another user than root
        upstream, process = nginx.start_upstream(place, cores()[1])
        stack.callback(process.wait)
        stack.callback(process.terminate)
        bench = Bench(folder, upstream, process.pid, plan)
        bench.main()
        bench.subjects()
        bench.routes()
        bench.starts()
        return bench.record


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="within a minute, and as rough as that")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write all numbers here as well")
    given = parser.parse_args()
    if absent := peers.missing():
        print(f"not installed: {', '.join(absent)}; run benchmarks/install", file=sys.stderr)
        return 2
    began = time.monotonic()
    record = run(Plan.of(quick=given.quick, rounds=given.rounds))
    print(f"\n{describe()}\n{peers.versions()}\n")
    print(goals.medians(record), goals.verdicts(record), sep="\n\n")
    for turn in record.disturbed:
        print("disturbed:", turn)
    print(f"\n{time.monotonic() - began:.0f} s")
    if given.json:
        about = {"machine": describe(), "versions": peers.versions()}
        given.json.write_text(json.dumps({**about, **record.as_json()}, indent=1) + "\n", encoding="utf-8")
    return 0 if goals.all_met(record) else 1


if __name__ == "__main__":
    sys.exit(main())
