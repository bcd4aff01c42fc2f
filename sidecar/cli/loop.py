"""The event loop of a command, and what becomes of an error that reaches its top.

Owns the choice of loop. Knows nothing of what runs on it, so that a command waits for no other's imports.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from sidecar import logs

T = TypeVar("T")


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed; None is asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def in_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def serving(work: Coroutine[Any, Any, None], expected: type[Exception]) -> None:
    """A process that serves, to its end. Raises what is expected; SystemExit(1) after a bug, which is one line."""
    try:
        in_loop(work)
    except expected:
        raise
    except Exception as bug:
        logs.uncaught(type(bug), bug, bug.__traceback__)
        raise SystemExit(1) from None
    finally:
        logs.flush()
