"""The eGain stand-in as a whole, authorization server and API, in a process of its own.

Owns its lifetime, which is a block's, and what must be known of it on this side. `tokens.py` is its token endpoint
alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.tokens import CALLERS
from sidecar.demo.config import demo_config
from sidecar.demo.standin import StandIn

_READY = 30.0


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
