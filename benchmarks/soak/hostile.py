"""A hostile caller, in a process of its own so that the others' latency is not measured beside its work.

    python -m benchmarks.soak.hostile slowloris HOST:PORT

Owns three ways of being a nuisance; each goes on until the process is ended with SIGTERM, and then tells in a line of
JSON what became of it.

    slowloris      500 connections whose request heads arrive byte by byte and never end
    slow readers   50 answers of 100 MB, read at two KiB a second
    pipelined      10,000 requests in one go on one connection, again and again
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

from benchmarks.wire import Wire

_LORIS, _READERS, _PIPELINE = 500, 50, 10_000
_HEAD = b"GET /app/read?n=1 HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


class Nuisance:
    """What became of it is in `told`."""

    def __init__(self, address: str) -> None:
        self.told: Counter[str] = Counter()
        self._address = address
        host, _, port = address.rpartition(":")
        self._to = (host, int(port))

    async def slowloris(self) -> None:
        await _many(_LORIS, self._loris)

    async def slow_readers(self) -> None:
        await _many(_READERS, self._reader)

    async def _loris(self) -> None:
        """A byte a second, until the sidecar has had enough."""
        reader, writer = await asyncio.open_connection(*self._to)
        began = asyncio.get_running_loop().time()
        writer.write(_HEAD)
        answer = asyncio.ensure_future(reader.read(65536))
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait([answer], timeout=1.0)
        held = asyncio.get_running_loop().time() - began
        self.told["answered 408" if answer.result().startswith(b"HTTP/1.1 408 ") else "ended otherwise"] += 1
        self.told["longest ms"] = max(self.told["longest ms"], round(held * 1000))
        writer.close()

    async def _reader(self) -> None:
        """Takes little, rarely, through a small window."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        with contextlib.closing(sock):
            await loop.sock_connect(sock, self._to)
            await loop.sock_sendall(sock, b"GET /app/big?bytes=100000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while taken := await loop.sock_recv(sock, 1024):
                self.told["bytes"] += len(taken)
                await asyncio.sleep(0.5)
            self.told["ended early"] += 1

    async def pipelined(self) -> None:
        """All at once, and then every answer, in its order."""
        while True:
            wire = Wire(self._address)
            reader, writer = await wire.connect()
            writer.write(
                b"".join(
                    b"GET /app/read?n=%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n for n in range(_PIPELINE)
                )
            )
            for n in range(_PIPELINE):
                reply = await wire.read(reader)
                right = reply.status == 200 and json.loads(reply.body)["n"] == n
                self.told["answered in order" if right else "answered otherwise"] += 1
            wire.close()
            self.told["rounds"] += 1
            await asyncio.sleep(1.0)


async def _many(count: int, work: Callable[[], Awaitable[None]]) -> None:
    """So many at a time, each begun again when it ended."""

    async def again() -> None:
        while True:
            with contextlib.suppress(ConnectionError):
                await work()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(again())
            await asyncio.sleep(0.002)


async def main(kind: str, address: str) -> None:
    nuisance = Nuisance(address)
    work = asyncio.ensure_future(getattr(nuisance, kind.replace(" ", "_"))())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    print(json.dumps(nuisance.told), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
