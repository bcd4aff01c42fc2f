"""Making bad input from good: strategies that cut, double, swap and overwrite parts of given bytes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from hypothesis import strategies as st


@dataclass(frozen=True)
class Change:
    """One change; positions are shares of the length, so that they survive shrinking."""

    kind: str
    at: float
    length: int
    new: bytes

    def apply(self, data: bytes) -> bytes:
        start = int(self.at * len(data))
        end = min(len(data), start + self.length)
        part = data[start:end]
        return {
            "delete": data[:start] + data[end:],
            "double": data[:end] + part + data[end:],
            "insert": data[:start] + self.new + data[start:],
            "replace": data[:start] + self.new + data[end:],
            "repeat": data[:start] + self.new * min(1 + self.length, 50) + data[start:],
        }[self.kind]


def changes(dictionary: Sequence[bytes], most: int = 4) -> st.SearchStrategy[list[Change]]:
    """Up to so many changes with words of the dictionary, single bytes and noise."""
    new = st.one_of(
        st.sampled_from(dictionary), st.integers(0, 255).map(lambda n: bytes((n,))), st.binary(max_size=6)
    )
    change = st.builds(
        Change,
        st.sampled_from(["delete", "double", "insert", "replace", "repeat"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.integers(0, 4), st.integers(0, 80)),
        new,
    )
    return st.lists(change, max_size=most)


def mutated(seeds: Sequence[bytes], dictionary: Sequence[bytes], most: int = 4) -> st.SearchStrategy[bytes]:
    """One of the seeds, changed."""
    return st.builds(_applied, st.sampled_from(seeds), changes(dictionary, most))


def _applied(data: bytes, made: list[Change]) -> bytes:
    for change in made:
        data = change.apply(data)
    return data


@contextmanager
def bounded(seconds: float, clock: Callable[[], float] = time.process_time) -> Iterator[None]:
    """Fails when the block took more of this process's time; others on the machine do not count."""
    began = clock()
    yield
    took = clock() - began
    assert took <= seconds, f"took {took:.1f} s of processor time"
