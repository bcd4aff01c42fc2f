"""A peer: the reverse proxy that most people would write with aiohttp, fetching its token with client credentials.

python -m benchmarks.plain_aiohttp PORT UPSTREAM TOKEN_URL CA [--log]
"""

from __future__ import annotations

import argparse
import logging
import ssl
import time

import aiohttp
from aiohttp import web

_HOP_BY_HOP = {
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
    "authorization",
}


class PlainProxy:
    """One session, one token."""

    def __init__(self, upstream: str, token_url: str, ca: str) -> None:
        self._upstream = upstream
        self._token_url = token_url
        self._tls = ssl.create_default_context(cafile=ca)
        self._token = ""
        self._expires = 0.0

    async def start(self, app: web.Application) -> None:
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)

    async def stop(self, app: web.Application) -> None:
        await self._session.close()

    async def _bearer(self) -> str:
        if time.monotonic() > self._expires - 30:
            form = {
                "grant_type": "client_credentials",
                "scope": "read",
                "client_id": "c",
                "client_secret": "s",
            }
            async with self._session.post(self._token_url, data=form) as answer:
                token = await answer.json()
            self._token, self._expires = token["access_token"], time.monotonic() + token["expires_in"]
        return f"Bearer {self._token}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        headers["Authorization"] = await self._bearer()
        async with self._session.request(
            request.method,
            self._upstream + request.path_qs,
            headers=headers,
            data=request.content if request.can_read_body else None,
            allow_redirects=False,
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("upstream")
    parser.add_argument("token_url")
    parser.add_argument("ca")
    parser.add_argument("--log", action="store_true")
    given = parser.parse_args()
    import uvloop

    proxy = PlainProxy(given.upstream, given.token_url, given.ca)
    app = web.Application(client_max_size=1 << 30)
    app.on_startup.append(proxy.start)
    app.on_cleanup.append(proxy.stop)
    app.router.add_route("*", "/{path:.*}", proxy.serve)
    if given.log:
        logging.basicConfig(level=logging.INFO)
    log = logging.getLogger("aiohttp.access") if given.log else None
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=given.port, access_log=log, print=None, loop=loop)


if __name__ == "__main__":
    main()
