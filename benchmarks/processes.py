"""The sidecar as anybody runs it, in a process of its own.

Owns how it is started, asked and ended: with the block that started it, whatever happens in there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import memory_mib
from benchmarks.wire import Reply, Wire

RUN = (sys.executable, "-m", "sidecar", "run")
_READY = 30.0
_PATIENCE = 10.0
_DRAIN = 40.0  # longer than shutdown.drain_timeout
_SAMPLE = re.compile(r"^(\w+)(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)


class Metrics:
    """One reading of `/metrics`."""

    def __init__(self, text: str) -> None:
        self._samples = [(name, labels, float(value)) for name, labels, value in _SAMPLE.findall(text)]

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name with these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            value
            for found, has, value in self._samples
            if found == name and all(pair in has for pair in wanted)
        )


@dataclass(frozen=True)
class Process:
    """The sidecar's process, where it listens, and what its log said besides requests."""

    child: asyncio.subprocess.Process
    proxy: str
    admin: str
    events: Counter[str]
    _kept: list[Wire] = field(
        default_factory=list
    )  # to the admin listener: there may be no descriptor for another

    @property
    def ended(self) -> bool:
        return self.child.returncode is not None

    def rss_mib(self) -> float:
        return memory_mib(self.child.pid)

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    async def ready(self) -> bool:
        return (await self._get("/readyz")).status == 200

    async def metrics(self) -> Metrics:
        return Metrics((await self._get("/metrics")).body.decode())

    async def _get(self, path: str) -> Reply:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        async with asyncio.timeout(_PATIENCE):
            if self._kept:
                with contextlib.suppress(OSError, EOFError):  # it was idle for too long
                    return await self._kept[0].ask(request)
                self._kept.pop().close()
            wire = Wire(self.admin)
            reply = await wire.ask(request)
            self._kept.append(wire)
            return reply

    async def tokens(self) -> TokenCounts:
        """What `/metrics` says of tokens, over all credentials."""
        return TokenCounts.of(await self.metrics())


class TokenCounts(NamedTuple):
    obtained: int
    failed: int
    waits: int  # requests that waited for a token

    @staticmethod
    def of(metrics: Metrics) -> TokenCounts:
        name = "auth_sidecar_token_requests_total"
        well = int(metrics.total(name, outcome="ok"))
        waits = int(metrics.total("auth_sidecar_token_wait_seconds_count"))
        return TokenCounts(well, int(metrics.total(name)) - well, waits)

    def since(self, before: TokenCounts) -> TokenCounts:
        return TokenCounts(*(now - then for now, then in zip(self, before, strict=True)))


@contextlib.asynccontextmanager
async def sidecar(
    config: Path,
    *,
    inside: Sequence[str] = (),
    run: Sequence[str] = RUN,
    environment: Mapping[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> AsyncIterator[Process]:
    """`python -m sidecar run CONFIG` until the block ends; ready when it begins.

    `inside`: a command that runs the one behind it in its place, as `nice` does; `run`: another way to run it.
    """
    child = await asyncio.create_subprocess_exec(
        *inside,
        *run,
        str(config),
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
        pass_fds=pass_fds,
    )
    assert child.stderr is not None
    events: Counter[str] = Counter()
    drain: asyncio.Task[None] | None = None
    process: Process | None = None
    try:
        async with asyncio.timeout(_READY):
            where = await _listening(child.stderr)
            drain = asyncio.create_task(_follow(child.stderr, events))
            process = Process(child, where["proxy"], where["admin"], events)
            while not await process.ready():
                await asyncio.sleep(0.1)
        yield process
    finally:
        for wire in process._kept if process is not None else ():
            wire.close()
        await _end(child, drain)


async def _listening(stderr: asyncio.StreamReader) -> dict[str, str]:
    said: deque[bytes] = deque(maxlen=20)
    while line := await stderr.readline():
        said.append(line)
        if b'"listening"' in line:
            where: dict[str, str] = json.loads(line)
            return where
    raise RuntimeError(f"the sidecar did not start:\n{b''.join(said).decode()}")


async def _follow(stderr: asyncio.StreamReader, events: Counter[str]) -> None:
    """Read the log as it comes - a full pipe would stop the sidecar - and count what is in it."""
    while line := await stderr.readline():
        event = json.loads(line)["event"] if line.startswith(b"{") else STRAY
        if event == STRAY:
            print("the sidecar's log:", line.decode(errors="replace").rstrip(), file=sys.stderr)
        if event != "request":
            events[event] += 1


STRAY = "(no JSON)"  # a line of the log that is none: a stray traceback


async def _end(child: asyncio.subprocess.Process, drain: asyncio.Task[None] | None) -> None:
    if child.returncode is None:
        child.terminate()
    try:
        async with asyncio.timeout(_DRAIN):
            if drain is not None:
                await drain
            await child.wait()
    except TimeoutError:
        child.kill()
        await child.wait()
