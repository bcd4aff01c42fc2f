"""A process's life: signals, drain, reload.

Owns what SIGTERM, SIGINT and SIGHUP do, and that a changed configuration file is noticed. app.py does the work.

    serving --SIGTERM--> draining: not ready, `Connection: close`, still serving
            --nothing in flight, nothing new for shutdown.quiet; at the latest after drain_timeout--> stopped
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from sidecar import logs
from sidecar.app import App, running
from sidecar.clock import now
from sidecar.config.draft import Stamp, stamp_of
from sidecar.config.loading import Loaded

_LOOK_AT_FILES = 1.0  # seconds between looks
_LOOK_IF_QUIET = 0.02
_COLLECT_EVERY = 20_000  # objects made and not freed


async def run(path: Path, loaded: Loaded) -> None:
    """Serve until a signal ends it. Raises StartError."""
    loop = asyncio.get_running_loop()
    stopping, reloading = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            logs.flush()
            os._exit(0)  # asked a second time: at once
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, reloading.set)
    async with running(loaded) as app:
        settle()
        watcher = asyncio.create_task(_keep_loaded(app, path, reloading))
        waiter = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((watcher, waiter), return_when=asyncio.FIRST_COMPLETED)
            if watcher.done():
                watcher.result()  # a bug: end loudly
        finally:
            watcher.cancel()
            waiter.cancel()
        await drain(app)


def settle() -> None:
    """What was made to start is here to stay: the collector need not look through it again and again.

    What a request makes is freed by reference counting; the collector is only for what refers to itself (an
    exception's traceback), and looking for it more rarely than Python's default is a tenth of a request's cost.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)


async def drain(app: App) -> None:
    """Go on serving until the app beside us is quiet, within `shutdown.drain_timeout`."""
    shutdown = app.loaded.config.shutdown
    began = now()
    app.proxy.draining = True
    logs.get("process").info("draining", in_flight=app.metrics.in_flight)
    while (moment := now()) - began < shutdown.drain_timeout:
        quiet_for = moment - max(began, app.proxy.last_arrival)
        if app.metrics.in_flight == 0 and quiet_for >= shutdown.quiet and not app.unsent:
            break
        await asyncio.sleep(_LOOK_IF_QUIET)
    logs.get("process").info("stopped", cut=app.metrics.in_flight)


async def _keep_loaded(app: App, path: Path, asked: asyncio.Event) -> None:
    """Reload when asked to, or when a file is not what it was when it was read."""
    while True:
        try:
            async with asyncio.timeout(_LOOK_AT_FILES):
                await asked.wait()
        except TimeoutError:
            if not changed(app.stamps):
                continue
        asked.clear()
        await app.reload(path)


def changed(stamps: Mapping[Path, Stamp | None]) -> bool:
    """Is any of the files not what it was?"""
    return any(_stamp(file) != seen for file, seen in stamps.items())


def _stamp(file: Path) -> Stamp | None:
    try:
        return stamp_of(file.stat())
    except OSError:
        return None
