"""A soak from its first request to its last.

Owns the order of things: processes, warm-up, bystanders, the stream, the phases, the samples. What it comes to is
report.py's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks import asking, tokens
from benchmarks.asking import DELEGATED, OBO_READ, READ, Ask, Who
from benchmarks.confine import Confinement, confinement
from benchmarks.faults.stage import ROOT, ask, python
from benchmarks.machine import cpu_seconds, memory_mib
from benchmarks.ports import free_port
from benchmarks.processes import Process, TokenCounts, sidecar
from benchmarks.soak import writing
from benchmarks.soak.bystanders import Bystanders
from benchmarks.soak.plan import (
    CALM,
    CLIENT_ID,
    CLIENT_SECRET,
    CORES,
    MEMORY_MIB,
    Plan,
    configuration,
)
from benchmarks.soak.report import Report
from benchmarks.stream import Sent, Stream, flowing

_EVERY = 5.0  # seconds between two samples
_WARM_UP_RATE = 120.0  # subjects a second: each needs a token, and half a core makes some 200 token requests
_NO_MORE = 30.0  # seconds an ordinary request may take


@dataclass
class Scene:
    """What the load talks to."""

    process: Process
    observer: socket.socket
    callers: list[tuple[str, str]]  # subject, and its token to be exchanged
    sins: Path
    limits: Confinement

    async def inside(self) -> dict[str, float]:
        """What the sidecar has that cannot be seen from outside: see observed.py."""
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self.observer, b"?")
        async with asyncio.timeout(_NO_MORE):
            tasks, blocks, malloced = map(int, (await loop.sock_recv(self.observer, 64)).split())
        return {"tasks": tasks, "blocks": blocks, "malloced_mib": round(malloced / 2**20, 3)}


@contextlib.asynccontextmanager
async def scene(plan: Plan, folder: Path) -> AsyncIterator[Scene]:
    """Two token endpoints, the API, and the sidecar within its limits."""
    key, secret, sins = (
        tokens.write_key(folder / "signing.pem"),
        folder / "client-secret",
        folder / "sins.txt",
    )
    secret.write_text(CLIENT_SECRET, encoding="ascii")
    short, long, api = free_port(), free_port(), free_port()
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with contextlib.ExitStack() as stack:
        stack.enter_context(ours)
        stack.enter_context(theirs)
        limits = stack.enter_context(confinement(CORES, MEMORY_MIB))
        for port, name, life in ((short, "short", plan.lifetime), (long, "long", plan.subject_lifetime)):
            stack.enter_context(
                python("benchmarks.tokens", port, folder / name, key=key, lifetime=life).running()
            )
        judge = stack.enter_context(
            python("benchmarks.api", api, folder / "api", key=key, sins=sins).running()
        )
        origins = [f"http://127.0.0.1:{port}" for port in (api, short, long)]
        config = folder / "sidecar.yaml"
        config.write_text(yaml.safe_dump(configuration(plan, secret, *origins)), encoding="utf-8")
        run = (sys.executable, "-m", "benchmarks.soak.observed", str(theirs.fileno()), "run")
        callers = json.loads(await ask(short, tokens.CALLER_TOKENS))
        async with sidecar(
            config,
            inside=limits.inside,
            run=run,
            environment={"PYTHONPATH": str(ROOT)},
            pass_fds=(theirs.fileno(),),
        ) as process:
            yield Scene(process, ours, callers, sins, limits)
        if judge.output:
            raise RuntimeError(f"the API itself failed: {judge.output[-2000:]}")


def ordinary(plan: Plan, callers: Sequence[tuple[str, str]]) -> Iterator[Ask]:
    """Every way of getting a token: half of the requests are the subjects'."""
    agents = [subject(n) for n in range(plan.subjects)]
    others = [Who("/nobody", "anonymous", DELEGATED)]
    others += [Who("/exchange", name, DELEGATED, f"Authorization: Bearer {token}") for name, token in callers]
    return asking.mixed((asking.application(CLIENT_ID), agents, others, agents))


def subject(number: int) -> Who:
    name = f"agent{number}"
    return Who("/agent/read", name, OBO_READ, f"X-On-Behalf-Of: {name}")


async def warm_up(plan: Plan, scene: Scene) -> None:
    """Each subject's first request, which waits for its token. Raises RuntimeError when one fails."""
    bad: Counter[str] = Counter()

    def look(sent: Sent) -> None:
        if sent.verdict.kind != "right":
            bad[sent.verdict.what] += 1

    asks = (subject(n).ask(n) for n in range(plan.subjects))
    await Stream(scene.process.proxy, asks, _WARM_UP_RATE, look).run()
    if bad:
        raise RuntimeError(f"not even the first requests were answered: {dict(bad)}")


class Soak:
    """One run."""

    def __init__(self, plan: Plan, scene: Scene, report: Report) -> None:
        self._plan, self._scene, self._report = plan, scene, report
        self._cycle, self._phase = 0, CALM
        self._window = array("f")
        self._stream = Stream(scene.process.proxy, ordinary(plan, scene.callers), plan.rate, self._took)

    def _took(self, sent: Sent) -> None:
        self._report.took(self._phase, sent)
        self._window.append(sent.seconds)

    async def run(self) -> None:
        """All phases; fills the report."""
        report, process = self._report, self._scene.process
        people = Bystanders(process.proxy, Who("/app/read", CLIENT_ID, READ))
        async with people.there(self._plan.idle, self._plan.streams):
            self._began, self._before = asyncio.get_running_loop().time(), await process.tokens()
            async with flowing(self._stream):
                for cycle, phase, seconds in self._plan.phases():
                    self._cycle, self._phase = cycle, phase
                    await self._go_through(seconds)
                    print(writing.line(report), file=sys.stderr, flush=True)
                    if process.ended:
                        report.ended = f"the sidecar ended by itself with {process.child.returncode}"
                        break
        report.bystanders, report.events = people.broken, people.events
        report.longest_gap = people.longest_gap
        report.sins = self._scene.sins.read_text().splitlines() if self._scene.sins.exists() else []
        report.group, report.log = self._scene.limits.read(), process.events
        report.peak_rss_mib = memory_mib(process.child.pid, "VmHWM")

    async def _go_through(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        ends = loop.time() + seconds
        async with self._nuisance():
            while (left := ends - loop.time()) > 0 and not self._scene.process.ended:
                await asyncio.sleep(min(_EVERY, left))
                await self._sample()

    @contextlib.asynccontextmanager
    async def _nuisance(self) -> AsyncIterator[None]:
        """The phase's hostile caller is at work while the block lasts."""
        if self._phase == CALM:
            yield
            return
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.soak.hostile", self._phase, self._scene.process.proxy,
            stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        )  # fmt: skip
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
            said, _ = await child.communicate()
        told = self._report.nuisances.setdefault(self._phase, Counter())
        found: dict[str, int] = json.loads(said) if said else {"no word from it": 1}
        longest = max(told.pop("longest ms", 0), found.pop("longest ms", 0))
        told.update(found)
        if longest:
            told["longest ms"] = longest

    async def _sample(self) -> None:
        report, process = self._report, self._scene.process
        pid = process.child.pid
        inside = await self._scene.inside()
        counts: TokenCounts = (await process.tokens()).since(self._before)
        report.rotations, report.token_failures, report.waited = counts
        window, self._window = sorted(self._window), array("f")
        report.samples.append(
            {
                "t": round(asyncio.get_running_loop().time() - self._began, 1),
                "cycle": self._cycle,
                "phase": self._phase,
                "rss_mib": round(memory_mib(pid), 2),
                "anonymous_mib": round(memory_mib(pid, "RssAnon"), 2),
                "descriptors": process.descriptors(),
                **inside,
                "cpu_s": round(cpu_seconds(pid), 2),
                "sent": report.sent,
                "not_right": report.outcomes.total(),
                "rotations": report.rotations,
                "p50_ms": round(window[len(window) // 2] * 1000, 2) if window else 0.0,
                "p99_ms": round(window[len(window) * 99 // 100] * 1000, 2) if window else 0.0,
            }
        )


async def soak(plan: Plan, folder: Path) -> Report:
    """Start everything, load it, end everything."""
    async with scene(plan, folder) as set_up:
        report = Report(plan, set_up.limits.text)
        print(f"limits: {report.limits}; {plan.subjects} subjects are asked for", file=sys.stderr, flush=True)
        await warm_up(plan, set_up)
        await Soak(plan, set_up, report).run()
        return report
