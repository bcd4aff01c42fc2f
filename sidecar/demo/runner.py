"""The demo: a stand-in, and the sidecar in front of it.

Owns starting both and saying what is where. The sidecar is configured as anybody would: by a file.
"""

from __future__ import annotations

import asyncio
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from sidecar import app
from sidecar.config.loading import load
from sidecar.demo.config import demo_config, write_config
from sidecar.demo.hints import hints
from sidecar.demo.standin import StandIn

_REMEMBER = 100  # a demo may run for days


async def run_demo(
    port: int, *, lifetime: float = 20.0, echo: Callable[[str], object] = print, stop: asyncio.Event
) -> None:
    """Run until `stop`; `port` is the sidecar's, 0 for a free one."""
    with tempfile.TemporaryDirectory(prefix="auth-sidecar-demo-") as folder:
        async with StandIn(lifetime=lifetime, remember=_REMEMBER) as standin:
            config = demo_config(standin, port=port or _free_port())
            path = write_config(Path(folder), config, standin.client_secret)
            async with app.running(load(path)) as sidecar:
                proxy, admin = f"http://{sidecar.proxy_address}", f"http://{sidecar.admin_address}"
                for line in hints(standin, proxy, admin, lifetime):
                    echo(line)
                await stop.wait()


def _free_port() -> int:
    """One that nobody listens on now. The redirect URI names it, so it must be known before the sidecar starts."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
