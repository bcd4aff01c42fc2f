"""Why one path pattern beats another, in words.

Owns the words; which one wins is decided by the route table, as it is for requests. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from sidecar.routing.routes import RouteTable, is_parameter, segments, shape


def covering(patterns: Iterable[str], path: str) -> list[str]:
    """The patterns that cover a canonical path, the winner first; of equal ones the first."""
    found = {shape(p): p for p in reversed(list(patterns)) if _covers(p, path)}
    return sorted(found.values(), key=_ranks)


def beaten_because(winner: str, loser: str) -> str:
    """What decided between two patterns that cover the same path."""
    ours, theirs = segments(winner), segments(loser)
    for one, other in zip(ours, theirs, strict=False):
        if _rank(one) != _rank(other):
            return f"from the left, {_named(one)} comes before {_named(other)}"
    return "an end comes before **"


def nearest(patterns: Iterable[str], path: str, most: int = 3) -> list[str]:
    """Patterns that begin as the path does: where a person would look for a typo."""
    parts = segments(path)
    shared = {p: _shared(segments(p), parts) for p in dict.fromkeys(patterns)}
    best = max(shared.values(), default=0)
    return [p for p, count in shared.items() if count == best > 0][:most]


def same_but_for(patterns: Iterable[str], path: str) -> str | None:
    """What small thing keeps a path from being covered, if it is one."""
    known = list(patterns)
    other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
    if len(other) > 1 and covering(known, other):
        return f"a trailing / matters: {other} is covered"
    if covering(map(_lower, known), path.lower()):
        return "upper and lower case matter: in another spelling it is covered"
    return None


def _lower(pattern: str) -> str:
    return "/" + "/".join(s if is_parameter(s) else s.lower() for s in segments(pattern))


def _covers(pattern: str, path: str) -> bool:
    return RouteTable([(pattern, None, True)]).find(path) is not None


def _rank(segment: str) -> int:
    return 2 if segment == "**" else 1 if is_parameter(segment) else 0


def _ranks(pattern: str) -> list[int]:
    return [_rank(segment) for segment in segments(pattern)]


def _named(segment: str) -> str:
    if _rank(segment):
        return segment
    return f"the literal {segment}" if segment else "the end in /"


def _shared(pattern: list[str], parts: list[str]) -> int:
    count = 0
    for one, part in zip(pattern, parts, strict=False):
        if one == part:
            count += 1
        elif not (is_parameter(one) and part):
            break
    return count
