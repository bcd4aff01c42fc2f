"""A route file read back: by what it was made, what it has, and where each route comes from.

Owns reading what rendering.py writes, by hand edited or not. Knows nothing of documents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sidecar.config.document import Flaw, Node, parse
from sidecar.openapi.choosing import Plan
from sidecar.openapi.collecting import MEANWHILE
from sidecar.openapi.personas import PERSONAS, Persona
from sidecar.openapi.rendering import CREDENTIALS, OPTIONS, PREFER, SECTION, SOURCE, UNMAPPED
from sidecar.routing.routes import shape

_UNMAPPED = re.compile(r"# ([A-Z]+) (\S+)(?: \((.*?)\))?: (.*)")
_SECTION = re.compile(rf"# {SECTION} (.*) {SECTION}")


@dataclass(frozen=True, slots=True)
class Line:
    """What a map says about one operation."""

    method: str
    path: str
    id: str | None
    says: str  # credential and scopes, or why there is no route

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" ({self.id})" if self.id else "")


@dataclass(frozen=True, slots=True)
class MapFile:
    """A route file."""

    plan: Plan | None  # None: it was not made from documents
    lines: dict[tuple[str, str], Line] = field(default_factory=dict)  # by method and shape of the path
    flaws: tuple[Flaw, ...] = ()  # why it cannot be used, if it cannot


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a route comes from."""

    document: str  # title and file
    alternatives: str  # as the document has them
    plan: Plan  # what the map was made by
    inferred: bool


def read_map(raw: bytes) -> MapFile:
    """The file, or its flaws."""
    tree, flaws = parse(raw, lambda text: text, "routes")
    if flaws or tree is None or not isinstance(tree.value, list):
        return MapFile(
            None, flaws=tuple(flaws) or (Flaw(1, "(file)", "is no list of routes; name another file"),)
        )
    lines: dict[tuple[str, str], Line] = {}
    text = raw.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    for line in (*_mapped(tree.value), *_unmapped(text)):
        lines.setdefault((line.method, shape(line.path)), line)
    return MapFile(_plan(text), lines)


def _mapped(items: list[Node]) -> list[Line]:
    found = []
    for item in items:
        if not isinstance(item.value, dict):
            continue
        path, credential = _text(item.value.get("path")), _text(item.value.get("credential"))
        if path is None or not path.startswith("/"):
            continue
        says = f"{credential} [{' '.join(_texts(item.value.get('scopes')))}]"
        name = _text(item.value.get("name"))
        found += [Line(m, path, name, says) for m in _texts(item.value.get("methods")) or ["*"]]
    return found


def _text(node: Node | None) -> str | None:
    return str(node.value) if node is not None and isinstance(node.value, str) else None


def _texts(node: Node | None) -> list[str]:
    items = node.value if node is not None and isinstance(node.value, list) else []
    return [one.value for one in items if isinstance(one.value, str)]


def _unmapped(text: list[str]) -> list[Line]:
    """The comments of operations without a route; other comments are people's own."""
    found, inside = [], False
    for line in text:
        inside = line == UNMAPPED or (inside and line != "")
        match = _UNMAPPED.fullmatch(line) if inside else None
        if match is not None and match[2].startswith("/"):
            found.append(Line(match[1], match[2], match[3], f"no route: {match[4].partition(MEANWHILE)[0]}"))
    return found


def _field(text: list[str], name: str) -> str | None:
    """What stands behind a name in the header, which ends where the first document's part begins.

    People may have put comments of their own, blank lines or `---` before it.
    """
    for line in text:
        if line.startswith(f"# {SECTION} ") or not (line in ("", "---") or line.startswith("#")):
            return None
        if line.startswith(f"# {name}"):
            return line[len(name) + 2 :].strip()
    return None


def _plan(text: list[str]) -> Plan | None:
    if _field(text, SOURCE) is None:
        return None
    pairs = [pair.rpartition("=") for pair in (_field(text, CREDENTIALS) or "").split()]
    options = (_field(text, OPTIONS) or "").split()
    bases = [one.partition("=")[2] for one in options if one.startswith("--base-path=")]
    return Plan(
        credentials=tuple((name, who) for name, _, who in pairs if name and who in PERSONAS),
        prefer=_personas((_field(text, PREFER) or "").split()),
        include_internal="--include-internal" in options,
        base_path=bases[0] if bases else None,
        superset="--superset" in options,
        default_scope="--default-scope" in options,
    )


def _personas(names: list[str]) -> tuple[Persona, ...]:
    return tuple(name for name in names if name in PERSONAS)


def differences(old: MapFile, new: MapFile) -> list[tuple[str, Line]]:
    """(added | removed | changed, operation), by path."""
    keys = sorted({*old.lines, *new.lines}, key=lambda key: (key[1], key[0]))
    found: list[tuple[str, Line]] = []
    for key in keys:
        before, after = old.lines.get(key), new.lines.get(key)
        if before is None and after is not None:
            found.append(("added", after))
        elif after is None and before is not None:
            found.append(("removed", before))
        elif before is not None and after is not None and _differ(before, after):
            found.append(("changed", after))
    return found


def _differ(before: Line, after: Line) -> bool:
    return (before.path, before.id, before.says) != (after.path, after.id, after.says)


def origin_at(text: str, line: int) -> Origin | None:
    """Where the route in a line of a map comes from; None when that cannot be told."""
    lines = text.split("\n")
    plan = _plan(lines)
    if plan is None or not 0 < line <= len(lines):
        return None
    above = line - 2
    while above >= 0 and lines[above].startswith("# besides, "):
        above -= 1
    titles = (_SECTION.fullmatch(one) for one in reversed(lines[:line]))
    section = next((match[1] for match in titles if match is not None), None)
    if above < 0 or section is None or not lines[above].startswith("# "):
        return None
    of_route = lines[line : line + 5]
    ends = next((n for n, one in enumerate(of_route) if not one.startswith("  ")), len(of_route))
    inferred = any(one.endswith("# inferred") for one in of_route[:ends])
    return Origin(section, lines[above][2:], plan, inferred)
