"""A sidecar with a wall clock of its own (libfaketime) and host names of its own (a mount namespace).

Owns how it is started so, and what that takes. Raises Missing when it is not there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

HOST = "egain.test"  # a name that exists nowhere else (RFC 6761)
# $0 and $1 are mounted over the machine's own, for this process alone; what follows takes the shell's place.
_SHELL = 'mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'


class Missing(Exception):
    """Something is not installed, or not allowed."""


def inside(folder: Path) -> list[str]:
    """The command in front of the sidecar's."""
    if shutil.which("unshare") is None:
        raise Missing("unshare (util-linux) is not installed")
    hosts, resolver = folder / "hosts", folder / "resolv.conf"
    hosts.write_text(f"127.0.0.1 localhost {HOST}\n", encoding="ascii")
    # Nobody listens there: a name that is not in the file is not found, at once.
    resolver.write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n", encoding="ascii")
    root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *root, "sh", "-c", _SHELL, str(hosts), str(resolver)]


def environment(folder: Path) -> dict[str, str]:
    """libfaketime, which reads the clock's offset from a file; monotonic time and files' times stay real."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        raise Missing("libfaketime is not installed; run benchmarks/faults/install")
    offset = folder / "faketime"
    offset.write_text("+0\n", encoding="ascii")
    return {
        "LD_PRELOAD": str(libraries[0]),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
