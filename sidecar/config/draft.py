"""The files of a configuration, put together: one tree of plain values, and where each of them stands.

Owns reading files, `include:`, the mapping from a key of the whole to file, line and key path, and in which
order problems are told. `Draft` is any file of settings; `RoutesDraft` knows one key, `routes`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sidecar.config.document import MAX_BYTES, WHOLE_FILE, Node, join, parse
from sidecar.config.wording import Complaint, Loc, nearest
from sidecar.errors import Problem

_MAX_FILES = 100
_MAX_INCLUDE_DEPTH = 10


Stamp = tuple[int, int, int]


def stamp_of(found: os.stat_result) -> Stamp:
    """What tells a changed file: a rename over it, a ConfigMap's symlink swap, a write."""
    return found.st_ino, found.st_mtime_ns, found.st_size


class Spot(NamedTuple):
    """Where a key stands."""

    file: str
    line: int
    key: str  # its path within that file


@dataclass(slots=True)
class Draft:
    """What a file says, before anybody has looked at the meaning."""

    expand: Callable[[str], str]
    data: dict[str, Any] = field(default_factory=dict, repr=False)  # a secret may stand there by mistake
    spots: dict[Loc, Spot] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    stamps: dict[Path, Stamp | None] = field(default_factory=dict)

    def read(self, path: Path) -> bool:
        """Read the file and all it includes; False when there is nothing to go on with."""
        display = str(path)
        self.spots[()] = Spot(display, 1, WHOLE_FILE)
        tree = self._tree(path, display, "", Spot(display, 1, WHOLE_FILE))
        if tree is None:
            return False
        if not isinstance(tree.value, dict):
            self._wrong(Spot(display, tree.line, WHOLE_FILE), "is not a mapping; write KEY: VALUE lines")
            return False
        for key, node in tree.value.items():
            self._entry(key, node, path)
        return True

    def where(self, loc: Loc) -> Spot:
        """A key's spot; for one that is not written, its parent's line with the key's own path."""
        for end in range(len(loc), 0, -1):
            spot = self.spots.get(loc[:end])
            if spot is not None:
                key = spot.key
                for part in loc[end:]:
                    key = join(key, part)
                return spot._replace(key=key)
        key = ""
        for part in loc:
            key = join(key, part)
        return self.spots[()]._replace(key=key or WHOLE_FILE)

    def flawed(self) -> set[Loc]:
        """The keys that something is known to be wrong with."""
        known = {(problem.file, problem.key) for problem in self.problems}
        return {loc for loc, spot in self.spots.items() if loc and (spot.file, spot.key) in known}

    def problem(self, complaint: Complaint) -> Problem:
        """A complaint, with file and line."""
        spot = self.where(complaint.loc)
        message = complaint.message
        if complaint.there is not None:
            there = self.where(complaint.there)
            message = message.replace("{there}", f"{there.file}:{there.line}")
        return Problem(spot.file, spot.line, spot.key, message)

    def in_order(self, problems: Iterable[Problem]) -> list[Problem]:
        """By file as they are read, then by line; nothing twice."""
        files = {spot.file: index for index, spot in enumerate(self.spots.values())}
        return sorted(dict.fromkeys(problems), key=lambda p: (files.get(p.file, 0), p.line))

    def _entry(self, key: str, node: Node, path: Path) -> None:
        """Take one key of the file at `path`."""
        self.data[key] = self._plain(node, (key,), str(path), join("", key))

    def _wrong(self, spot: Spot, message: str) -> None:
        self.problems.append(Problem(spot.file, spot.line, spot.key, message))

    def _tree(self, path: Path, display: str, root: str, named_at: Spot) -> Node | None:
        """One file's tree; `named_at` is where a file that cannot be read is complained about."""
        self.stamps[path.absolute()] = None
        try:
            with path.open("rb") as file:
                self.stamps[path.absolute()] = stamp_of(os.fstat(file.fileno()))  # before a byte is read
                raw = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            name = "" if named_at.file == display else f"{display} "
            self._wrong(named_at, f"{name}{unreadable(error)}")
            return None
        self.files.append(path.absolute())
        tree, flaws = parse(raw, self.expand, root)
        for flaw in flaws:
            self._wrong(Spot(display, flaw.line, flaw.key), flaw.message)
        return tree

    def _plain(self, node: Node, loc: Loc, display: str, key: str) -> Any:
        """A node as plain values, noting where each stands."""
        self.spots[loc] = Spot(display, node.line, key)
        if isinstance(node.value, dict):
            return {k: self._plain(v, (*loc, k), display, join(key, k)) for k, v in node.value.items()}
        if isinstance(node.value, list):
            return [self._plain(v, (*loc, i), display, join(key, i)) for i, v in enumerate(node.value)]
        return node.value


class RoutesDraft(Draft):
    """A configuration: items of `routes` may be `include: FILE`."""

    def _entry(self, key: str, node: Node, path: Path) -> None:
        if key != "routes" or not isinstance(node.value, list):
            super()._entry(key, node, path)
            return
        self.spots["routes",] = Spot(str(path), node.line, key)
        routes: list[Any] = []
        self.data["routes"] = routes
        self._routes(node.value, path, str(path), routes, 0)

    def _routes(self, items: list[Node], path: Path, display: str, routes: list[Any], depth: int) -> None:
        for index, item in enumerate(items):
            key = join("routes", index)
            include = self._include_of(item, Spot(display, item.line, key))
            if include is None:
                routes.append(self._plain(item, ("routes", len(routes)), display, key))
            elif isinstance(include, Node):
                self._included(
                    include, path, Spot(display, include.line, f"{key}.include"), routes, depth + 1
                )

    def _include_of(self, item: Node, spot: Spot) -> Node | bool | None:
        """The `include:` of a list item; None when it is a route, False when it is neither."""
        if not isinstance(item.value, dict):
            return None
        if "include" in item.value:
            if len(item.value) > 1:
                self._wrong(spot, "has other keys beside include; make them an item of their own")
                return False
            return item.value["include"]
        if len(item.value) == 1 and nearest(only := next(iter(item.value)), ["include"]):
            self._wrong(spot._replace(key=join(spot.key, only)), "unknown key; did you mean include?")
            return False
        return None

    def _included(self, include: Node, path: Path, spot: Spot, routes: list[Any], depth: int) -> None:
        if not isinstance(include.value, str) or not include.value.isprintable() or not include.value:
            if not any((problem.file, problem.key) == (spot.file, spot.key) for problem in self.problems):
                self._wrong(spot, "is not a file name; write include: FILE")
            return
        found = path.parent / include.value
        display = str(found)
        if found.absolute() in self.files or _same_file(found, self.files):
            self._wrong(spot, f"{display} is included twice or includes itself; include each file once")
        elif depth > _MAX_INCLUDE_DEPTH or len(self.files) >= _MAX_FILES:
            self._wrong(
                spot, f"is one include too many (deeper than {_MAX_INCLUDE_DEPTH}); put files together"
            )
        elif (tree := self._tree(found, display, "routes", spot)) is not None:
            if isinstance(tree.value, list):
                self._routes(tree.value, found, display, routes, depth)
            else:
                self._wrong(
                    Spot(display, tree.line, WHOLE_FILE), "is not a list of routes; write - path: ..."
                )


def _same_file(path: Path, others: list[Path]) -> bool:
    try:
        return any(path.samefile(other) for other in others)
    except (OSError, ValueError):
        return False  # reading it will say why


def unreadable(error: OSError | ValueError) -> str:
    """Why a file cannot be read, without the system's own wording."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return "does not exist; correct the path"
    if isinstance(error, IsADirectoryError):
        return "is a directory; name a file"
    if isinstance(error, PermissionError):
        return "cannot be read (permission denied); let the sidecar's user read it"
    if isinstance(error, OSError):
        return f"cannot be read ({error.strerror or 'input/output error'}); correct the path"
    return "is not a usable file name; correct the path"
