"""The sidecar as `python -m sidecar` runs it, with one thing besides: what it has inside can be asked.

    python -m benchmarks.soak.observed FD run CONFIG

Owns one thread, which sleeps in a read: for each byte that comes on the inherited socket FD it writes a line with the
number of asyncio tasks, of blocks that Python's allocator has given out, and of bytes that the C library's has. A leak
shows in these; a heap that has merely gaps does not. There is no port, and nothing of this is in the sidecar itself:
only whoever started the process holds the other end.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import sys
import threading
from collections.abc import Callable

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


class _Mallinfo2(ctypes.Structure):
    """mallinfo(3), glibc 2.33 or newer."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    )


def malloc_reader() -> Callable[[], int]:
    """How to ask the C library for the bytes it has given out; 0 for ever where it cannot say (musl)."""
    try:
        mallinfo2 = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return int
    mallinfo2.restype = _Mallinfo2

    def read() -> int:
        found = mallinfo2()
        return int(found.uordblks + found.hblkhd)

    return read


def _answer(end: socket.socket, made: list[asyncio.AbstractEventLoop]) -> None:
    malloced = malloc_reader()

    def count() -> None:
        end.send(b"%d %d %d\n" % (len(asyncio.all_tasks()), sys.getallocatedblocks(), malloced()))

    while end.recv(1):
        made[-1].call_soon_threadsafe(count)  # counted by the loop itself: no task comes or goes meanwhile


if __name__ == "__main__":
    observe(int(sys.argv.pop(1)))
    main()
