"""A WebSocket's two connections joined: bytes in one go out of the other, untouched.

Owns the time between the upstream's 101 and the end of either side. It knows no frames: whatever the two
sides agreed on is theirs. Backpressure is passed on both ways; a side that ends takes the other with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.clock import now
from sidecar.proxy.upstream import Connection

if TYPE_CHECKING:
    from sidecar.proxy.caller import CallerConnection


class Tunnel(asyncio.Protocol):
    """To the upstream's connection it is a protocol; the caller's connection calls `from_caller`."""

    def __init__(
        self, caller: CallerConnection, upstream: Connection, idle_timeout: float, closed: Callable[[], None]
    ) -> None:
        self._caller = caller
        self._upstream = upstream
        self._idle_timeout = idle_timeout
        self._closed = closed

    def start(self, rest: bytes) -> None:
        """Join the two; `rest` came from the upstream right behind its 101."""
        self._upstream.tunnel = self
        if rest:
            self.data_received(rest)
        self._caller.start_tunnel(self)

    # -- from the upstream -----------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._upstream.deadline = now() + self._idle_timeout
        if self._caller.transport is not None:
            self._caller.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._caller.transport is not None:
            self._caller.transport.close()  # behind what is still to be sent
        self._closed()

    def pause_writing(self) -> None:
        self._caller.pause_tunnel_reading()

    def resume_writing(self) -> None:
        self._caller.resume_tunnel_reading()

    # -- from the caller -------------------------------------------------------------------------------------------

    def from_caller(self, data: bytes) -> None:
        self._upstream.deadline = now() + self._idle_timeout
        self._upstream.write(data)

    def caller_gone(self) -> None:
        if self._upstream.transport is not None:
            self._upstream.transport.close()  # behind what is still to be sent
