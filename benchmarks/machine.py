"""What the machine did during a turn: whose processor time it was.

Owns /proc. A measurement on two cores is worth nothing while something else uses one of them, so every turn asks
how much of a core went to processes that do not belong to it.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Self

TICK = 1.0 / os.sysconf("SC_CLK_TCK")


def cores() -> tuple[int, int]:
    """(the proxy's core, the core of load and upstream)."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise RuntimeError("two cores are needed: one for the proxy, one for load and upstream")
    return usable[0], usable[1]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


def memory_mib(pid: int, what: str = "VmRSS") -> float:
    """Resident memory, now (`VmRSS`) or at its highest (`VmHWM`)."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(status.partition(f"{what}:")[2].split()[0]) / 1024


def forget_peak(pid: int) -> None:
    """`VmHWM` starts again from what is resident now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


def children(pid: int) -> list[int]:
    """The process and all that it started (nginx's workers)."""
    found = [pid]
    for parent in found:
        listed = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        found += map(int, listed.split())
    return found


class Interference:
    """Processor time of everybody else on our cores while the block lasts, as a share of one core."""

    def __init__(self, ours: list[int]) -> None:
        self._ours = [pid for root in ours for pid in children(root)]
        self.share = 0.0

    def __enter__(self) -> Self:
        self._began = self._reading()
        return self

    def __exit__(self, *_: object) -> None:
        busy, ours, uptime = (
            after - before for before, after in zip(self._began, self._reading(), strict=True)
        )
        self.share = max(0.0, busy - ours) / max(uptime, TICK)

    def _reading(self) -> tuple[float, float, float]:
        busy = 0.0
        for number in cores():
            line = re.search(rf"^cpu{number} (.*)$", Path("/proc/stat").read_text("ascii"), re.MULTILINE)
            assert line is not None
            user, nice, system, _idle, _iowait, irq, softirq, *_ = map(int, line[1].split())
            busy += (user + nice + system + irq + softirq) * TICK
        own = os.times()
        ours = sum(map(cpu_seconds, self._ours)) + sum(
            own[:4]
        )  # what we waited for (wrk, curl) counts as ours
        return busy, ours, own.elapsed


def describe() -> str:
    """The machine in a line."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE)
    name = model[1] if model else platform.machine()
    return f"{name}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
