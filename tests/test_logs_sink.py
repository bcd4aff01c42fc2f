"""A log pipe that nobody empties."""

from __future__ import annotations

import os

from sidecar.logs.sink import Sink


def test_full_pipe_costs_lines_and_blocks_nobody() -> None:
    """What fits is written, whole lines in order; the rest is counted as lost."""
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream:
        sink = Sink(stream)
        for n in range(5000):
            sink.write(f"line {n} {'x' * 100}\n")
        assert sink.lost > 0
        first = reader.read1(1 << 20).splitlines()
        assert first[0].startswith(b"line 0 ")
        sink.write("after\n")
        assert reader.read1(1 << 20).endswith(b"after\n")
