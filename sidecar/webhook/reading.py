"""Looking into JSON that may be anything: each step says what is not as Kubernetes writes it.

Owns the words for that. Absent and null are the same, as they are for Kubernetes. Pure.
"""

from __future__ import annotations

from typing import Any

from sidecar.logs.line import printable

Object = dict[str, Any]


class Malformed(Exception):
    """Not what an API server sends; the message is short and repeats nothing of it."""


def mapping(parent: Object, key: str, at: str) -> Object:
    """An object, empty when it is not there. Raises Malformed."""
    found = parent.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Malformed(f"{at}.{key} is not an object")
    return found


def objects(parent: Object, key: str, at: str) -> list[Object]:
    """A list of objects, empty when it is not there. Raises Malformed."""
    found = parent.get(key)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise Malformed(f"{at}.{key} is not a list of objects")
    return found


def string(parent: Object, key: str, at: str) -> str:
    """Text, empty when it is not there. Raises Malformed."""
    found = parent.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Malformed(f"{at}.{key} is not a string")
    return found


def integer(parent: Object, key: str, at: str) -> int | None:
    """A whole number, None when it is not there. Raises Malformed."""
    found = parent.get(key)
    if found is not None and (not isinstance(found, int) or isinstance(found, bool)):
        raise Malformed(f"{at}.{key} is not a whole number")
    return found


def flag(parent: Object, key: str, at: str) -> bool:
    """True or false, false when it is not there. Raises Malformed."""
    found = parent.get(key)
    if found is not None and not isinstance(found, bool):
        raise Malformed(f"{at}.{key} is neither true nor false")
    return bool(found)


def quoted(name: str) -> str:
    """A name out of a pod, for a message: bounded, and unable to start a line of its own."""
    return f'"{printable(name[:63])}"'
