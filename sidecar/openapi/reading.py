"""From the bytes of an OpenAPI document, YAML or JSON, to its tree.

Owns both notations and what is refused of them. On YAML's events, as sidecar/config/document.py is, and for the
same reasons: nothing is constructed from a tag, and size, depth and aliases are counted while reading. It is more
lenient than that one, because nobody here can correct eGain's documents: a key given twice is a warning.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from sidecar.openapi.building import (
    MAX_DEPTH,
    MAX_WEIGHT,
    DocumentError,
    Entry,
    Flaw,
    Items,
    Value,
    merge,
    put,
    too_deep,
    too_much,
    weight_of,
)

MAX_BYTES = 8 << 20  # eGain's largest has 0.6 MB
_CONSTANTS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_HARMLESS_TAG = re.compile(r"tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)|!")
# libyaml where it is there: ten times as fast, which 15,000 lines make felt.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_EVERY = 2000  # events between two reports of progress

Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Read:
    """A document as it was written."""

    tree: Entry
    sha256: str  # of the file, in hex
    flaws: tuple[Flaw, ...]


def read(raw: bytes, progress: Progress = lambda share: None) -> Read:
    """Read a document. Raises DocumentError with the line.

    `progress` is told the share that has been read, from 0 to 1.
    """
    if len(raw) > MAX_BYTES:
        raise DocumentError(
            1, f"is larger than {MAX_BYTES >> 20} MiB; give a document of its own for each API"
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DocumentError(line, "is not UTF-8 text; save it as UTF-8") from None
    flaws: list[Flaw] = []
    tree = _json(text, flaws) if text.lstrip()[:1] == "{" else None
    if tree is None:
        flaws.clear()
        tree = _yaml(text, flaws, progress)
    progress(1.0)
    if not isinstance(tree, Entry):
        raise DocumentError(1, "is not a mapping; give an OpenAPI 3 document")
    return Read(tree, hashlib.sha256(raw).hexdigest(), tuple(flaws))


def _json(text: str, flaws: list[Flaw]) -> Value:
    """The tree; None when it is not JSON, which a YAML document that begins with { may well be."""

    def entry(pairs: list[tuple[str, object]]) -> Entry:
        found = Entry()
        for key, value in pairs:
            put(found, key, _from_json(value), 1, flaws)
        return found

    try:
        # Numbers stay text: none is needed, and one of a million digits costs nothing that way.
        found = json.loads(text, object_pairs_hook=entry, parse_int=str, parse_float=str, parse_constant=str)
        return _bounded(_from_json(found))
    except json.JSONDecodeError:
        return None
    except RecursionError:
        raise too_deep(1) from None


def _from_json(value: object) -> Value:
    if isinstance(value, list):
        items = Items()
        items.extend(map(_from_json, value))
        return items
    assert value is None or isinstance(value, str | bool | Entry | Items)
    return value


def _bounded(tree: Value) -> Value:
    level: list[Value] = [tree]
    for _ in range(MAX_DEPTH + 1):
        inner = [one for one in level if isinstance(one, Entry | Items)]
        level = [v for one in inner for v in (one.values() if isinstance(one, Entry) else one)]
    if level:
        raise too_deep(1)
    return tree


def _yaml(text: str, flaws: list[Flaw], progress: Progress) -> Value:
    reading = _Reading(flaws)
    try:
        for number, event in enumerate(yaml.parse(text, Loader=_LOADER)):
            reading.take(event)
            if number % _EVERY == 0 and event.end_mark is not None:
                progress(event.end_mark.index / max(1, len(text)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = re.sub(r"[^\x20-\x7E]", "?", " ".join(filter(None, (error.context, error.problem))))[:120]
        raise DocumentError(mark.line + 1 if mark else 1, f"is not valid YAML ({what}); correct it") from None
    except yaml.YAMLError as error:
        at = getattr(error, "position", None)
        line = text.count("\n", 0, at) + 1 if isinstance(at, int) else 1
        raise DocumentError(line, "has a character that YAML forbids; remove it") from None
    return reading.tree


@dataclass(slots=True)
class _Open:
    """A mapping or list that has not ended yet."""

    value: Entry | Items
    anchor: str | None
    key: str | None = None  # of the member whose value comes next
    key_line: int = 0
    merged: Value = None


@dataclass(slots=True)
class _Reading:
    """The state between two events."""

    flaws: list[Flaw]
    tree: Value = None
    _open: list[_Open] = field(default_factory=list)
    _anchors: dict[str, Value] = field(default_factory=dict)
    _documents: int = 0

    def take(self, event: yaml.Event) -> None:
        assert event.start_mark is not None
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            self._tag(event.tag, line)
            self._scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._tag(event.tag, line)
            self._start(
                Entry(line) if isinstance(event, yaml.MappingStartEvent) else Items(line), event, line
            )
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end(line)
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise DocumentError(line, "has a second YAML document (---); keep one")

    def _tag(self, tag: str | None, line: int) -> None:
        if tag is not None and not _HARMLESS_TAG.fullmatch(tag):
            raise DocumentError(line, "has a tag (!...); nothing is made from tags, write the plain value")

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        text: str = event.value
        if self._wants_key():
            self._open[-1].key, self._open[-1].key_line = text, line
            return
        value: Value = text if event.style else _CONSTANTS.get(text, text)
        self._attach(value, event.anchor, line)

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        if event.anchor not in self._anchors or self._wants_key():
            raise DocumentError(line, "has an alias (*) that cannot be followed; write the value out")
        self._attach(self._anchors[event.anchor], None, line)

    def _start(self, value: Entry | Items, event: yaml.NodeEvent, line: int) -> None:
        if self._wants_key():
            raise DocumentError(line, "has a key that is not text; write KEY: VALUE")
        if len(self._open) >= MAX_DEPTH:
            raise too_deep(line)
        self._open.append(_Open(value, event.anchor))

    def _end(self, line: int) -> None:
        ended = self._open.pop()
        if isinstance(ended.value, Entry):
            merge(ended.value, ended.merged)
        self._attach(ended.value, ended.anchor, line)

    def _wants_key(self) -> bool:
        return bool(self._open) and isinstance(self._open[-1].value, Entry) and self._open[-1].key is None

    def _attach(self, value: Value, anchor: str | None, line: int) -> None:
        if anchor:
            self._anchors[anchor] = value
        if not self._open:
            self.tree = value
            return
        inside = self._open[-1]
        inside.value.weight += weight_of(value)
        if inside.value.weight > MAX_WEIGHT:
            raise too_much(line)
        if isinstance(inside.value, Items):
            inside.value.append(value)
            return
        assert inside.key is not None
        if inside.key == "<<":
            inside.merged = value
        else:
            put(inside.value, inside.key, value, inside.key_line, self.flaws)
        inside.key = None
