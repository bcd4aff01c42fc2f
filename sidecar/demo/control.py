"""`/demo/faults`: see and set what goes wrong, from the same machine only.

Owns the guard: the caller must be on loopback, name a loopback host and be no web page. There is no token:
whoever may use this can stop the stand-in anyway.
"""

from __future__ import annotations

import ipaddress

from aiohttp import web

from sidecar.demo.faults import Faults


def _loopback(address: str | None) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def _trusted(request: web.Request) -> bool:
    host = (request.url.host or "").lower()
    page = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"
    return _loopback(request.remote) and _loopback(host) and not page


async def faults(request: web.Request, switches: Faults) -> web.Response:
    """GET shows, POST sets: `{"token": {"kind": "down"}}`, `{"token": {}}` for normal again."""
    if not _trusted(request):
        return web.json_response({"error": "only from this machine"}, status=403)
    if request.method == "POST":
        if request.content_type != "application/json":
            return web.json_response({"error": "Content-Type must be application/json"}, status=415)
        try:
            switches.set_from_json(await request.json())
        except (ValueError, RecursionError) as error:
            return web.json_response({"error": str(error)}, status=400)
        switches.release()
    elif request.method != "GET":
        return web.json_response({"error": "GET or POST"}, status=405, headers={"Allow": "GET, POST"})
    return web.json_response(switches.as_json())
