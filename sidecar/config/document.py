"""From the bytes of one YAML file to a tree whose every node knows its line.

Owns YAML itself: what is refused of it, and what a scalar is. Knows no key, no model and no other file.

Built on the parser's events instead of PyYAML's loader, for three reasons: nothing is ever constructed from a
tag; every scalar stays the text that was written (YAML 1.1 makes `on` a boolean, `017` fifteen and `1:30`
ninety); and depth, size and aliases are counted while reading, so a hostile file is refused before it costs
anything. Only three things become something else than text: mappings, lists, and an unquoted `null`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

import yaml

from sidecar.config.values import bare

MAX_BYTES = 8 << 20
_MAX_DEPTH = 50
# Nodes, with 64 characters of text counting as one more; a route map of 10,000 routes has about 120,000.
_MAX_WEIGHT = 150_000
_NULLS = frozenset({"null", "Null", "NULL", "~"})
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_$@/:-][A-Za-z0-9_.$@/:-]{0,79}")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

WHOLE_FILE = "(file)"


class Flaw(NamedTuple):
    """Something wrong with the YAML itself."""

    line: int
    key: str
    message: str


@dataclass(slots=True)
class Node:
    """A value, and the line of the key or list item it belongs to."""

    value: str | list[Node] | dict[str, Node] | None = field(
        repr=False
    )  # a secret may stand there by mistake
    line: int
    weight: int = 1


class _Fatal(Exception):
    """Reading on would be pointless or costly."""


@dataclass(slots=True)
class _Open:
    """A mapping or list that has not ended yet."""

    node: Node
    path: str
    anchor: str | None
    key: str | None = None  # of the mapping entry whose value comes next
    key_line: int = 0


def join(path: str, part: str | int) -> str:
    """`routes` and 2 -> `routes[2]`; a key that could be mistaken for a path or break a line is quoted."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    shown = part if _PLAIN_KEY.fullmatch(part) else json.dumps(part[:80])
    return f"{path}.{shown}" if path else shown


def parse(raw: bytes, expand: Callable[[str], str], root: str = "") -> tuple[Node | None, list[Flaw]]:
    """The tree (None when there is none to speak of) and what is wrong with the YAML.

    `expand` replaces `${NAME}` in a scalar and raises ValueError when it cannot; `root` is the key path the
    document starts at.
    """
    if len(raw) > MAX_BYTES:
        return None, [Flaw(1, WHOLE_FILE, f"is larger than {MAX_BYTES >> 20} MiB; split or shorten it")]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, [Flaw(line, WHOLE_FILE, "is not UTF-8 text; save it as UTF-8")]
    reading = _Reading(expand, root)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            reading.take(event)
    except _Fatal:
        return None, reading.flaws
    except yaml.YAMLError as error:
        return None, [*reading.flaws, _syntax(error, text)]
    if reading.tree is None and not reading.flaws:
        reading.flaws.append(Flaw(1, WHOLE_FILE, "is empty; see config/sidecar.yaml for an example"))
    return reading.tree, reading.flaws


def _syntax(error: yaml.YAMLError, text: str) -> Flaw:
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        what = " ".join(filter(None, (error.context, error.problem)))
        line = min(mark.line + 1, text.count("\n") + 1) if mark else 1
        # The braces of a reference are YAML's own inside `{...}` and `[...]`.
        lines = text.split("\n")[max(0, line - 2) : line]
        remedy = (
            'in { } or [ ], write "${NAME}" in quotes'
            if "${" in "".join(lines)
            else "correct it near this line"
        )
        return Flaw(line, WHOLE_FILE, f"is not valid YAML ({_bounded(what)}); {remedy}")
    at = getattr(error, "position", None)
    line = text.count("\n", 0, at) + 1 if isinstance(at, int) else 1
    return Flaw(line, WHOLE_FILE, "has a character that YAML forbids; remove it")


def _bounded(what: str) -> str:
    return re.sub(r"[^\x20-\x7E]", "?", what)[:120]


@dataclass(slots=True)
class _Reading:
    """The state between two events."""

    expand: Callable[[str], str]
    root: str
    tree: Node | None = None
    flaws: list[Flaw] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)
    _anchors: dict[str, Node] = field(default_factory=dict)
    _weight: int = 0
    _documents: int = 0

    def take(self, event: yaml.Event) -> None:
        assert event.start_mark is not None
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._fatal(line, "has a second YAML document (---); keep one")
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.NodeEvent):
            self._node(event, line)

    def _node(self, event: yaml.NodeEvent, line: int) -> None:
        if getattr(event, "tag", None) is not None:
            self._flaw(line, "has a tag (!...); tags are not supported, write the plain value")
        inside = self._open[-1] if self._open else None
        if inside is not None and isinstance(inside.node.value, dict) and inside.key is None:
            self._key(inside, event, line)
            return
        if inside is not None and isinstance(inside.node.value, dict):
            line = inside.key_line
        if isinstance(event, yaml.AliasEvent):
            self._attach(self._alias(event, line))
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        else:
            self._start(event, line)

    def _key(self, inside: _Open, event: yaml.NodeEvent, line: int) -> None:
        if not isinstance(event, yaml.ScalarEvent) or event.anchor:
            self._fatal(line, "a key is not plain text; write KEY: VALUE")
        key: str = event.value
        inside.key, inside.key_line = key, line
        if key == "<<" and not event.style:
            self._flaw(line, "merge keys (<<) are not supported; write the keys out")
        elif not key:
            self._flaw(line, "a key is empty; write KEY: VALUE")
        assert isinstance(inside.node.value, dict)
        if key in inside.node.value:
            first = inside.node.value[key].line
            self._flaw(line, f"is given twice (first in line {first}); keep one")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        text: str = event.value
        value: str | None = text
        plain = not event.style
        if plain and not text:
            self._flaw(line, "has no value; write one or take the key out")
        elif plain and text in _NULLS:
            value = None
        elif "${" in text:
            try:
                value = bare(self.expand(text))
            except ValueError as error:
                self._flaw(line, str(error))
        elif plain:
            value = bare(text)
        node = self._counted(Node(value, line, 1 + len(value or "") // 64))
        if event.anchor:
            self._anchors[event.anchor] = node
        self._attach(node)

    def _alias(self, event: yaml.AliasEvent, line: int) -> Node:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            # Anchors are known when their node has ended, so this is also an alias inside its own anchor.
            self._fatal(
                line, "is an alias (*) of something that is not written above it; write the value out"
            )
        return self._counted(Node(node.value, line, node.weight))

    def _start(self, event: yaml.NodeEvent, line: int) -> None:
        if len(self._open) >= _MAX_DEPTH:
            self._fatal(line, f"is nested more than {_MAX_DEPTH} levels deep; flatten it")
        value: list[Node] | dict[str, Node] = {} if isinstance(event, yaml.MappingStartEvent) else []
        self._open.append(_Open(self._counted(Node(value, line)), self._path(), event.anchor))

    def _counted(self, node: Node) -> Node:
        self._weight += node.weight
        if self._weight > _MAX_WEIGHT:
            self._fatal(
                node.line, "is too much for a configuration (aliases count in full); shorten the file"
            )
        return node

    def _end(self) -> None:
        ended = self._open.pop()
        if ended.anchor:
            self._anchors[ended.anchor] = ended.node
        self._attach(ended.node)

    def _attach(self, node: Node) -> None:
        if not self._open:
            self.tree = node
            return
        inside = self._open[-1]
        inside.node.weight += node.weight
        if isinstance(inside.node.value, list):
            inside.node.value.append(node)
        else:
            assert isinstance(inside.node.value, dict)
            assert inside.key is not None  # a key that is no text ends the reading
            inside.node.value.setdefault(inside.key, node)  # the first of two stays; the second is reported
            inside.key = None

    def _path(self) -> str:
        """The key path of the node that comes next."""
        if not self._open:
            return self.root
        inside = self._open[-1]
        if isinstance(inside.node.value, list):
            return join(inside.path, len(inside.node.value))
        return inside.path if inside.key is None else join(inside.path, inside.key)

    def _flaw(self, line: int, message: str) -> None:
        path = self._path() or WHOLE_FILE
        self.flaws.append(Flaw(line, path if len(path) <= 200 else path[:200] + "...", message))

    def _fatal(self, line: int, message: str) -> NoReturn:
        self._flaw(line, message)
        raise _Fatal
