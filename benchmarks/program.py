"""A server as a subprocess that can be stopped in every way: killed and started again, frozen and thawed.

Owns one process, by its own id. Knows nothing of what it serves.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

_DEADLINE = 20.0


class Program:
    """What it writes is in `output.txt` of its folder, to be shown when it does not start."""

    def __init__(
        self, argv: Sequence[str], folder: Path, port: int, environment: Mapping[str, str] | None = None
    ) -> None:
        """`environment`: variables besides those of this process."""
        self._argv, self._folder, self._port = list(argv), folder, port
        self._environment = {**os.environ, **(environment or {})}
        self._log = folder / "output.txt"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, again on the same port, and wait until it listens. Raises RuntimeError when it does not."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _DEADLINE
        while not self._listens():
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self._argv[0]} did not start:\n{self.output[-2000:]}")
            time.sleep(0.02)

    @property
    def output(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def freeze(self) -> None:
        """From now on it accepts connections - the kernel does - and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End it without a word. A frozen process ends as well."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Started, and killed with the block."""
        try:
            self.start()
            yield self
        finally:
            self.kill()

    def _listens(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), 1.0):
            return True
        return False
