"""Connections to an upstream that answers in every way, cut anywhere, against a model of what a caller may see.

Owns the steps: requests one after the other, pipelined and side by side, callers that leave, connections closed while
they are idle. The sidecar and all sockets are real. Each body has a mark of its own, so a byte that reaches the wrong
caller is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import struct
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.fuzz.live import HANG, live, segments
from tests.fuzz.upstream_model import HEADS, KINDS, End, Kind, Seen
from tests.harness import Caller, RawRequest, Talk

_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT"})
_TURNS = 12  # of the event loop, in which everything that is on its way arrives
_numbers = itertools.count(1)


@dataclass(eq=False, repr=False)
class Planned:
    """One request, and how the upstream answers it."""

    method: str
    name: str  # of its kind
    cuts: list[float]
    size: int
    body_on_head: bool = False
    number: int = field(default_factory=lambda: next(_numbers))
    attempts: list[tuple[int, bool]] = field(
        default_factory=list
    )  # connection, and whether it was a used one

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """How hypothesis shows it."""
        printer.text(
            f"<{self.method} {self.name!r} size={self.size} cuts={self.cuts} more={self.body_on_head}>"
        )

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def body(self) -> bytes:
        mark = b"<%d>" % self.number
        return (mark * (self.size // len(mark) + 1))[: max(self.size, len(mark) + 4)]

    def raw(self) -> bytes:
        body = b"up" if self.method in ("POST", "PUT") else b""
        length = b"Content-Length: 2\r\n" if body else b""
        return b"%b /%d HTTP/1.1\r\nHost: localhost\r\n%b\r\n%b" % (
            self.method.encode(),
            self.number,
            length,
            body,
        )

    def answer(self) -> list[bytes]:
        """Its segments. What follows an answer unasked is never cut off it: by then another request may have
        been sent.
        """
        data, extra = self.kind.make(self.body), self.kind.extra
        if self.method == "HEAD":
            head, end, body = data.partition(b"\r\n\r\n")
            data, extra = head + end, (body if self.body_on_head else b"")
        pieces = segments(data, self.cuts) or [b""]
        return [*pieces[:-1], pieces[-1] + extra]

    @property
    def reusable(self) -> bool:
        return self.kind.reusable and not (
            self.method == "HEAD" and self.body_on_head and not self.kind.empty
        )

    def judge(self, status: int, body: bytes, *, whole: bool, closed: bool) -> None:
        """What the caller saw of the last attempt. `closed`: the upstream has closed connections behind good
        answers.
        """
        kind, asked_twice = self.kind, len(self.attempts) > 1
        if not self.attempts and closed and self.method == "POST":
            assert status == 502, "an answer out of nowhere"
            return  # sent into a connection that was being closed; it must not be sent again
        seen = Seen.BAD_GATEWAY if status == 502 else Seen.WHOLE if whole else Seen.CUT
        allowed = kind.seen
        if kind.unanswered and asked_twice:
            allowed = Seen.WHOLE
        assert seen in allowed, f"the caller saw {seen}, not {allowed}"
        safe = self.method in _IDEMPOTENT and kind.unanswered and self.attempts[0][1]
        assert len(self.attempts) == (2 if safe else 1), f"sent {len(self.attempts)} times"
        if seen is Seen.BAD_GATEWAY:
            return
        expected = b"" if kind.empty or self.method == "HEAD" else self.body + kind.tail
        assert status == kind.status
        assert body == expected if whole else expected.startswith(body), "a body of somebody else"


@st.composite
def _planned(draw: st.DrawFn, *, late: bool = False) -> Planned:
    method = draw(st.sampled_from(["GET", "GET", "GET", "HEAD", "POST", "PUT"]))
    names = sorted(name for name in (HEADS if method == "HEAD" else KINDS) if bool(KINDS[name].late) == late)
    name = draw(st.sampled_from(names))
    cuts = draw(st.lists(st.floats(0, 1, exclude_max=True), max_size=4))
    size = draw(st.sampled_from([0, 0, 40, 3000, 70_000]))
    return Planned(method, name, cuts, size, draw(st.booleans()) if method == "HEAD" else False)


class UpstreamMachine(RuleBasedStateMachine):
    """Callers, the sidecar, and the upstream."""

    @initialize()
    def start(self) -> None:
        self.live = live()
        self.plans: dict[str, Planned] = {}
        self.last: dict[int, Planned] = {}  # by connection of the upstream: what it served last
        self.writers: dict[int, asyncio.StreamWriter] = {}
        self.told: dict[int, asyncio.Event] = {}  # that the late bytes have been sent
        self.closed: set[int] = set()  # connections that the upstream has closed
        self.faults: list[str] = []
        self.callers: list[Caller] = []  # that are asked again and again
        self.opened: list[Caller] = []
        self.live.upstream.script = self._serve
        self._do(self._all_closed())

    def teardown(self) -> None:
        if hasattr(self, "live"):
            self._do(self._ended())

    # -- the upstream ------------------------------------------------------------------------------------------

    async def _serve(self, talk: Talk) -> None:
        planned = self._taken(talk.request)
        self.writers[talk.request.connection] = talk.writer
        try:
            await talk.body()
            await self._answer(talk, planned)
        except RuntimeError as error:  # uvloop's, for a connection that the sidecar has closed
            raise ConnectionResetError from error
        finally:
            if planned.number in self.told:
                self.told[planned.number].set()

    async def _answer(self, talk: Talk, planned: Planned) -> None:
        kind, end = planned.kind, planned.kind.end
        pieces = planned.answer()
        if kind.unanswered and len(planned.attempts) > 1:
            pieces, end = replace(planned, name="exact").answer(), End.KEEP
        for piece in pieces:
            await talk.send(piece)
            await _turns(3)
        if kind.late:
            await _turns(_TURNS)
            talk.writer.write(kind.late)
        if end is not End.KEEP:
            self.closed.add(talk.request.connection)
        sock = talk.writer.get_extra_info("socket")
        if end is End.CLOSE:
            talk.writer.close()
        elif end is End.RESET and sock is not None and not talk.writer.is_closing():
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            talk.writer.transport.abort()

    def _taken(self, request: RawRequest) -> Planned:
        if request.connection in self.closed:
            raise ConnectionResetError  # it was on its way when the connection was closed
        planned = self.plans[request.target]
        before = self.last.get(request.connection)
        planned.attempts.append((request.connection, before is not None))
        self.last[request.connection] = planned
        if before is not None and not before.reusable and len(before.attempts) < 2:
            self.faults.append(f"a connection was used again behind {before}")
        return planned

    # -- steps -------------------------------------------------------------------------------------------------

    @rule(planned=_planned(), caller=st.integers(0, 2))
    def ask(self, planned: Planned, caller: int) -> None:
        """One request, its answer read to the end."""
        self._do(self._exchange([planned], caller))

    @rule(planned=_planned(late=True), caller=st.integers(0, 2))
    def late(self, planned: Planned, caller: int) -> None:
        """Bytes behind an answer that has long been read; had a request been sent by then, they would be its
        answer.
        """

        async def exchange() -> None:
            await self._exchange([planned], caller)
            if planned.attempts:
                await asyncio.wait_for(self.told[planned.number].wait(), HANG)
            await _turns(_TURNS)

        self.told[planned.number] = asyncio.Event()
        self._do(exchange())

    @rule(planned=st.lists(_planned(), min_size=2, max_size=4), caller=st.integers(0, 2))
    def pipeline(self, planned: list[Planned], caller: int) -> None:
        """Several in one segment; answered in order, until one is cut."""
        self._do(self._exchange(planned, caller))

    @rule(planned=st.lists(_planned(), min_size=2, max_size=4))
    def side_by_side(self, planned: list[Planned]) -> None:
        """Each on a connection of its own, at the same time."""

        async def all_of_them() -> None:
            await asyncio.gather(*(self._exchange([one], -1 - n) for n, one in enumerate(planned)))

        self._do(all_of_them())

    @rule(planned=_planned(), turns=st.integers(0, 8))
    def leave(self, planned: Planned, turns: int) -> None:
        """The caller goes away in the middle."""

        async def left() -> None:
            caller = await self._connect()
            self.plans[f"/{planned.number}"] = planned
            caller.writer.write(planned.raw())
            await _turns(turns)
            caller.writer.transport.abort()
            await _turns(_TURNS)

        self._do(left())

    @rule()
    def idle_connections_close(self) -> None:
        self._do(self._all_closed())

    # -- inside ------------------------------------------------------------------------------------------------

    async def _exchange(self, planned: list[Planned], which: int) -> None:
        """Send these and read what comes; on a kept connection when it still is one."""
        while 0 <= which >= len(self.callers):
            self.callers.append(await self._connect())
        caller = self.callers[which] if which >= 0 else await self._connect()
        for one in planned:
            self.plans[f"/{one.number}"] = one
        await caller.send(b"".join(one.raw() for one in planned))
        open_ = True
        for one in planned:
            if not open_:
                break
            open_ = await self._read(caller, one)
        if not open_ or which < 0:
            caller.writer.transport.abort()
            if which >= 0:
                self.callers[which] = await self._connect()
        await _turns(_TURNS)
        assert not self.faults, self.faults[0]

    async def _read(self, caller: Caller, one: Planned) -> bool:
        """One answer; whether another may follow on this connection."""
        reader, body, whole = caller.reader, b"", True
        async with asyncio.timeout(HANG):
            status, head = await caller.head()
            while status == 100:
                status, head = await caller.head()
            fields = head.lower()
            try:
                if one.method == "HEAD" or status in (204, 304):
                    pass
                elif b"\r\ntransfer-encoding: chunked" in fields:
                    while size := int(await reader.readuntil(b"\r\n"), 16):
                        body += (await reader.readexactly(size + 2))[:-2]
                    await reader.readexactly(2)
                else:
                    length = int(fields.partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0])
                    body = await reader.readexactly(length)
            except asyncio.IncompleteReadError as error:
                body, whole = body + error.partial, False
            except ConnectionError:
                whole = False
        if not whole:
            body = body.partition(b"\r\n")[0] if not one.body.startswith(body) else body
        one.judge(status, body, whole=whole, closed=bool(self.closed))
        return whole and b"\r\nconnection: close" not in fields

    async def _connect(self) -> Caller:
        assert self.live.sidecar is not None
        host, _, port = self.live.sidecar.app.proxy_address.rpartition(":")
        caller = Caller(*await asyncio.open_connection(host, int(port)))
        self.opened.append(caller)
        return caller

    async def _all_closed(self) -> None:
        """No connection to the upstream is left."""
        for writer in self.writers.values():
            writer.close()
        self.writers.clear()
        assert self.live.sidecar is not None
        pool = self.live.sidecar.app.proxy.serving.pool
        for connection in list(pool._idle):
            if connection.transport is not None:
                connection.close()
        async with asyncio.timeout(HANG):
            while pool.counts() != (0, 0):
                await asyncio.sleep(0.001)

    async def _ended(self) -> None:
        for caller in self.opened:
            caller.writer.transport.abort()
        await _turns(_TURNS)
        assert self.live.sidecar is not None
        proxy = self.live.sidecar.app.proxy
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HANG):
                while proxy.metrics.in_flight or proxy.serving.pool.counts()[1]:
                    await asyncio.sleep(0.001)
        assert proxy.metrics.in_flight == 0, "a request never ends"
        assert proxy.serving.pool.counts()[1] == 0, "a connection is busy with nothing"

    def _do(self, what: object) -> None:
        self.live.do(what)  # type: ignore[arg-type]  # a coroutine


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
