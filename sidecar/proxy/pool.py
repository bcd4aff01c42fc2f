"""Connections to the upstream: opened, kept, lent out, let go.

Owns how many there are, how one is opened (name look-up, Happy Eyeballs, egress proxy, TLS, all within
`connect_timeout`) and when one is too old to be lent again. One sweep over all connections looks after every
deadline, so that no request needs a timer of its own. Knows nothing of what is sent over them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import aiohappyeyeballs

from sidecar import logs
from sidecar.clock import now
from sidecar.config.values import HttpUrl
from sidecar.egress import open_tunnel
from sidecar.errors import Overloaded, UpstreamUnreachable
from sidecar.proxy.upstream import Connection

# A connection lent out again and again would hold on to an address that DNS has long given up.
_MAX_AGE = 50.0
# Idle connections are closed before the usual 60-75 s after which servers close them on their side.
_MAX_IDLE = 50.0
_HAPPY_EYEBALLS_DELAY = 0.25  # RFC 8305 section 5


Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where connections of a pool lead, and within which limits."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    egress: HttpUrl | None
    connect_timeout: float
    max_connections: int


class Pool:
    """The connections to one upstream."""

    def __init__(
        self,
        destination: Destination,
        *,
        response_timeout: float,
        idle_timeout: float,
        max_head_bytes: int,
        spawn: Spawn,
    ) -> None:
        """`spawn` starts a task that somebody looks after: a bug in the sweep must not end all deadlines."""
        self.destination = destination
        self.response_timeout = response_timeout
        self.idle_timeout = idle_timeout
        self.max_head_bytes = max_head_bytes
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._opening = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._spawn = spawn
        self._sweeping: asyncio.Task[None] | None = None
        self._closed = False
        self._log = logs.get("upstream")
        self._log_next = 0.0

    # -- for exchanges -----------------------------------------------------------------------------------------

    def take(self) -> Connection | None:
        """An idle connection, the one used last; None when one must be opened (or waited for)."""
        while self._idle:
            connection = self._idle.pop()
            if connection.transport is None or connection.transport.is_closing():
                continue
            if now() - connection.born < _MAX_AGE:
                return connection
            connection.close()
        return None

    async def open(self, *, fresh: bool = False) -> Connection:
        """A connection, newly opened or (unless `fresh`) just given back.

        Raises Overloaded when none comes free within connect_timeout, UpstreamUnreachable when none can be
        opened.
        """
        if self._full():
            given = await self._wait_for_a_free_one()
            if given is not None and not fresh:
                return given
            if given is not None:
                given.close()  # its place is what was wanted
        self._opening += 1
        try:
            async with asyncio.timeout(self.destination.connect_timeout):
                connection = await self._connect()
        except TimeoutError as error:
            raise self._unreachable("the connection could not be set up in time", error) from error
        except ssl.SSLError as error:
            raise self._unreachable("TLS could not be set up", error) from error
        except OSError as error:
            raise self._unreachable("the connection could not be set up", error) from error
        finally:
            self._opening -= 1
            self._wake_one(None)
        if connection.transport is not None:
            self._all.add(connection)
            if self._sweeping is None or self._sweeping.done():
                self._sweeping = self._spawn(self._sweep())
        return connection

    # -- for connections ---------------------------------------------------------------------------------------

    def release(self, connection: Connection) -> None:
        """An exchange is through with it and it can serve another."""
        moment = now()
        if self._closed or moment - connection.born > _MAX_AGE:
            connection.close()
        elif not self._waiters or not self._wake_one(connection):
            connection.idle_since = moment
            self._idle.append(connection)

    def lost(self, connection: Connection) -> None:
        """It is closed."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake_one(None)

    # -- for the owner -----------------------------------------------------------------------------------------

    def counts(self) -> tuple[int, int]:
        """(idle, busy)."""
        return len(self._idle), len(self._all) - len(self._idle)

    async def _sweep(self) -> None:
        """Look after deadlines for as long as there is a connection."""
        tick = min(1.0, max(0.02, min(self.response_timeout, self.idle_timeout) / 8))
        while self._all:
            await asyncio.sleep(tick)
            self._look_at_all(now())

    def _look_at_all(self, moment: float) -> None:
        # Not in _sweep: its sleeping frame would keep the connection that was looked at last, with all behind it.
        for connection in list(self._all):
            if connection.deadline is not None and connection.deadline <= moment:
                connection.expire()
        while self._idle and moment - self._idle[0].idle_since > _MAX_IDLE:
            self._idle.popleft().close()

    @property
    def in_use(self) -> bool:
        """It may still open connections, or has some."""
        return not self._closed or bool(self._all)

    def retire(self) -> None:
        """Lend out no more than is asked for; connections end with their exchange."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def close(self) -> None:
        """Close everything at once."""
        self.retire()
        for connection in list(self._all):
            connection.close()
        if self._sweeping is not None:
            self._sweeping.cancel()

    # -- inside ------------------------------------------------------------------------------------------------

    async def _connect(self) -> Connection:
        loop, to = asyncio.get_running_loop(), self.destination
        host, port = (to.host, to.port) if to.egress is None else (to.egress.host, to.egress.port)
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY)
        try:
            if to.egress is not None:
                await open_tunnel(loop, sock, to.host, to.port)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                lambda: Connection(self, sock, plain=to.tls is None),
                sock=sock,
                ssl=to.tls,
                server_hostname=to.host if to.tls else None,
            )
        except BaseException:
            sock.close()
            raise
        return connection

    def _full(self) -> bool:
        return len(self._all) + self._opening >= self.destination.max_connections

    async def _wait_for_a_free_one(self) -> Connection | None:
        """A connection given back, or None for the right to open one."""
        try:
            async with asyncio.timeout(self.destination.connect_timeout):
                while self._full():
                    connection = await self._wait_in_line()
                    if connection is not None:
                        return connection
                return None
        except TimeoutError:
            raise Overloaded("no upstream connection came free in time") from None

    async def _wait_in_line(self) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            # What was handed over in the very moment of leaving belongs to the next one.
            if waiter.done() and not waiter.cancelled():
                connection = waiter.result()
                if connection is None:
                    self._wake_one(None)
                else:
                    self.release(connection)
            raise

    def _wake_one(self, connection: Connection | None) -> bool:
        """Hand a connection (None: the right to open one) to whoever waits longest."""
        if connection is None and self._full():
            return False
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _unreachable(self, detail: str, error: Exception) -> UpstreamUnreachable:
        # The reason goes to the operator's log (at most once a second), not to the caller.
        if now() >= self._log_next:
            self._log_next = now() + 1.0
            self._log.warning("upstream_unreachable", reason=f"{type(error).__name__}: {error}"[:200])
        return UpstreamUnreachable(detail)
