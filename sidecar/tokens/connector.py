"""How token requests reach their server: directly, or through the egress proxy.

Owns the one thing aiohttp does differently from the proxy listener: it would hand a plain http:// request to the
egress proxy to forward. Here the proxy is asked for a tunnel (CONNECT), as for https:// and as for
the API. Knows nothing of what is sent.
"""

from __future__ import annotations

import asyncio
import socket

import aiohappyeyeballs
import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace

from sidecar.config.values import HttpUrl
from sidecar.egress import open_tunnel

_HAPPY_EYEBALLS_DELAY = 0.25  # seconds (RFC 8305 section 5)


class Connector(aiohttp.TCPConnector):
    """aiohttp's, with tunnels for requests without TLS. For those with it, aiohttp itself has `proxy=`."""

    egress: HttpUrl | None = None  # of requests that are connected from now on

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        if self.egress is None or req.is_ssl():
            return await super()._create_connection(req, traces, timeout)
        try:
            return await self._through(self.egress, req.url.host or "", req.url.port or 80)
        except OSError as error:
            raise aiohttp.ClientProxyConnectionError(req.connection_key, error) from error

    async def _through(self, egress: HttpUrl, host: str, port: int) -> ResponseHandler:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(egress.host, egress.port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY)
        try:
            await open_tunnel(loop, sock, host, port)
            _, protocol = await loop.create_connection(self._factory, sock=sock)
        except BaseException:
            sock.close()
            raise
        return protocol
