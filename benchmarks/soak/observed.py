"""The sidecar as `python -m sidecar` runs it, with one thing besides: how many asyncio tasks it has can be asked.

    python -m benchmarks.soak.observed FD run CONFIG

Owns one thread, which sleeps in a read: for each byte that comes on the inherited socket FD it writes a line with the
number of tasks. There is no port, and nothing of this is in the sidecar itself: only whoever started the process holds
the other end.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading

from sidecar.__main__ import main
from sidecar.cli import loop as loops


def observe(descriptor: int) -> None:
    """Answer on this socket, about the event loop that is made next."""
    make = loops.loop_factory() or asyncio.new_event_loop
    made: list[asyncio.AbstractEventLoop] = []

    def remembered() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    loops.loop_factory = lambda: remembered
    end = socket.socket(fileno=descriptor)
    threading.Thread(target=_answer, args=(end, made), daemon=True).start()


def _answer(end: socket.socket, made: list[asyncio.AbstractEventLoop]) -> None:
    def count() -> None:
        end.send(b"%d\n" % len(asyncio.all_tasks()))

    while end.recv(1):
        made[-1].call_soon_threadsafe(count)  # counted by the loop itself: no task comes or goes meanwhile


if __name__ == "__main__":
    observe(int(sys.argv.pop(1)))
    main()
