"""The webhook's process: listener, certificate, signals.

Owns lifetimes, and what SIGTERM does: not ready at once, then serving on while the cluster learns of it, then the end.
A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator

from aiohttp import web

from sidecar import __version__, logs
from sidecar.admin.listener import quiet
from sidecar.listening import CannotListen, bound, name
from sidecar.webhook.application import Webhook
from sidecar.webhook.certificate import Certificate, Unusable
from sidecar.webhook.numbers import Numbers
from sidecar.webhook.settings import Settings

# API servers close a connection after 90 s of nothing. Were it us, a review could be on its way just then, and fail.
_IDLE = 120.0
_HANDSHAKE = 5.0  # seconds for TLS, then the connection is closed
_GOODBYE = 1.0  # seconds for TLS's close_notify
_BACKLOG = 1024


class CannotServe(Exception):
    """The address cannot be listened on, or the certificate has become unusable since it was checked."""


async def run(settings: Settings) -> None:
    """Serve until a signal ends it. Raises CannotServe."""
    stopping = _signalled()
    async with serving(settings) as webhook:
        await stopping.wait()
        webhook.draining = True
        logs.get("process").info("draining")
        await asyncio.sleep(settings.drain)
    logs.get("process").info("stopped")


@contextlib.asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Webhook]:
    """A webhook that serves while the context lasts. Raises CannotServe."""
    numbers = Numbers()
    webhook = Webhook(settings.template(), numbers)
    with contextlib.ExitStack() as sockets:
        try:
            certificate = Certificate(settings.tls.certificate, settings.tls.key, numbers)
            sock = sockets.enter_context(bound(settings.listen))
        except (Unusable, CannotListen) as error:
            raise CannotServe(str(error)) from None
        runner = quiet(webhook.application(), _IDLE)
        async with _accepting(runner, sock, certificate.context):
            webhook.address = name(sock, settings.listen)
            watching = asyncio.create_task(certificate.watch())
            logs.get("process").info(
                "listening",
                version=__version__,
                webhook=webhook.address,
                certificate_not_after=certificate.pair.until,
            )
            try:
                yield webhook
            finally:
                watching.cancel()


@contextlib.asynccontextmanager
async def _accepting(
    runner: web.AppRunner, sock: socket.socket, context: ssl.SSLContext
) -> AsyncIterator[None]:
    await runner.setup()
    assert runner.server is not None
    server = await asyncio.get_running_loop().create_server(
        runner.server, sock=sock, backlog=_BACKLOG, ssl=context, ssl_handshake_timeout=_HANDSHAKE,
        ssl_shutdown_timeout=_GOODBYE,
    )  # fmt: skip
    try:
        yield
    finally:
        server.close()
        await runner.cleanup()


def _signalled() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT."""
    stopping = asyncio.Event()

    def stop() -> None:
        if stopping.is_set():
            logs.flush()
            os._exit(0)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    return stopping
