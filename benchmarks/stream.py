"""Requests at a constant rate that nothing holds up: each goes out when it is due, on an idle connection or a new one.

Owns the schedule and the connections. Callers do not wait for each other: while the sidecar or what is behind it
hangs, there are as many requests under way as fall due. Each gets a verdict (asking.py).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.asking import Ask, Verdict, judge, judge_failure
from benchmarks.wire import Wire

_PATIENCE = 30.0  # longer than any answer may take
_KEPT = 32  # idle connections
_MOST = 4000  # under way


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that is over. Times are the loop's; latency counts from when it was due."""

    due: float
    ended: float
    verdict: Verdict
    ask: Ask

    @property
    def seconds(self) -> float:
        return self.ended - self.due


@dataclass
class Stream:
    """`on_end` gets each request when it is over."""

    address: str  # HOST:PORT
    asks: Iterator[Ask]
    rate: float  # a second
    on_end: Callable[[Sent], object]
    patience: float = _PATIENCE
    _idle: list[Wire] = field(default_factory=list)
    _stopped: bool = False

    def stop(self) -> None:
        """No more requests; the ones under way are waited for."""
        self._stopped = True

    async def run(self) -> None:
        """Until `stop()`."""
        loop = asyncio.get_running_loop()
        due, under_way = loop.time(), set[asyncio.Task[None]]()
        try:
            for ask in self.asks:
                await asyncio.sleep(max(due - loop.time(), 0.0))
                if self._stopped:
                    break
                if len(under_way) >= _MOST:
                    raise RuntimeError(f"{_MOST} requests are under way: nothing is answered any more")
                task = loop.create_task(self._send(due, ask))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                due += 1.0 / self.rate
            while under_way:
                await asyncio.wait(under_way)
        finally:
            for task in under_way:
                task.cancel()
            for wire in self._idle:
                wire.close()

    async def _send(self, due: float, ask: Ask) -> None:
        wire = self._idle.pop() if self._idle else Wire(self.address)
        try:
            async with asyncio.timeout(self.patience):
                verdict = judge(ask, await wire.ask(ask.wire))
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            verdict = judge_failure(error)
        ended = asyncio.get_running_loop().time()
        if wire.open and verdict.kind in ("right", "passed", "refused") and len(self._idle) < _KEPT:
            self._idle.append(wire)
        else:
            wire.close()
        self.on_end(Sent(due, ended, verdict, ask))


@contextlib.asynccontextmanager
async def flowing(stream: Stream) -> AsyncIterator[Stream]:
    """The stream at work while the block lasts."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stream.run())
        try:
            yield stream
        finally:
            stream.stop()
