"""Time: the only importer of `time`.

Owns what the time is and how one waits. Everything that reasons about lifetimes takes `now` as a number or a
`Clock` as a parameter, so that tests move time by hand.

`now()` is monotonic: a jump of the wall clock changes no lifetime. `wall()` is for what is compared with the
outside world (JWT claims, `Retry-After` dates, timestamps in metrics).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

now = time.monotonic  # for connections: deadlines and durations, seconds


class Timer(Protocol):
    """A call that is due later and can be called off."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What the time is, and how to be called later."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch (UTC)."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once, in `delay` seconds."""
        ...


class SystemClock:
    """The machine's clock, on the running event loop."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        return asyncio.get_running_loop().call_later(delay, callback)
