"""`/demo/page`: a page of an app that people sign in to; docs/sign-in.md shows it.

Owns how it is served: to anybody, without a token, with a policy that lets its own script and style run and nothing
else. What the page does is page.html's business.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from aiohttp import web

PATH = "/demo/page"
TEXT = files("sidecar.demo").joinpath("page.html").read_text(encoding="utf-8")


def _hash(element: str) -> str:
    """The content of the one element of this name as a source of a content security policy."""
    (content,) = re.findall(f"<{element}[^>]*>(.*?)</{element}>", TEXT, re.DOTALL)
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() + "'"


async def answer(request: web.Request, sign_out_at: str) -> web.Response:
    """The page. `sign_out_at`: the origin that its form leads to in the end; browsers hold redirects against it."""
    if request.method not in ("GET", "HEAD"):
        return web.Response(status=405, headers={"Allow": "GET, HEAD"})
    policy = (
        f"default-src 'none'; script-src {_hash('script')}; style-src {_hash('style')}; connect-src 'self'; "
        f"form-action 'self' {sign_out_at}; base-uri 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=TEXT, content_type="text/html", charset="utf-8", headers=headers)
