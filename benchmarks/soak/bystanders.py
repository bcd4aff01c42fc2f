"""Connections that are open all the time: idle ones, and endless streams of events.

Owns both, and whether they were served: an event stream is right when every event comes, once, in order, for the right
subject; an idle connection when it still answers at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from benchmarks.asking import Who, judge
from benchmarks.wire import Wire, read_head

_INTERVAL_MS = 1000
_GENTLY = 0.005  # seconds between two connections


@dataclass
class Bystanders:
    """Counts may be read at any time."""

    address: str
    who: Who
    events: int = 0
    longest_gap: float = 0.0  # seconds between two events of one stream
    broken: list[str] = field(default_factory=list)
    _idle: list[Wire] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def there(self, idle: int, streams: int) -> AsyncIterator[Bystanders]:
        """All of them are open when the block begins."""
        for n in range(idle):
            wire = Wire(self.address)
            self._idle.append(wire)
            await self._use(wire, n)
            await asyncio.sleep(_GENTLY)
        async with asyncio.TaskGroup() as tasks:
            readers = []
            for _ in range(streams):
                readers.append(tasks.create_task(self._stream()))
                await asyncio.sleep(_GENTLY)
            try:
                yield self
                for n, wire in enumerate(self._idle):
                    await self._use(wire, n)
            finally:
                for reader in readers:
                    reader.cancel()
                for wire in self._idle:
                    wire.close()

    async def _use(self, wire: Wire, n: int) -> None:
        ask = self.who.ask(n)
        try:
            verdict = judge(ask, await wire.ask(ask.wire))
        except (OSError, EOFError, ValueError) as error:
            self.broken.append(f"idle connection: {type(error).__name__}")
            return
        if verdict.kind != "right":
            self.broken.append(f"idle connection: {verdict.what}")

    async def _stream(self) -> None:
        wire, loop = Wire(self.address), asyncio.get_running_loop()
        reader, writer = await wire.connect()
        writer.write(
            f"GET /app/events?interval_ms={_INTERVAL_MS} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        )
        try:
            status, _ = await read_head(reader)
            if status != 200:
                raise ValueError(f"status {status}")
            number, before = 0, loop.time()
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    if int(line[4:]) != number:
                        raise ValueError(f"event {int(line[4:])} after {number - 1}")
                    number += 1
                    self.events += 1
                    now = loop.time()
                    self.longest_gap, before = max(self.longest_gap, now - before), now
                elif line.startswith(b"data: ") and line[6:].strip().decode() != self.who.subject:
                    raise ValueError("an event for somebody else")
            raise EOFError
        except (OSError, EOFError, ValueError) as error:
            self.broken.append(f"event stream: {type(error).__name__} {error}")
        finally:
            wire.close()
