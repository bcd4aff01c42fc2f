"""Routes that show or test something: echo, streams, events, a WebSocket, big bodies, any status.

Owns what `/demo/...` answers; which token that takes is operations.py's.
"""

from __future__ import annotations

import asyncio
import json

from aiohttp import WSMsgType, web

from sidecar.demo.apierrors import ApiRefusal
from sidecar.demo.content import answer
from sidecar.demo.operations import Answer, Asked

PATTERN = bytes(range(256)) * 256  # /demo/big repeats this
_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization"})


def pages() -> dict[str, Answer]:
    """By name."""
    return {
        "echo": echo,
        "slow": slow,
        "status": status,
        "stream": stream,
        "events": events,
        "ws": websocket,
        "big": big,
        "upload": upload,
    }


def _int(asked: Asked, name: str, default: int, highest: int) -> int:
    text = asked.query.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and int(text[:19]) <= highest):
        raise ApiRefusal(400, "400-101", f"'{name}' must be a number up to {highest}.")
    return int(text)


async def echo(asked: Asked) -> web.Response:
    """Method, target, header fields (a credential's value is not repeated) and the body's size and digest."""
    fields = [
        [
            name.decode("latin-1"),
            "…" if name.decode("latin-1").lower() in _CREDENTIALS else value.decode("latin-1"),
        ]
        for name, value in asked.request.raw_headers
    ]
    seen = asked.seen
    told = {"method": seen.method, "target": seen.target.decode("latin-1"), "headers": fields}
    return answer(asked, {**told, "bodySize": seen.body_size, "bodySha256": seen.body_sha256})


async def slow(asked: Asked) -> web.Response:
    """The answer after `ms`."""
    milliseconds = _int(asked, "ms", 1000, 3_600_000)
    await asyncio.sleep(milliseconds / 1000)
    return answer(asked, {"waitedMs": milliseconds})


async def status(asked: Asked) -> web.Response:
    """The status that the path names."""
    text = asked.parameters["code"]
    if not (text.isascii() and text.isdecimal() and len(text) == 3 and 200 <= int(text) <= 599):
        raise ApiRefusal(400, "400-101", "'code' must be a status from 200 to 599.")
    if text in ("204", "205", "304"):  # no content
        return web.Response(status=int(text))
    return answer(asked, {"status": int(text)}, status=int(text))


async def stream(asked: Asked) -> web.StreamResponse:
    """`chunks` chunks, `interval_ms` apart."""
    chunks, interval = _int(asked, "chunks", 5, 1_000_000), _int(asked, "interval_ms", 200, 3_600_000)
    response = web.StreamResponse(headers={"Content-Type": "text/plain"})
    response.enable_chunked_encoding()
    await response.prepare(asked.request)
    for n in range(chunks):
        if n:
            await asyncio.sleep(interval / 1000)
        await response.write(b"chunk %d\n" % n)
    return response


async def events(asked: Asked) -> web.StreamResponse:
    """Server-sent events: `count` of them (default: until the caller leaves), `interval_ms` apart."""
    count, interval = _int(asked, "count", 0, 1_000_000_000), _int(asked, "interval_ms", 1000, 3_600_000)
    headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
    response = web.StreamResponse(headers=headers)
    await response.prepare(asked.request)
    data = json.dumps(asked.served_for)
    n = 0
    while not count or n < count:
        if n:
            await asyncio.sleep(interval / 1000)
        await response.write(f"id: {n}\ndata: {data}\n\n".encode())
        n += 1
    return response


async def websocket(asked: Asked) -> web.WebSocketResponse:
    """Echoes text and binary; `close 4001` closes with that code; `whoami` tells who is served."""
    socket = web.WebSocketResponse(protocols=("egain.echo", "chat"), max_msg_size=0)
    await socket.prepare(asked.request)
    async for message in socket:
        if message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
        elif message.type == WSMsgType.TEXT:
            verb, _, code = message.data.partition(" ")
            if verb == "close" and code.isdecimal():
                await socket.close(code=int(code), message=b"as told")
            elif verb == "whoami":
                await socket.send_json(asked.served_for)
            else:
                await socket.send_str(message.data)
    return socket


async def big(asked: Asked) -> web.StreamResponse:
    """`bytes` bytes of a known pattern, with their length in the head."""
    left = _int(asked, "bytes", 1 << 20, 1 << 40)
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
    response.content_length = left
    await response.prepare(asked.request)
    while left:
        chunk = PATTERN[: min(left, len(PATTERN))]
        await response.write(chunk)
        left -= len(chunk)
    return response


async def upload(asked: Asked) -> web.Response:
    """Size and digest of what was uploaded."""
    return answer(asked, {"size": asked.seen.body_size, "sha256": asked.seen.body_sha256})
