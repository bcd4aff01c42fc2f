"""Routes that can never match, because more specific ones cover every path they stand for.

Follows from the precedence in sidecar/routing/routes.py: a literal segment has one value and a parameter
infinitely many, so only `**` can be covered: by patterns for nothing below, for a trailing slash, and for
anything further down. Methods play no part: the path decides first. Pure, on patterns.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sidecar.routing.routes import shape

_REST = "/**"
_ANY = "/{}"


def shadowed(patterns: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """(index of a pattern that never matches, the patterns that cover it)."""
    listed = list(patterns)
    known = {shape(pattern): pattern for pattern in listed}
    for index, pattern in enumerate(listed):
        found = shape(pattern)
        if found.endswith(_REST) and (by := _cover(found.removesuffix(_REST), known)):
            yield index, [known[one] for one in by]


def _cover(prefix: str, known: dict[str, str]) -> list[str]:
    """Patterns that together beat `prefix/**` on every path; empty when some path is left to it."""
    # No path is shorter than `/`, so `/**` needs no pattern for nothing at all.
    needed = [prefix, prefix + "/"] if prefix else ["/"]
    while all(one in known for one in needed):
        prefix += _ANY
        if prefix + _REST in known:
            return [*needed, prefix + _REST]
        needed += [prefix, prefix + "/"]
    return []
