"""Where log lines go.

Owns the stream. One line is one call, so lines of threads do not mix; a stream that cannot be written to (a
closed pipe, a full disk, a pipe that nobody empties) costs lines, never a request.
"""

from __future__ import annotations

import os
import stat
from typing import TextIO


class Sink:
    """Writes whole lines to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0
        self._stream = stream
        # sys.stderr flushes at every line end; another stream may have to be told.
        self._flushes = not getattr(stream, "line_buffering", False)
        self._pipe = _pipe(stream)
        self._rest = b""  # of a line that the pipe took in part

    def write(self, line: str) -> None:
        """`line` ends with a line end. Every line passes here: batches, if they are wanted, are made here."""
        try:
            if self._pipe is not None:
                self._write_to_pipe(self._pipe, line)
                return
            self._stream.write(line)
            if self._flushes:
                self._stream.flush()
        except (OSError, ValueError):  # BlockingIOError: the pipe is full; ValueError: the stream is closed
            self.lost += 1

    def _write_to_pipe(self, pipe: int, line: str) -> None:
        if self._rest:
            self._rest = self._rest[os.write(pipe, self._rest) :]
            if self._rest:
                raise BlockingIOError
        data = line.encode("utf-8", "backslashreplace")
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
