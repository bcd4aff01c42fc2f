"""Where log lines go.

Owns the stream. Whole lines are written at a time, so lines of threads do not mix; a stream that cannot be written to
(a closed pipe, a full disk, a pipe that nobody empties) costs lines, never a request.
"""

from __future__ import annotations

import asyncio
import os
import stat
from typing import TextIO

_GATHER = 0.005  # seconds; what a process that is killed may leave unsaid


class Sink:
    """Writes whole lines to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0
        self._stream = stream
        # sys.stderr flushes at every line end; another stream may have to be told.
        self._flushes = not getattr(stream, "line_buffering", False)
        self._pipe = _pipe(stream)
        self._rest = b""  # of lines that the pipe took in part
        self._gathered: list[str] = []

    def gather(self, line: str) -> None:
        """Write it within a few milliseconds, with the other lines of that time: one call for all of them."""
        if not self._gathered:
            try:
                asyncio.get_running_loop().call_later(_GATHER, self.flush)
            except RuntimeError:  # no event loop, so nobody to gather for
                self._write(line, 1)
                return
        self._gathered.append(line)

    def write(self, line: str) -> None:
        """Write it now, behind what was gathered before. `line` ends with a line end."""
        self.flush()
        self._write(line, 1)

    def flush(self) -> None:
        """Write what was gathered, and what the pipe did not take the last time."""
        if self._gathered or self._rest:
            lines, self._gathered = self._gathered, []
            self._write("".join(lines), len(lines))

    def _write(self, text: str, lines: int) -> None:
        try:
            if self._pipe is not None:
                self._write_to_pipe(self._pipe, text)
                return
            self._stream.write(text)
            if self._flushes:
                self._stream.flush()
        except (OSError, ValueError):  # BlockingIOError: the pipe is full; ValueError: the stream is closed
            self.lost += lines

    def _write_to_pipe(self, pipe: int, text: str) -> None:
        if self._rest:
            self._rest = self._rest[os.write(pipe, self._rest) :]
            if self._rest:
                raise BlockingIOError
        data = text.encode("utf-8", "backslashreplace")
        self._rest = data[os.write(pipe, data) :]

    def isatty(self) -> bool:
        try:
            return self._stream.isatty()
        except (OSError, ValueError, AttributeError):
            return False


def _pipe(stream: TextIO) -> int | None:
    """The stream's descriptor when it is a pipe, made so that a full one does not block the event loop."""
    try:
        number = stream.fileno()
        if not stat.S_ISFIFO(os.fstat(number).st_mode):
            return None
        stream.flush()
        os.set_blocking(number, False)
    except (OSError, ValueError, AttributeError):
        return None
    return number
