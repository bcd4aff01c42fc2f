"""A sidecar that runs for all examples of a target, between a caller and an upstream that both speak bytes.

Owns the event loop of such a target, and what "nothing more will come" means there: everything is in one loop and on
loopback, so what does not come within a moment does not come.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from sidecar.demo.standin import StandIn
from tests.harness import RawUpstream, Sidecar, configuration, sidecar

T = TypeVar("T")
HANG = 5.0  # seconds after which something that should have ended has not
_MOMENT = 0.05


@dataclass
class Live:
    """Everything that runs."""

    loop: asyncio.AbstractEventLoop
    upstream: RawUpstream = field(default_factory=RawUpstream)
    sidecar: Sidecar | None = None
    ended: str = ""  # how the last connection did: told beside a failure

    def do(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(what)

    async def raw(self, pieces: list[bytes], *, ends: bool, due: int = 0) -> tuple[bytes, bool]:
        """Send these segments; everything that came back, and whether the sidecar closed the connection.

        `ends`: it is expected to; otherwise a moment's silence is enough, once there are as many answers as are `due`.
        """
        assert self.sidecar is not None
        host, _, port = self.sidecar.app.proxy_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        got, awaited = b"", False
        try:
            with contextlib.suppress(ConnectionError):
                for piece in pieces:
                    writer.write(piece)
                    for _ in range(4):
                        await asyncio.sleep(0)
            while True:
                try:
                    awaited = ends or got.count(b"HTTP/1.1 ") - got.count(b"HTTP/1.1 100 ") < due
                    async with asyncio.timeout(HANG if awaited else _MOMENT):
                        data = await reader.read(65536)
                except TimeoutError:
                    self.ended = f"silence ({'answers were awaited' if awaited else 'nothing was awaited'})"
                    return got, False
                if not data:
                    self.ended = "end of stream"
                    return got, True
                got += data
        except ConnectionError as error:
            self.ended = repr(error)
            return got, True
        finally:
            writer.transport.abort()


_running: list[Live] = []


def live() -> Live:
    return _running[-1]


@contextlib.contextmanager
def running() -> Iterator[None]:
    """One sidecar in front of a raw upstream; every route takes an application's token."""
    with (
        tempfile.TemporaryDirectory() as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        it = Live(runner.get_loop())
        stack = contextlib.AsyncExitStack()
        runner.run(_start(it, stack, Path(folder)))
        _running.append(it)
        try:
            yield
        finally:
            _running.pop()
            runner.run(_end(stack))


async def _end(stack: contextlib.AsyncExitStack) -> None:
    """Also what a failed example has left: uvloop does not close while something is open."""
    await stack.aclose()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0.05)


async def _start(it: Live, stack: contextlib.AsyncExitStack, folder: Path) -> None:
    egain = await stack.enter_async_context(StandIn())
    await stack.enter_async_context(it.upstream.running())
    secret = folder / "client-secret"
    secret.write_text(egain.client_secret)
    mapping = configuration(it.upstream.url) | {
        "client": {"id": egain.client_id, "secret": {"file": str(secret)}},
        "credentials": {"app": {"grant": "client_credentials", "token_url": egain.user_token_url}},
        "routes": [
            {"path": "/**", "credential": "app", "scopes": ["app.knowledge.portalmgr.read"], "name": "all"}
        ],
        "log": {"level": "error", "requests": False},
    }
    it.sidecar = await stack.enter_async_context(sidecar(mapping, folder))
    async with asyncio.timeout(HANG):
        while it.sidecar.app.missing():
            await asyncio.sleep(0.01)


def segments(data: bytes, cuts: list[float]) -> list[bytes]:
    """The bytes cut at these shares of their length."""
    places = sorted({int(cut * len(data)) for cut in cuts} - {0})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]
