"""The route map: from a canonical path and a method to whatever was registered there.

Owns patterns and their precedence (docs/routes.md): a literal segment beats `{name}` beats `**`, compared
from the left, whatever the order in the file; the path decides first, then the method. Pure and generic: it
does not know what a route leads to.

A path without parameters, and one asked for lately, costs one dictionary look-up; any other one walk down a tree of
segments. The walk backtracks (`/a/{x}/c` may have to give up the literal branch `/a/b/d`) and enters each node of the
tree at most once, so no map and no path can make it slow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

ANY_METHOD = "*"
# Apps ask for the same few paths again and again. Both are bounded: paths come from the network.
_MOST_REMEMBERED = 4096
_LONGEST_REMEMBERED = 256


class Methods(dict[str, T]):
    """What is registered at one path pattern, by method; `*` stands for all others."""

    def allowed(self) -> list[str]:
        """Methods for an `Allow` field."""
        names = [name for name in self if name != ANY_METHOD]
        if "GET" in self and "HEAD" not in self:
            names.append("HEAD")
        return sorted(names)

    def find(self, method: str) -> T | None:
        """`HEAD` uses the `GET` route if none names it."""
        found = self.get(method)
        if found is None and method == "HEAD":
            found = self.get("GET")
        return found if found is not None else self.get(ANY_METHOD)


class _Node(Generic[T]):
    """One position in the tree of segments."""

    __slots__ = ("below", "end", "literals", "parameter")

    def __init__(self) -> None:
        self.literals: dict[str, _Node[T]] = {}
        self.parameter: _Node[T] | None = None
        self.end: Methods[T] | None = None  # a pattern ends here
        self.below: Methods[T] | None = None  # a pattern ends here with `**`


def segments(pattern: str) -> list[str]:
    """`/a/{b}/**` -> ['a', '{b}', '**']; the trailing slash of `/a/` is an empty last segment."""
    return pattern[1:].split("/")


def is_parameter(segment: str) -> bool:
    return segment[:1] == "{" and segment[-1:] == "}"


def shape(pattern: str) -> str:
    """The pattern with its parameters' names left out: equal shapes match the same paths."""
    return "/" + "/".join("{}" if is_parameter(s) else s for s in segments(pattern))


class RouteTable(Generic[T]):
    """All routes of a configuration."""

    def __init__(self, routes: Iterable[tuple[str, Iterable[str] | None, T]]) -> None:
        """Take (pattern, methods or None for all, what is there); a pattern may come several times."""
        self._exact: dict[str, Methods[T]] = {}
        self._root: _Node[T] = _Node()
        for pattern, methods, target in routes:
            at = self._at(pattern)
            for method in methods or (ANY_METHOD,):
                at.setdefault(method, target)
        self._at_once = dict(self._exact)  # and the paths walked to lately
        self._most = len(self._exact) + _MOST_REMEMBERED

    def _at(self, pattern: str) -> Methods[T]:
        node, parts = self._root, segments(pattern)
        literal = not any(is_parameter(part) for part in parts)
        for part in parts:
            if part == "**":
                if node.below is None:
                    node.below = Methods()
                return node.below
            if is_parameter(part):
                if node.parameter is None:
                    node.parameter = _Node()
                node = node.parameter
            else:
                node = node.literals.setdefault(part, _Node())
        if node.end is None:
            node.end = Methods()
        if literal:
            self._exact[pattern] = node.end
        return node.end

    def find(self, path: str) -> Methods[T] | None:
        """What is registered for a canonical path; None when no pattern covers it."""
        found = self._at_once.get(path)
        if found is None:
            found = _walk(self._root, segments(path))
            if found is not None and len(path) <= _LONGEST_REMEMBERED:
                if len(self._at_once) >= self._most:
                    self._at_once = dict(self._exact)
                self._at_once[path] = found
        return found


def _walk(root: _Node[T], parts: list[str]) -> Methods[T] | None:
    """The best pattern for these segments: depth first, literals before parameters before `**`.

    A list instead of recursion: a path of 10,000 segments is no deep call. What is not taken at once is put there in
    reverse order of precedence, so the first end reached is the best. It is a tree, so no node is entered twice.
    """
    count = len(parts)
    others: list[tuple[_Node[T] | Methods[T], int]] = []  # to go back to, the best one last
    node: _Node[T] | Methods[T] | None = root
    depth = 0
    while True:
        if node is None:
            if not others:
                return None
            node, depth = others.pop()
        if isinstance(node, Methods):
            return node
        if depth == count:
            if node.end is not None:
                return node.end
            node = node.below
            continue
        part = parts[depth]
        depth += 1
        if node.below is not None:
            others.append((node.below, depth))
        literal = node.literals.get(part)
        parameter = node.parameter if part else None
        if parameter is None:
            node = literal
        elif literal is None:
            node = parameter
        else:
            others.append((parameter, depth))
            node = literal
