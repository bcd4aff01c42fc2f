"""What tests of the running sidecar share: a raw upstream that records every byte, a raw caller, a sidecar.

Everything listens on 127.0.0.1, port 0. Nothing here sleeps to wait: `until` polls a condition with a deadline
that only a failure ever reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml
from prometheus_client.parser import text_string_to_metric_families

from sidecar.app import App, running
from sidecar.clock import Clock
from sidecar.config.loading import Loaded, load
from sidecar.demo.standin import StandIn
from tests.battery.wire import Answers, Requests

DEADLINE = 20.0  # what no healthy run comes near


class Observer(Protocol):
    """Told of everything a case starts (tests/battery/case.py)."""

    def upstream(self, upstream: RawUpstream) -> None: ...

    def caller(self, caller: Caller) -> None: ...

    def started(self, sidecar: Sidecar) -> None: ...

    async def leaving(self, sidecar: Sidecar) -> None:
        """Its test is over; it is still running."""


observers: list[Observer] = []


async def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait for a condition."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.005)
            return
    raise AssertionError(f"{what} did not come true")


@dataclass
class RawRequest:
    """One request as the upstream got it."""

    head: bytes
    connection: int
    body: bytes = b""
    answered: bool = False  # a byte of an answer was sent

    @property
    def line(self) -> str:
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    @property
    def target(self) -> str:
        return self.line.split(" ")[1]

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(n, v[1:]) for n, _, v in (line.partition(":") for line in lines if line)]

    def all(self, name: str) -> list[str]:
        return [v for n, v in self.headers if n.lower() == name.lower()]


@dataclass
class Talk:
    """The upstream's side of one request: what a script writes its answer with."""

    request: RawRequest
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.request.answered = True
        self.writer.write(data)
        await self.writer.drain()

    async def body(self) -> bytes:
        """Read the request's body to its end, as framed."""
        request, reader = self.request, self.reader
        if request.all("Transfer-Encoding"):
            while True:
                size = int(await reader.readuntil(b"\r\n"), 16)
                piece = await reader.readexactly(size + 2)
                if size == 0:
                    return request.body
                request.body += piece[:-2]
        for length in request.all("Content-Length"):
            request.body = await reader.readexactly(int(length))
        return request.body

    def reset(self) -> None:
        """End it with RST. Without SO_LINGER `abort` does so only where something has not been read."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Talk], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def answer_ok(talk: Talk) -> None:
    await talk.body()
    await talk.send(OK)


def answering(data: bytes, *, close: bool = False) -> Script:
    """A script that reads the body and answers these bytes."""

    async def script(talk: Talk) -> None:
        await talk.body()
        await talk.send(data)
        if close:
            talk.writer.close()

    return script


@dataclass
class RawUpstream:
    """An HTTP server without any HTTP library in it."""

    script: Script = answer_ok
    requests: list[RawRequest] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    port: int = 0
    scheme: str = "http"
    role: str = "upstream"  # or `tokens`, or `other host`: one that must never hear of us

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                request = RawRequest(head[:-4], number)
                self.requests.append(request)
                await self.script(Talk(request, reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            pass
        finally:
            self.open -= 1
            writer.close()

    @contextlib.asynccontextmanager
    async def running(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[RawUpstream]:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await self._serve(reader, writer)
            except asyncio.CancelledError:
                pass  # the end of the test; asyncio's own callback would report it
            finally:
                tasks.discard(task)

        for observer in observers:
            observer.upstream(self)
        server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, limit=1 << 20, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self.scheme = "https" if tls else "http"
        try:
            yield self
        finally:
            server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


_numbers = itertools.count()


def load_mapping(mapping: dict[str, Any], folder: Path) -> Loaded:
    """Write a configuration as a file and load it."""
    path = folder / f"sidecar-{next(_numbers)}.yaml"
    path.write_text(yaml.safe_dump(mapping, sort_keys=False))
    return load(path)


def configuration(url: str, /, **changes: Any) -> dict[str, Any]:
    """A small configuration: everything is forwarded without a token, unless told otherwise."""
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "upstream": {"url": url, **changes.pop("upstream", {})},
        "routes": [{"path": "/**", "credential": "none", "name": "all"}],
        "log": {"level": "debug"},
        **changes,
    }


def with_tokens(egain: StandIn, url: str, folder: Path, /, **changes: Any) -> dict[str, Any]:
    """Routes of every kind in front of a raw upstream, tokens from the stand-in."""
    secret = folder / "client-secret"
    secret.write_text(egain.client_secret)
    return {
        **configuration(url, upstream=changes.pop("upstream", {})),
        "client": {"id": egain.client_id, "secret": {"file": str(secret)}},
        "credentials": {
            "app": {"grant": "client_credentials", "token_url": egain.user_token_url},
            "agent": {
                "grant": "on_behalf_of",
                "token_url": egain.user_token_url,
                "subject": {"username": {"header": "X-On-Behalf-Of"}},
                "allow_subjects": ["*"],
            },
            "okta": {
                "grant": "token_exchange",
                "token_url": egain.user_token_url,
                "registration_id": egain.registration_id,
            },
        },
        "routes": [
            {
                "path": "/app/**",
                "credential": "app",
                "scopes": ["app.knowledge.portalmgr.read"],
                "name": "app",
            },
            {"path": "/agent/**", "credential": "agent", "scopes": ["knowledge.portalmgr.onbehalfof.read"]},
            {"path": "/okta/**", "credential": "okta", "scopes": ["knowledge.portalmgr.read"]},
            {"path": "/open/**", "credential": "none", "name": "open"},
        ],
        **changes,
    }


@dataclass
class Answer:
    """One answer as the caller got it."""

    status: int
    head: bytes
    body: bytes

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(n, v[1:]) for n, _, v in (line.partition(":") for line in lines if line)]

    def all(self, name: str) -> list[str]:
        return [v for n, v in self.headers if n.lower() == name.lower()]

    @property
    def error(self) -> str | None:
        return next(iter(self.all("X-Auth-Sidecar-Error")), None)


class _Reader(asyncio.StreamReader):
    """Lets somebody look at what arrives, whether it is read or not."""

    def __init__(self, look: Callable[[bytes], None], **more: Any) -> None:
        super().__init__(**more)
        self._look = look
        self.over = False

    def feed_data(self, data: Any) -> None:
        self._look(data)
        super().feed_data(data)

    def feed_eof(self) -> None:
        self.over = True
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self.over = True
        super().set_exception(exc)


class _Writer(asyncio.StreamWriter):
    """Lets somebody look at what is sent."""

    look: Callable[[bytes], None]

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.look(bytes(data))
        super().write(data)


class Caller:
    """One connection to the proxy, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.requests = Requests()
        self.answers = Answers(self.requests)

    @classmethod
    async def connect(cls, host: str, port: int) -> Caller:
        """One that keeps count of what it sends and gets."""
        loop = asyncio.get_running_loop()
        requests = Requests()
        answers = Answers(requests)
        reader = _Reader(answers.feed, limit=1 << 20, loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        transport, _ = await loop.create_connection(lambda: protocol, host, port)
        writer = _Writer(transport, protocol, reader, loop)
        writer.look = requests.feed
        caller = cls(reader, writer)
        caller.requests, caller.answers = requests, answers
        for observer in observers:
            observer.caller(caller)
        return caller

    @property
    def open(self) -> bool:
        """Neither side has ended it."""
        return not (self.writer.is_closing() or getattr(self.reader, "over", False))

    @property
    def reading(self) -> bool:
        """It takes what comes, so that what was answered is known."""
        return bool(self.writer.transport.is_reading())  # type: ignore[attr-defined]  # uvloop's, and asyncio's

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, bytes]:
        async with asyncio.timeout(DEADLINE):
            head = (await self.reader.readuntil(b"\r\n\r\n"))[:-4]
        return int(head.split(b" ", 2)[1]), head

    async def answer(self, method: str = "GET") -> Answer:
        """Read one whole answer; IncompleteReadError or ConnectionError when it is cut."""
        async with asyncio.timeout(DEADLINE):
            status, head = await self.head()
            answer = Answer(status, head, b"")
            if method == "HEAD" or status in (204, 304) or status < 200:
                return answer
            if answer.all("Transfer-Encoding"):
                while True:
                    size = int(await self.reader.readuntil(b"\r\n"), 16)
                    piece = await self.reader.readexactly(size + 2)
                    if size == 0:
                        return answer
                    answer.body += piece[:-2]
            if answer.all("Content-Length"):
                answer.body = await self.reader.readexactly(int(answer.all("Content-Length")[0]))
            else:
                answer.body = await self.reader.read()
            return answer

    async def ask(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
        """Send a request with Host and read its answer."""
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        await self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        return await self.answer(method)

    async def closed(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(DEADLINE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    def close(self) -> None:
        self.writer.close()


@dataclass
class Sidecar:
    """A running sidecar, and callers to it."""

    app: App
    loaded: Loaded  # what it was started with
    callers: list[Caller] = field(default_factory=list)

    async def caller(self) -> Caller:
        host, _, port = self.app.proxy_address.rpartition(":")
        caller = await Caller.connect(host, int(port))
        self.callers.append(caller)
        return caller

    async def ask(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        caller = await self.caller()
        try:
            return await caller.ask(target, *headers, method=method, body=body)
        finally:
            caller.close()

    async def raw(self, data: bytes, *, byte_by_byte: bool = False) -> bytes:
        """Send bytes, and read until the sidecar closes the connection."""
        caller = await self.caller()
        try:
            if byte_by_byte:
                for at in range(len(data)):
                    if caller.writer.is_closing():
                        break
                    caller.writer.write(data[at : at + 1])
                    await asyncio.sleep(0)
            else:
                caller.writer.write(data)
            return await caller.closed()
        finally:
            caller.close()

    async def page(self, path: str) -> str:
        """Of the admin listener: head and body."""
        host, _, port = self.app.admin_address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        text = (await reader.read()).decode()
        writer.close()
        return text

    async def metrics(self) -> str:
        return await self.page("/metrics")

    async def metric(self, name: str, **labels: str) -> float | None:
        """One sample of the exposition, None when there is none."""
        body = (await self.metrics()).partition("\r\n\r\n")[2]
        for family in text_string_to_metric_families(body):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    def close(self) -> None:
        for caller in self.callers:
            caller.close()


@contextlib.asynccontextmanager
async def sidecar(
    mapping: dict[str, Any], folder: Path, clock: Clock | None = None
) -> AsyncIterator[Sidecar]:
    """A sidecar serving this configuration; with a `FakeClock` the test moves its tokens' time."""
    loaded = load_mapping(mapping, folder)
    async with running(loaded, clock) as app:
        started = Sidecar(app, loaded)
        for observer in observers:
            observer.started(started)
        try:
            yield started
            for observer in observers:
                await observer.leaving(started)
        finally:
            started.close()
