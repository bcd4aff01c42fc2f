"""`$ref`: what a reference within a document leads to (RFC 6901, in the fragment form of its section 6).

Owns following them, chains and circles included. References out of the document were refused when it was read.
"""

from __future__ import annotations

from urllib.parse import unquote

from sidecar.openapi.building import Entry, Items, Value

_MAX_CHAIN = 50  # a circle is a chain without an end


class Dangling(Exception):
    """A reference that leads nowhere."""


def follow(root: Entry, value: Value) -> Value:
    """The value itself, or what its `$ref` leads to in the end. Raises Dangling."""
    for _ in range(_MAX_CHAIN):
        if not isinstance(value, Entry) or not isinstance(pointer := value.get("$ref"), str):
            return value
        value = _at(root, pointer)
    raise Dangling("leads in a circle")


def _at(root: Entry, pointer: str) -> Value:
    if pointer == "#":
        return root
    if not pointer.startswith("#/"):
        raise Dangling("is no #/ reference")
    at: Value = root
    for part in pointer[2:].split("/"):
        name = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(at, Entry) and name in at:
            at = at[name]
        elif isinstance(at, Items) and name.isascii() and name.isdecimal() and int(name[:9]) < len(at):
            at = at[int(name[:9])]
        else:
            raise Dangling("leads nowhere")
    return at
