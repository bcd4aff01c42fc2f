"""The admin listener: its application on aiohttp's server, with the server's own errors made quiet.

Owns what a malformed request gets (aiohttp would quote the offending bytes, log a traceback and tell its
version) and how long a connection may sit there without a request. Relies on `AppRunner._make_server` and on
`handle_error`, `_request_count` and `_current_request` of `RequestHandler` in aiohttp 3.14;
tests/test_admin_listener.py fails when a new aiohttp changes them. `quiet` is for listeners beside this one.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from aiohttp import hdrs, web
from aiohttp.web_protocol import RequestHandler

from sidecar import logs
from sidecar.admin.application import HEADERS, application
from sidecar.admin.state import AdminState

IDLE_SECONDS = 60.0  # longer than the usual scrape interval, so that Prometheus keeps its connection
_LINGER = 1.0  # seconds for the rest of a body that nobody wants


def runner(state: AdminState) -> web.AppRunner:
    """Ready for `setup()` and a site."""
    return quiet(application(state), IDLE_SECONDS)


def quiet(app: web.Application, idle: float) -> web.AppRunner:
    """Any application on such a listener; a connection is closed after `idle` to twice as many seconds of nothing."""
    return _Runner(
        app, idle, access_log=None, keepalive_timeout=2 * idle, lingering_time=_LINGER, shutdown_timeout=1.0
    )


class _Bare(web.Response):
    """A response without aiohttp's Server field; the application's own signals do not reach this far."""

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.pop(hdrs.SERVER, None)


class _Connection(RequestHandler):
    __slots__ = ("_idle", "_seen", "_sweep")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._seen = 0
        self._idle = cast(_Server, self._manager).idle
        self._sweep = self._loop.call_later(self._idle, self._close_if_idle)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._sweep.cancel()
        super().connection_lost(exc)

    def _close_if_idle(self) -> None:
        """Close when not one request was read since the last look; aiohttp waits for a head for ever."""
        if self._request_count == self._seen and self._current_request is None:
            cast(asyncio.Transport, self.transport).abort()
            return
        self._seen = self._request_count
        self._sweep = self._loop.call_later(self._idle, self._close_if_idle)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what never reached the application; nothing of the request is repeated."""
        if status >= 500:
            logs.get("admin").error("admin_request_failed", exc_info=exc)
        code = "internal_error" if status >= 500 else "bad_request"
        answer = _Bare(
            status=status,
            text=f'{{"type": "urn:auth-sidecar:{code}", "status": {status}, "code": "{code}"}}\n',
            content_type="application/problem+json",
            headers={**HEADERS, "X-Auth-Sidecar-Error": code},
        )
        answer.force_close()
        return answer


class _Server(web.Server):
    idle: float

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    __slots__ = ("_idle",)

    def __init__(self, app: web.Application, idle: float, **options: Any) -> None:
        super().__init__(app, **options)
        self._idle = idle

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.__class__ = _Server  # made by the application, which cannot be told of another class
        cast(_Server, server).idle = self._idle
        return server
