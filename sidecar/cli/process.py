"""The process: start, and how it ends.

Owns what is said when it cannot start. Signals and reload are lifecycle.py's business.
"""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from sidecar import descriptors, logs
from sidecar.app import AddressTaken, StartError
from sidecar.cli.loop import in_loop, serving
from sidecar.cli.output import Failed
from sidecar.config.loading import Loaded
from sidecar.lifecycle import run


def serve(path: Path, loaded: Loaded) -> None:
    """`run`: serve until a signal. Raises Failed when it cannot start, SystemExit(1) after a bug."""
    log = loaded.config.log
    logs.configure(log.level, log.format, log.requests)
    for warning in loaded.warnings:
        logs.get("config").warning("config_warning", warning=warning.as_warning())
    descriptors.raise_limit()
    try:
        serving(run(path, loaded), StartError)
    except AddressTaken as error:
        raise Failed(f"{error}; end what is in the way, or change listen or admin") from None
    except StartError as error:
        raise Failed(str(error)) from None


def demonstrate(port: int) -> None:
    """`demo`: until Ctrl-C or SIGTERM. Raises Failed when it cannot start."""
    try:
        in_loop(_demo(port))
    except AddressTaken as error:
        raise Failed(f"{error}; choose another port with --port") from None
    except StartError as error:
        raise Failed(str(error)) from None
    except OSError as error:
        raise Failed(f"the demo cannot start: {error.strerror or error}") from None


async def _demo(port: int) -> None:
    from sidecar.demo.runner import run_demo  # here: the sidecar itself need not carry the stand-in

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_demo(port, echo=click.echo, stop=stop)  # echo flushes: whoever waits for a line gets it
