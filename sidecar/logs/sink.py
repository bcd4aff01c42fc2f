"""Where log lines go.

Owns the stream. One line is one call, so lines of threads do not mix; a stream that cannot be written to (a
closed pipe, a full disk) costs lines, never a request. A pipe that nobody empties blocks, as it does for any
program that logs to stderr.
"""

from __future__ import annotations

from typing import TextIO


class Sink:
    """Writes whole lines to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self.lost = 0
        self._stream = stream
        # sys.stderr flushes at every line end; another stream may have to be told.
        self._flushes = not getattr(stream, "line_buffering", False)

    def write(self, line: str) -> None:
        """`line` ends with a line end. Every line passes here: batches, if they are wanted, are made here."""
        try:
            self._stream.write(line)
            if self._flushes:
                self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.lost += 1

    def isatty(self) -> bool:
        try:
            return self._stream.isatty()
        except (OSError, ValueError, AttributeError):
            return False
