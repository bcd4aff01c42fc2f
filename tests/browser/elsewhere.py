"""Somebody else's web site: pages that try things. Owns nothing but serving what a test puts there."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from aiohttp import web

# Two machines' names as a browser sees them, both this one.
HOSTS = ("127.0.0.1", "127.0.0.2")


@dataclass
class Elsewhere:
    """`pages` by path."""

    port: int = 0
    scheme: str = "http"
    pages: dict[str, str] = field(default_factory=dict)
    headers: dict[str, Mapping[str, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # what browsers asked for, path and query

    def at(self, host: str, path: str = "/") -> str:
        return f"{self.scheme}://{host}:{self.port}{path}"

    def put(self, body: str, path: str = "/", **headers: str) -> None:
        """A page with this body."""
        self.pages[path] = f'<!doctype html><meta charset="utf-8"><title>Elsewhere</title>{body}'
        self.headers[path] = {name.replace("_", "-"): value for name, value in headers.items()}

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.raw_path if isinstance(request, web.Request) else request.path_qs)
        page = self.pages.get(request.path)
        if page is None:
            return web.Response(status=404)
        return web.Response(text=page, content_type="text/html", headers=self.headers[request.path])


@contextlib.asynccontextmanager
async def elsewhere(tls: ssl.SSLContext | None = None) -> AsyncIterator[Elsewhere]:
    """On one port of several loopback addresses."""
    other = Elsewhere(scheme="https" if tls else "http")
    runner = web.ServerRunner(web.Server(other._answer, access_log=None))
    await runner.setup()
    try:
        for host in HOSTS:
            await web.TCPSite(runner, host, other.port, ssl_context=tls).start()
            other.port = runner.addresses[0][1]
        yield other
    finally:
        await runner.cleanup()
