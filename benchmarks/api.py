"""An API that believes nothing, in a process of its own: each request's token is verified, each oddity written down.

    python -m benchmarks.api --port 9001 --key signing.pem --sins sins.txt

Owns what is answered: what was asked and for whom (asking.py holds it against the question), endless events, large
bodies, and what goes wrong when it is told to (`POST /~mode`, apifaults.py). A token that is missing, forged, expired
or of the wrong scope, or a POST that comes twice, is a line in the file of sins, even if the sidecar mends it by
sending again.

    /app/read, /agent/manage ...    JSON, every second one chunked
    /app/events?interval_ms=1000    server-sent events without end
    /app/big?bytes=1000000          bytes
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import jwt
from cachetools import LRUCache

from benchmarks.apifaults import Faults
from sidecar.cli.loop import in_loop
from sidecar.demo.keys import SigningKey

_HEARTBEAT = 0.05
_FROZEN = 0.3  # no heartbeat for so long: the process was stopped, or the machine is overwhelmed
_PIECE = b"0123456789abcdef" * 4096
# The scope of each token the sidecar must use, by the last segment and the first one of the path.
_SCOPES = {
    ("app", "manage"): "app.knowledge.portalmgr.manage",
    ("app", ""): "app.knowledge.portalmgr.read",
    ("agent", "manage"): "knowledge.portalmgr.onbehalfof.manage",
    ("agent", ""): "knowledge.portalmgr.onbehalfof.read",
    ("nobody", ""): "knowledge.portalmgr.read",
    ("exchange", ""): "knowledge.portalmgr.read",
}


class Refused(Exception):
    """This token is not good enough for this request."""


class Judge:
    """Verifies tokens and remembers sins."""

    def __init__(self, keys: list[SigningKey], sins: Path) -> None:
        self._keys = keys
        self._sins = sins
        self._verified: LRUCache[str, dict[str, Any]] = LRUCache(50_000)
        self._posts: set[str] = set()
        self._beat = self._judged_at = time.time()
        self._late_until = 0.0

    def beat(self) -> None:
        """Called all the time. After a pause, what lay in the sockets is judged by when the pause began.

        A request that waited for a frozen process was sent when its token was good.
        """
        now = time.time()
        if now - self._beat > _FROZEN:
            self._judged_at, self._late_until = self._beat, now + 2.0
        self._beat = now

    def claims(self, path: str, fields: list[bytes]) -> dict[str, Any]:
        """Of the one good token. Raises Refused."""
        values = [field[14:].strip() for field in fields if field[:14].lower() == b"authorization:"]
        scheme, _, token = values[0].decode("latin-1").partition(" ") if len(values) == 1 else ("", "", "")
        if scheme != "Bearer":
            raise Refused(f"{len(values)} tokens")
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verified[token] = self._read(token)
        self.beat()
        now = time.time()
        if (self._judged_at if now < self._late_until else now) >= claims["ends_at"]:
            raise Refused(f"a token that expired {now - claims['ends_at']:.3f} s ago")
        kind, _, rest = path[1:].partition("/")
        if claims["scope"] != _SCOPES.get((kind, rest if rest == "manage" else "")):
            raise Refused(f"a token for {claims['scope']} at {path}")
        return claims

    def _read(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            try:
                return key.verify(
                    token, options={"verify_aud": False, "verify_exp": False, "verify_iat": False}
                )
            except jwt.InvalidTokenError:
                continue
        raise Refused("a token that nobody here issued")

    def once(self, number: str) -> None:
        if number in self._posts:
            self.sin(f"POST {number} came twice")
        self._posts.add(number)

    def sin(self, what: str) -> None:
        with self._sins.open("a", encoding="utf-8") as file:
            file.write(what + "\n")


class Connection(asyncio.Protocol):
    """One connection of the sidecar; it never sends a request before the last one's answer."""

    def __init__(self, judge: Judge, faults: Faults) -> None:
        self._judge, self._faults = judge, faults
        self._buffer = bytearray()
        self._transport: asyncio.Transport
        self._writable = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none of asyncio's classes
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        for task in self._tasks:
            task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            fields = bytes(self._buffer[:end]).split(b"\r\n")
            lengths = [field[15:] for field in fields if field[:15].lower() == b"content-length:"]
            length = int(lengths[0]) if lengths else 0
            if len(self._buffer) < end + 4 + length:
                return
            body = bytes(self._buffer[end + 4 : end + 4 + length])
            del self._buffer[: end + 4 + length]
            method, target, _ = fields[0].decode("latin-1").split(" ")
            self._serve(method, target, fields[1:], body)

    def _serve(self, method: str, target: str, fields: list[bytes], body: bytes) -> None:
        path, _, query = target.partition("?")
        asked = dict(parse_qsl(query))
        if path == "/~mode":
            self._faults.set(json.loads(body))
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        try:
            claims = self._judge.claims(path, fields)
        except Refused as refused:
            self._judge.sin(f"{refused} at {target}")
            self._transport.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            return
        if path.endswith("/events"):
            self._spawn(self._events(claims, int(asked["interval_ms"]) / 1000))
        elif path.endswith("/big"):
            self._spawn(self._big(int(asked["bytes"])))
        else:
            if method == "POST":
                self._judge.once(asked["n"])
            told = {
                "n": int(asked["n"]),
                "method": method,
                "subject": claims["sub"],
                "scopes": claims["scope"],
                "sha256": hashlib.sha256(body).hexdigest(),
            }
            self._answer(told)

    def _answer(self, told: dict[str, Any]) -> None:
        delay = self._faults.delay
        if delay:
            asyncio.get_running_loop().call_later(delay, self._faults.answer, self._transport, told)
        else:
            self._faults.answer(self._transport, told)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _events(self, claims: dict[str, Any], interval: float) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        number = 0
        while True:
            event = f"id: {number}\ndata: {claims['sub']}\n\n".encode()
            self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
            number += 1
            await asyncio.sleep(interval)

    async def _big(self, left: int) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
        while left > 0:
            await self._writable.wait()
            self._transport.write(_PIECE[: min(left, len(_PIECE))])
            left -= len(_PIECE)
            await asyncio.sleep(0)  # the others' turn


async def serve(port: int, judge: Judge) -> None:
    """Until the process is ended."""
    faults, loop = Faults(), asyncio.get_running_loop()
    make: Callable[[], Connection] = lambda: Connection(judge, faults)  # noqa: E731
    server = await loop.create_server(make, "127.0.0.1", port, backlog=1024)
    async with server:
        while True:
            judge.beat()
            await asyncio.sleep(_HEARTBEAT)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", type=Path, action="append", required=True, help="PEM; its tokens are good")
    parser.add_argument("--sins", type=Path, required=True, help="a line for each token that was not good")
    given = parser.parse_args()
    keys = [SigningKey("egain", file.read_bytes()) for file in given.key]
    in_loop(serve(given.port, Judge(keys, given.sins)))


if __name__ == "__main__":
    main()
