"""The admin listener's pages: health, readiness, metrics, status, configuration.

Owns the URLs, who may read them and the headers of every answer. Nothing here waits for anything: all answers
are made from memory, so that a probe never fails because an authorization server is slow.

`Host` is not looked at, because Prometheus and the kubelet come by the pod's address. A page that rebinds
its name to this address can therefore read what is here; that is why nothing here is a secret. What a browser
sends along by itself is looked at: another site's requests are refused, and no answer has a CORS header.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from sidecar import logs
from sidecar.admin import page, status
from sidecar.admin.state import AdminState

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_METHODS = frozenset({hdrs.METH_GET, hdrs.METH_HEAD})
_JSON = "application/json"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{page.STYLE_HASH}'; frame-ancestors 'none'; base-uri 'none'; "
        "form-action 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def application(state: AdminState) -> web.Application:
    """All pages, looking at `state`. The uptime shown counts from this call."""
    pages = _Pages(state)
    app = web.Application(middlewares=[_guard])
    app.router.add_get("/", pages.root)
    app.router.add_get("/healthz", pages.healthz)
    app.router.add_get("/readyz", pages.readyz)
    app.router.add_get("/metrics", pages.metrics)
    app.router.add_get("/status", pages.status)
    app.router.add_get("/status.json", pages.status_json)
    app.router.add_get("/config", pages.config)
    app.on_response_prepare.append(_harden)
    return app


def problem(code: str, number: int, title: str, detail: str) -> web.Response:
    """The same shape as the proxy's own errors; echoes nothing of the request."""
    document = {
        "type": f"urn:auth-sidecar:{code}",
        "title": title,
        "status": number,
        "detail": detail,
        "code": code,
    }
    return web.Response(
        status=number,
        body=_dump(document),
        content_type="application/problem+json",
        headers={"X-Auth-Sidecar-Error": code},
    )


class _Pages:
    def __init__(self, state: AdminState) -> None:
        self._state = state
        self._started = state.clock.now()

    async def root(self, request: web.Request) -> web.Response:
        # relative: the listener may be reached through a prefix (kubectl proxy)
        return web.Response(status=302, headers={hdrs.LOCATION: "status"})

    async def healthz(self, request: web.Request) -> web.Response:
        return _json({"status": "ok"})

    async def readyz(self, request: web.Request) -> web.Response:
        missing = [*self._state.missing(), *(["draining"] if self._state.draining else [])]
        return _json(missing, 503 if missing else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._state.metrics.render(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    async def status(self, request: web.Request) -> web.Response:
        live = request.query.get("refresh") != "off"
        text = page.render(status.of(self._state, self._started), live)
        return web.Response(text=text, content_type="text/html", charset="utf-8")

    async def status_json(self, request: web.Request) -> web.Response:
        return _json(status.of(self._state, self._started).as_json())

    async def config(self, request: web.Request) -> web.Response:
        return _json(self._state.config())


@web.middleware
async def _guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Who may read, and every refusal and failure in one shape."""
    if _from_elsewhere(request):
        return problem("origin_not_allowed", 403, "Origin is not allowed", "Other sites may not read this.")
    if request.method not in _METHODS:
        refused = problem(
            "method_not_allowed", 405, "Method is not allowed", "Only GET and HEAD are served here."
        )
        refused.headers[hdrs.ALLOW] = "GET, HEAD"
        return refused
    try:
        return await handler(request)
    except web.HTTPException:  # aiohttp's way of saying that no route matched
        return problem("not_found", 404, "Not found", "See /status, /metrics, /healthz, /readyz and /config.")
    except Exception:
        logs.get("admin").exception("admin_page_failed")
        return problem("internal_error", 500, "Internal error", "The log says where it went wrong.")


def _from_elsewhere(request: web.Request) -> bool:
    """Whether a browser says that another site's page asks."""
    if not {"none", "same-origin"}.issuperset(request.headers.getall("Sec-Fetch-Site", ())):
        return True
    own = {f"http://{request.headers.get(hdrs.HOST)}", f"https://{request.headers.get(hdrs.HOST)}"}
    return any(origin not in own for origin in request.headers.getall(hdrs.ORIGIN, ()))


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers.pop(hdrs.SERVER, None)  # aiohttp would tell its version and Python's


def _json(value: object, number: int = 200) -> web.Response:
    return web.Response(status=number, body=_dump(value), content_type=_JSON)


def _dump(value: object) -> bytes:
    return (json.dumps(value, indent=2, default=str) + "\n").encode()
