"""The tree of a document, put together piece by piece: what YAML and JSON have in common.

Owns the shape of the tree (text, true/false, null, lists, mappings that know their line) and the bounds that a
hostile document runs into: depth, and the weight of what aliases multiply. Knows neither YAML nor JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

MAX_DEPTH = 100
MAX_WEIGHT = 3_000_000  # nodes, aliases counted in full; the largest of eGain's documents has about 60,000

# What one document may multiply by references and inheritance: its operations, and what each of them carries.
MAX_OPERATIONS = 10_000  # as many routes as a configuration holds
MAX_LIST = 50  # security alternatives, scopes of one, permissions
MAX_TEXT = 2000  # characters of a path, a server's URL, a scope


class Flaw(NamedTuple):
    """Something odd at a line of a document."""

    line: int
    message: str


class DocumentError(Exception):
    """A document that cannot be used."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line, self.message = line, message  # "what is wrong; what to do"


class Entry(dict[str, "Value"]):
    """A mapping, the line it began in, and how many nodes it stands for."""

    __slots__ = ("line", "weight")

    def __init__(self, line: int = 1) -> None:
        super().__init__()
        self.line, self.weight = line, 1


class Items(list["Value"]):
    """A list, the same."""

    __slots__ = ("line", "weight")

    def __init__(self, line: int = 1) -> None:
        super().__init__()
        self.line, self.weight = line, 1


Value: TypeAlias = str | bool | Items | Entry | None


def weight_of(value: Value) -> int:
    return value.weight if isinstance(value, Entry | Items) else 1


def too_deep(line: int) -> DocumentError:
    return DocumentError(line, f"is nested more than {MAX_DEPTH} levels deep; this is no OpenAPI document")


def too_much(line: int) -> DocumentError:
    return DocumentError(line, "is too much (aliases count in full); write fewer of them")


def put(entry: Entry, key: str, value: Value, line: int, flaws: list[Flaw]) -> None:
    """Add a member. A key given twice is reported and the last one counts, as with every other reader."""
    if key in entry:
        flaws.append(Flaw(line, f"{shown(key)} is given twice in one mapping; the last one counts"))
    if key == "$ref" and isinstance(value, str) and not value.startswith("#"):
        raise DocumentError(line, f"$ref {shown(value)} leads out of the document; bundle it into one file")
    entry[key] = value


def merge(entry: Entry, merged: Value) -> None:
    """YAML's `<<`: members of other mappings, unless there is one of that name already."""
    for other in merged if isinstance(merged, Items) else (merged,):
        for key, value in other.items() if isinstance(other, Entry) else ():
            entry.setdefault(key, value)


def shown(text: str, most: int = 80) -> str:
    """A text of a document in one line, so that it can be quoted anywhere."""
    line = " ".join(text.split())[:most]
    return line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line)


def texts(value: Value) -> Iterable[str]:
    """The texts of a list, or the one text there is; as many of them, and as much of each, as is bearable."""
    if isinstance(value, str):
        return (value[:MAX_TEXT],)
    found = value[:MAX_LIST] if isinstance(value, Items) else []
    return tuple(one[:MAX_TEXT] for one in found if isinstance(one, str))
