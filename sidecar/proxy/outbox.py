"""What is to be written, gathered over one turn of the event loop and written at its end.

Owns the order: first in, first out, also on one transport. A write to a socket whose reader sleeps wakes that reader,
which costs more than the copy; done one after the other, most writes find their reader awake. Nothing is held
back longer than the events at hand take to be looked at.
"""

from __future__ import annotations

import asyncio


class Outbox:
    """The gathered writes of all connections."""

    __slots__ = ("_gathered", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._gathered: list[tuple[asyncio.Transport, bytes]] = []

    def put(self, transport: asyncio.Transport, data: bytes) -> None:
        """Write it at the end of this turn, unless the transport is closing by then."""
        if not self._gathered:
            self._loop.call_soon(self._send)
        self._gathered.append((transport, data))

    @property
    def size(self) -> int:
        """Bytes that are gathered at this moment."""
        return sum(len(data) for _, data in self._gathered)

    def _send(self) -> None:
        gathered, self._gathered = self._gathered, []
        for transport, data in gathered:
            if not transport.is_closing():
                transport.write(data)
