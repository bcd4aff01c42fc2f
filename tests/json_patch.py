"""JSON Patch (RFC 6902), as an API server applies it: what tests hold a webhook's answer against.

Strict where the RFC is: a target that is not there, an index beyond the end and a pointer that does not begin with a
slash are errors. Operations that the webhook has no use for are errors, too.
"""

from __future__ import annotations

import copy
import re
from typing import Any

_INDEX = re.compile(r"0|[1-9][0-9]*")


class PatchError(Exception):
    """The patch cannot be applied; nothing of it is."""


def applied(document: Any, patch: list[dict[str, Any]]) -> Any:
    """A patched copy. Raises PatchError."""
    found = copy.deepcopy(document)
    for operation in patch:
        _apply(found, operation)
    return found


def _apply(document: Any, operation: dict[str, Any]) -> None:
    if operation.keys() != {"op", "path", "value"} or operation["op"] not in ("add", "replace", "test"):
        raise PatchError(f"not an operation that is known here: {operation}")
    *above, last = _parts(operation["path"])
    target = document
    for part in above:
        target = _member(target, part)
    kind, value = operation["op"], copy.deepcopy(operation["value"])
    if kind == "add":
        _add(target, last, value)
        return
    present = _member(target, last)
    if kind == "test":
        if present != value:
            raise PatchError(f"{operation['path']} is another value")
    elif isinstance(target, list):
        target[int(last)] = value
    else:
        target[last] = value


def _parts(pointer: str) -> list[str]:
    """RFC 6901; never the whole document."""
    if not pointer.startswith("/") or re.search(r"~(?![01])", pointer):
        raise PatchError(f"{pointer!r} is no pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _member(target: Any, part: str) -> Any:
    if isinstance(target, dict) and part in target:
        return target[part]
    if isinstance(target, list) and _INDEX.fullmatch(part) and int(part) < len(target):
        return target[int(part)]
    raise PatchError(f"there is no {part!r}")


def _add(target: Any, part: str, value: Any) -> None:
    if isinstance(target, dict):
        target[part] = value
    elif isinstance(target, list) and part == "-":
        target.append(value)
    elif isinstance(target, list) and _INDEX.fullmatch(part) and int(part) <= len(target):
        target.insert(int(part), value)
    else:
        raise PatchError(f"nothing can be added at {part!r}")
