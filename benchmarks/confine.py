"""A process with half a core and 128 MiB, held to it by the kernel: a control group, version 1 or 2.

Owns the group: how it is made, joined, read and removed. Where none can be made (no root, another system) there is no
substitute: `Confinement.none` says so, and the report with it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD = 100_000  # microseconds, the kernel's and Kubernetes' default
# $1 to the last `--` are files to write one's own process id into; what follows takes the shell's place.
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1"; shift; done; shift; exec "$@"'


@dataclass(frozen=True)
class Reading:
    """What the group counted."""

    throttled: int = 0  # periods in which the processor time was used up
    peak_mib: float = 0.0  # all memory charged to the group, page cache included
    denied: int = (
        0  # times memory was refused (version 1: also times it could be reclaimed), 0 is what is wanted
    )


@dataclass(frozen=True)
class Confinement:
    """`inside` is the command in front of the one to be confined."""

    text: str
    folders: tuple[Path, ...] = ()  # version 1: cpu, memory; version 2: the one
    version: int = 0

    @property
    def inside(self) -> list[str]:
        if not self.folders:
            return []
        return ["sh", "-c", _JOIN, "sh", *(str(folder / "cgroup.procs") for folder in self.folders), "--"]

    def read(self) -> Reading:
        if self.version == 1:
            cpu, memory = self.folders
            peak = int((memory / "memory.max_usage_in_bytes").read_text())
            kills = _numbers(memory / "memory.oom_control").get("oom_kill", 0)
            return Reading(_numbers(cpu / "cpu.stat")["nr_throttled"], peak / (1 << 20), kills)
        if self.version == 2:
            (folder,) = self.folders
            file = folder / "memory.peak"
            peak = int(file.read_text()) if file.exists() else int((folder / "memory.current").read_text())
            kills = _numbers(folder / "memory.events")["oom_kill"]
            return Reading(_numbers(folder / "cpu.stat")["nr_throttled"], peak / (1 << 20), kills)
        return Reading()


@contextlib.contextmanager
def confinement(cores: float, mib: int) -> Iterator[Confinement]:
    """A group with these limits until the block ends; everything in it must have ended by then."""
    name = f"auth-sidecar-{os.getpid()}"
    made: list[Path] = []
    try:
        yield _make(name, cores, mib, made)
    finally:
        for folder in made:
            _remove(folder)


def _make(name: str, cores: float, mib: int, made: list[Path]) -> Confinement:
    limits = f"{cores:g} of a core in each {_PERIOD // 1000} ms, {mib} MiB"
    quota, size = int(cores * _PERIOD), mib << 20
    try:
        if (_ROOT / "cgroup.controllers").exists():
            (_ROOT / "cgroup.subtree_control").write_text("+cpu +memory")
            folder = _new(_ROOT / name, made)
            (folder / "cpu.max").write_text(f"{quota} {_PERIOD}")
            (folder / "memory.max").write_text(str(size))
            return Confinement(f"{limits} (control group, version 2)", (folder,), 2)
        cpu, memory = _new(_ROOT / "cpu" / name, made), _new(_ROOT / "memory" / name, made)
        (cpu / "cpu.cfs_period_us").write_text(str(_PERIOD))
        (cpu / "cpu.cfs_quota_us").write_text(str(quota))
        (memory / "memory.limit_in_bytes").write_text(str(size))
    except OSError as error:
        return Confinement(f"not confined: {error}")
    return Confinement(f"{limits} (control group, version 1)", (cpu, memory), 1)


def _new(folder: Path, made: list[Path]) -> Path:
    folder.mkdir()
    made.append(folder)
    return folder


def _remove(folder: Path) -> None:
    """The kernel may take a moment to see that the last process is gone."""
    for _ in range(50):
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        time.sleep(0.02)


def _numbers(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
