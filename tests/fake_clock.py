"""A clock that a test moves by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sidecar.clock import Timer


@dataclass
class FakeTimer:
    """A call that is due at a moment of the fake clock."""

    due: float
    callback: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        self.cancelled = True


async def settle() -> None:
    """Let every task run until it waits for something that a test has to bring about."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class FakeClock:
    """Implements `sidecar.clock.Clock`."""

    monotonic: float = 1000.0
    epoch: float = 1_800_000_000.0
    timers: list[FakeTimer] = field(default_factory=list)

    def now(self) -> float:
        return self.monotonic

    def wall(self) -> float:
        return self.epoch

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        timer = FakeTimer(self.monotonic + delay, callback)
        self.timers.append(timer)
        return timer

    @property
    def pending(self) -> list[FakeTimer]:
        """Timers that will still fire, soonest first."""
        self.timers = sorted((t for t in self.timers if not t.cancelled), key=lambda t: t.due)
        return self.timers

    def advance(self, seconds: float) -> None:
        """Move time, calling what falls due on the way."""
        target = self.monotonic + seconds
        while self._fire_next(target):
            pass
        self._move(target)

    async def passes(self, seconds: float) -> None:
        """The same, letting tasks run after each call that fell due."""
        target = self.monotonic + seconds
        await settle()
        while self._fire_next(target):
            await settle()
        self._move(target)
        await settle()

    def _fire_next(self, target: float) -> bool:
        if not self.pending or self.timers[0].due > target:
            return False
        timer = self.timers.pop(0)
        self._move(max(timer.due, self.monotonic))
        timer.callback()
        return True

    def _move(self, target: float) -> None:
        self.epoch += target - self.monotonic
        self.monotonic = target
