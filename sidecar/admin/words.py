"""Numbers as people read them. Pure."""

from __future__ import annotations

from itertools import pairwise

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(value: float) -> str:
    """Two units at most: `3 h 5 min`, `42 s`, `0.4 s`."""
    if abs(value) < 10:
        return f"{value:.1f} s"
    sign, rest = "−" if value < 0 else "", int(abs(value))
    for (size, unit), (smaller, below) in pairwise(_UNITS):
        if rest >= size:
            second = rest % size // smaller
            return f"{sign}{rest // size} {unit}" + (f" {second} {below}" if second else "")
    return f"{sign}{rest} s"


def seconds(value: float | None) -> str:
    """A latency: `850 µs`, `12 ms`, `1.2 s`; a dash when there is none."""
    if value is None:
        return "–"
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    if value < 1:
        return f"{value * 1000:.3g} ms"
    return f"{value:.1f} s"


def count(value: int) -> str:
    """Thousands apart (narrow no-break space): `1 234 567`."""
    return f"{value:,}".replace(",", "\u202f")
