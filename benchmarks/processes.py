"""The other processes of a measurement: the eGain stand-in, and the sidecar as anybody runs it.

Owns how they are started, asked and ended: each with the block that started it, whatever happens in there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import re
import signal
import sys
import urllib.error
import urllib.request
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.demo.config import demo_config
from sidecar.demo.standin import StandIn

CALLERS = 5  # who have tokens of their own, to be exchanged
_READY = 30.0
_DRAIN = 40.0  # longer than shutdown.drain_timeout
_SAMPLE = re.compile(rb"^(\w+)(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Egain:
    """What the load must know of the stand-in, which lives in another process."""

    config: dict[str, Any]
    secret: str
    caller_tokens: list[str] = field(repr=False)


@contextlib.contextmanager
def stand_in(lifetime: float) -> Iterator[Egain]:
    """A stand-in in a process of its own, until the block ends or this process does."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve_stand_in, args=(theirs, lifetime), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_READY):
            raise RuntimeError("the stand-in did not start")
        yield Egain(*ours.recv())
    finally:
        ours.close()  # the end of the pipe is the end of the stand-in
        process.join(5)
        process.kill()
        process.join()


def _serve_stand_in(pipe: Connection, lifetime: float) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for all; the pipe says when to end

    async def serve() -> None:
        async with StandIn(lifetime=lifetime, remember=100) as egain:
            egain.directory.open = True
            tokens = [egain.idp_token(f"caller{n}@example.com", lifetime=86400) for n in range(CALLERS)]
            pipe.send((demo_config(egain), egain.client_secret, tokens))
            with contextlib.suppress(EOFError):
                await asyncio.to_thread(pipe.recv)

    asyncio.run(serve())


@dataclass(frozen=True)
class Process:
    """The sidecar's process, where it listens, and what its log said besides requests."""

    child: asyncio.subprocess.Process
    proxy: str
    admin: str
    events: Counter[str]

    @property
    def ended(self) -> bool:
        return self.child.returncode is not None

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.child.pid}/status").read_text(encoding="ascii")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024

    async def ready(self) -> bool:
        return (await asyncio.to_thread(_get, f"http://{self.admin}/readyz"))[0] == 200

    async def tokens(self) -> TokenCounts:
        """What `/metrics` says of tokens, over all credentials."""
        _, text = await asyncio.to_thread(_get, f"http://{self.admin}/metrics")
        sums: Counter[str] = Counter()
        for name, labels, value in _SAMPLE.findall(text):
            well = "ok" if b'outcome="ok"' in labels else ""
            sums[f"{name.decode()} {well}".strip()] += int(float(value))
        asked = "auth_sidecar_token_requests_total"
        waits = sums["auth_sidecar_token_wait_seconds_count"]
        return TokenCounts(sums[f"{asked} ok"], sums[asked], waits)


class TokenCounts(NamedTuple):
    obtained: int
    failed: int
    waits: int  # requests that waited for a token

    def since(self, before: TokenCounts) -> TokenCounts:
        return TokenCounts(*(now - then for now, then in zip(self, before, strict=True)))


def _get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@contextlib.asynccontextmanager
async def sidecar(config: Path) -> AsyncIterator[Process]:
    """`python -m sidecar run CONFIG` until the block ends; ready when it begins."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", str(config), stderr=asyncio.subprocess.PIPE
    )
    assert child.stderr is not None
    events: Counter[str] = Counter()
    drain: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(_READY):
            where = await _listening(child.stderr)
            drain = asyncio.create_task(_follow(child.stderr, events))
            process = Process(child, where["proxy"], where["admin"], events)
            while not await process.ready():
                await asyncio.sleep(0.1)
        yield process
    finally:
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
        event = json.loads(line)["event"] if line.startswith(b"{") else "(no JSON)"
        if event != "request":
            events[event] += 1


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
