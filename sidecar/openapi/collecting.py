"""All operations of all documents, each once: what stands in the map, in which order.

Owns order, internal operations, and what becomes of two operations for the same requests or of one name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sidecar.openapi.choosing import Mapped, Plan, Unmapped, choose
from sidecar.openapi.operations import Document, Operation
from sidecar.routing.routes import RouteTable, segments, shape

MEANWHILE = "; until it has a route, "
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True)
class Section:
    """What a map has of one document."""

    file: str  # its name, without folders
    document: Document
    mapped: tuple[Mapped, ...]
    unmapped: tuple[Unmapped, ...]
    internal: int  # operations left out


def collect(documents: Iterable[tuple[str, Document]], plan: Plan) -> list[Section]:
    """A section for each document, in the order given; within it by path, then by method."""
    taken: dict[tuple[str, str], str] = {}
    names: set[str] = set()
    sections = []
    for file, document in documents:
        mapped: list[Mapped] = []
        unmapped: list[Unmapped] = []
        wanted = [one for one in document.operations if plan.include_internal or not one.internal]
        for operation in sorted(wanted, key=_place):
            found = _once(choose(operation, plan), taken, names)
            if isinstance(found, Mapped):
                mapped.append(found)
            else:
                unmapped.append(found)
        internal = len(document.operations) - len(wanted)
        sections.append(Section(file, document, tuple(mapped), tuple(unmapped), internal))
    return _with_takers(sections)


def _with_takers(sections: list[Section]) -> list[Section]:
    """Said of an operation without a route: which one gets its requests, as `/a/{id}` gets those for `/a/user`."""
    every = [one.operation for section in sections for one in section.mapped]
    table = RouteTable((one.path, (one.method,), one) for one in every)

    def told(one: Unmapped) -> Unmapped:
        methods = table.find(one.operation.path)
        taker = methods.find(one.operation.method) if methods is not None else None
        if taker is None or shape(taker.path) == shape(one.operation.path):
            return one
        return replace(one, reason=f"{one.reason}{MEANWHILE}{taker.method} {taker.path} gets its requests")

    return [replace(section, unmapped=tuple(map(told, section.unmapped))) for section in sections]


def _place(operation: Operation) -> tuple[list[str], int]:
    method = operation.method
    return segments(operation.path), _METHODS.index(method) if method in _METHODS else len(_METHODS)


def _once(found: Mapped | Unmapped, taken: dict[tuple[str, str], str], names: set[str]) -> Mapped | Unmapped:
    """The first of several operations for the same requests is mapped; the first of a name has it."""
    if isinstance(found, Unmapped):
        return found
    operation = found.operation
    key = (operation.method, shape(operation.path))
    if key in taken:
        return Unmapped(operation, f"stands for the same requests as {taken[key]}")
    taken[key] = f"{operation.method} {operation.path}"
    if found.name in names:
        return replace(found, name=None)
    names.add(found.name or "")
    return found
