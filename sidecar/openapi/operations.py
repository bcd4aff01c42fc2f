"""An OpenAPI document as a list of operations: method, whole path, name, and what each demands.

Owns base paths, which operations are internal, and which cannot be a route at all. Knows nothing of credentials.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.config.names import label, path_pattern
from sidecar.openapi.building import (
    MAX_LIST,
    MAX_OPERATIONS,
    MAX_TEXT,
    DocumentError,
    Entry,
    Flaw,
    Items,
    Value,
    shown,
    texts,
)
from sidecar.openapi.reading import Read
from sidecar.openapi.references import Dangling, follow
from sidecar.openapi.security import Schemes, Security, plain

METHODS = ("get", "head", "options", "post", "put", "patch", "delete", "trace")
_ORIGIN = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*|\$\{[^}]*\}")
_VARIABLE = re.compile(r"(?<!\$)\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that may become a route."""

    method: str
    path: str  # base path included
    id: str | None  # operationId, when it can be a route's name
    internal: bool
    security: Security
    permissions: tuple[str, ...]  # x-egain-app-permissions: any one of them lets the application
    line: int
    unroutable: str | None = None  # why no route can stand for it


@dataclass(frozen=True, slots=True)
class Document:
    """An API as one document describes it."""

    title: str
    version: str
    sha256: str
    operations: tuple[Operation, ...]
    flaws: tuple[Flaw, ...]


def document(read: Read, base_path: str | None = None) -> Document:
    """The operations of a document; `base_path` overrides its servers. Raises DocumentError."""
    root = read.tree
    written = root.get("openapi")
    if not isinstance(written, str) or not written.startswith("3."):
        raise DocumentError(root.line, "is no OpenAPI 3 document (openapi: 3...); convert it first")
    info = root.get("info")
    named = info if isinstance(info, Entry) else Entry()
    walk = _Walk(root, Schemes(root), base_path, list(read.flaws))
    return Document(
        _text(named.get("title")), _text(named.get("version")), read.sha256,
        tuple(_bounded(walk.operations())), tuple(walk.flaws),
    )  # fmt: skip


def _bounded(operations: Iterator[Operation]) -> Iterator[Operation]:
    for number, operation in enumerate(operations):
        if number >= MAX_OPERATIONS:
            raise DocumentError(operation.line, f"has more than {MAX_OPERATIONS} operations; split it")
        yield operation


def _text(value: Value) -> str:
    return shown(value) if isinstance(value, str) else ""


@dataclass(slots=True)
class _Walk:
    root: Entry
    schemes: Schemes
    base_path: str | None
    flaws: list[Flaw]

    def operations(self) -> Iterator[Operation]:
        paths = self.root.get("paths")
        for path, written in paths.items() if isinstance(paths, Entry) else ():
            if path.startswith("x-"):
                continue
            line = written.line if isinstance(written, Entry) else self.root.line
            try:
                item = follow(self.root, written)
            except Dangling as error:
                self.flaws.append(
                    Flaw(line, f"the $ref of {shown(path)} {error}; its operations are left out")
                )
                continue
            item = _beside(written, item)
            for method, found in item.items() if isinstance(item, Entry) else ():
                if method in METHODS and isinstance(found, Entry) and isinstance(item, Entry):
                    yield self._operation(method.upper(), path, item, found)

    def _operation(self, method: str, path: str, item: Entry, found: Entry) -> Operation:
        whole = re.sub(r"/+", "/", f"/{self._base(found, item)[:MAX_TEXT]}/{path[:MAX_TEXT]}")
        written = found["security"] if "security" in found else self.root.get("security")
        if written is not None and not isinstance(written, Items):
            self.flaws.append(Flaw(found.line, f"security of {method} {shown(path)} is not a list"))
        pattern, unroutable = _routable(method, whole)
        return Operation(
            method, pattern, _name(found.get("operationId")), _internal(found) or _internal(item),
            self.schemes.read(written),
            _permissions(found.get("x-egain-app-permissions")),
            found.line, unroutable,
        )  # fmt: skip

    def _base(self, found: Entry, item: Entry) -> str:
        if self.base_path is not None:
            return self.base_path
        for place in (found, item, self.root):
            servers = place.get("servers")
            first = servers[0] if isinstance(servers, Items) and servers else None
            if isinstance(first, Entry) and isinstance(url := first.get("url"), str):
                return _path_of(url[:MAX_TEXT], first.get("variables"))
        return ""


def _beside(written: Value, item: Value) -> Value:
    """A path's `$ref` may have members beside it, which come first: the operations of both are there."""
    if item is written or not isinstance(written, Entry) or not isinstance(item, Entry):
        return item
    both = Entry(written.line)
    both.update({**item, **written})
    return both


def _internal(marked: Entry) -> bool:
    """Marked `x-internal`, of the operation or of its path; in quotes it is meant as well."""
    return marked.get("x-internal") in (True, "true")


def _permissions(value: Value) -> tuple[str, ...]:
    """A list, a text with commas or blanks, or lists under names: the form is nowhere described."""
    lists = value.values() if isinstance(value, Entry) else (value,)
    found = (one for each in lists for text in texts(each) for one in text.replace(",", " ").split())
    return tuple(map(plain, itertools.islice(found, MAX_LIST)))


def _path_of(url: str, variables: Value) -> str:
    """The path of a server's URL, its variables at their defaults."""

    def default(reference: re.Match[str]) -> str:
        found = variables.get(reference[1]) if isinstance(variables, Entry) else None
        value = found.get("default") if isinstance(found, Entry) else None
        return value if isinstance(value, str) else reference[0]

    filled = _VARIABLE.sub(default, url.strip())
    return re.split(r"[?#]", _ORIGIN.sub("", filled, count=1) if _ORIGIN.match(filled) else filled)[0]


def _routable(method: str, path: str) -> tuple[str, str | None]:
    """The path as a route has it; why it cannot be one, when it cannot."""
    if method == "TRACE":
        return _in_a_comment(path), "TRACE is never forwarded"
    try:
        if len(path) >= MAX_TEXT:
            raise ValueError("is too long")
        if path.endswith("/**"):
            raise ValueError("has a *, which would stand for everything below it")
        return path_pattern(path), None
    except ValueError as error:
        return _in_a_comment(path), f"the path {str(error).partition(';')[0].removeprefix('the path ')}"


def _in_a_comment(path: str) -> str:
    """A path that no route has: one word in one line."""
    return shown(path, 500).replace(" ", "%20")


def _name(value: Value) -> str | None:
    """An operationId that can stand in a file and on a metric: `${...}` would be replaced when it is loaded."""
    if (
        not isinstance(value, str)
        or len(value) > MAX_TEXT
        or not value.isprintable()
        or "${" in value
        or value != value.strip()
    ):
        return None
    try:
        return label(value)
    except ValueError:
        return None
