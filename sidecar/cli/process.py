"""The process: event loop, start, and how it ends.

Owns what becomes of an error that reaches the top. Signals and reload are lifecycle.py's business.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from sidecar import logs
from sidecar.app import StartError
from sidecar.cli.output import Failed
from sidecar.config.loading import Loaded
from sidecar.lifecycle import run

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


def serve(path: Path, loaded: Loaded) -> None:
    """`run`: serve until a signal. Raises Failed when it cannot start, SystemExit(1) after a bug."""
    log = loaded.config.log
    logs.configure(log.level, log.format, log.requests)
    for warning in loaded.warnings:
        logs.get("config").warning("config_warning", warning=warning.as_warning())
    try:
        in_loop(run(path, loaded))
    except StartError as error:
        raise Failed(f"{error}; end what is in the way, or change listen or admin") from None
    except Exception as bug:
        logs.uncaught(type(bug), bug, bug.__traceback__)
        raise SystemExit(1) from None
    finally:
        logs.flush()


def demonstrate(port: int) -> None:
    """`demo`: until Ctrl-C or SIGTERM. Raises Failed when it cannot start."""
    try:
        in_loop(_demo(port))
    except StartError as error:
        raise Failed(f"{error}; choose another port with --port") from None
    except OSError as error:
        raise Failed(f"the demo cannot start: {error.strerror or error}") from None


async def _demo(port: int) -> None:
    from sidecar.demo.runner import run_demo  # here: the sidecar itself need not carry the stand-in

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_demo(port, echo=click.echo, stop=stop)  # echo flushes: whoever waits for a line gets it
