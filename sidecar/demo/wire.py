"""How faults look on the wire, and the few things aiohttp has no word for: resets, cuts, held answers.

Owns what happens to a connection. Knows nothing of OAuth or of eGain's API: callers have the normal answer.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from sidecar.demo.faults import ApiFault, Literally, SignInFault, Switch, TokenFault

_LINGER_RESET = struct.pack("ii", 1, 0)  # close at once, with RST instead of FIN


def json_text(members: Mapping[str, Any]) -> str:
    """A JSON object whose `Literally` members are put in as they are."""
    parts = (
        f"{json.dumps(name)}: {value if isinstance(value, Literally) else json.dumps(value)}"
        for name, value in members.items()
    )
    return "{" + ", ".join(parts) + "}"


class Silence(web.Response):
    """No answer: the connection is gone."""


def reset(request: web.Request) -> Silence:
    """Reset the connection."""
    if (transport := request.transport) is not None:
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
        transport.abort()
    return Silence()


def close(request: web.Request) -> Silence:
    """Close the connection without a word."""
    if (transport := request.transport) is not None:
        transport.close()
    return Silence()


async def wait(switch: Switch[Any], seconds: float) -> None:
    """For so long, or until release()."""
    try:
        async with asyncio.timeout(seconds):
            await switch.released()
    except TimeoutError:
        pass


async def head_and(
    request: web.Request, switch: Switch[Any], *, kind: str, content_type: str = "application/json"
) -> web.StreamResponse:
    """A promising head, then too little or too much."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    if kind != "flood":
        response.content_length = 1000
    await response.prepare(request)
    if kind == "cut":
        await response.write(b"x" * 500)
    elif kind == "drip":
        for _ in range(1000):
            await response.write(b" ")
            await wait(switch, 1.0)
    elif kind == "flood":
        while True:  # ends when the caller leaves: the handler is cancelled
            await response.write(b" " * 65536)
    else:
        await switch.released()
    close(request)
    return response


def plain(fault: TokenFault | ApiFault | SignInFault) -> web.Response:
    """The answer of `status`: exactly what was asked for."""
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = fault.retry_after
    return web.Response(status=fault.status, headers=headers, body=fault.body.encode())


async def token_fault(
    request: web.Request, switch: Switch[TokenFault], fault: TokenFault
) -> web.StreamResponse | None:
    """Carry out a token endpoint's fault; None: answer normally."""
    if fault.delay:
        await wait(switch, fault.delay)
    match fault.kind:
        case "none" | "lost":  # lost: by the caller, once it is carried out
            return None
        case "down":
            return reset(request)
        case "close":
            return close(request)
        case "status":
            return plain(fault)
        case "throttled":
            return web.json_response(
                {"error": "temporarily_unavailable"},
                status=429,
                headers={"Retry-After": fault.retry_after or "1"},
            )
        case "error":
            status = 400 if fault.status == 500 else fault.status
            return web.json_response({"error": fault.error, "error_description": "as told"}, status=status)
        case "garbage":
            return web.Response(text='{"access_tok', content_type="application/json")
        case "empty":
            return web.Response(content_type="application/json")
        case "html":
            return web.Response(text="<html><h1>Please sign in</h1></html>", content_type="text/html")
        case "hold":
            await switch.released()
            return None
        case "hang":
            await switch.released()
            return close(request)
        case "headers_only" | "drip" | "flood":
            return await head_and(request, switch, kind=fault.kind)


async def api_fault(
    request: web.Request, switch: Switch[Any], fault: ApiFault | SignInFault
) -> web.StreamResponse | None:
    """Carry out an API's or a page's fault that needs no words of theirs; None: go on."""
    if fault.delay:
        await wait(switch, fault.delay)
    match fault.kind:
        case "reset":
            return reset(request)
        case "close":
            return close(request)
        case "status":
            return plain(fault)
        case "hold":
            await switch.released()
            return None
        case "hang":
            await switch.released()
            return close(request)
        case "cut":
            return await head_and(request, switch, kind="cut")
        case _:
            return None
