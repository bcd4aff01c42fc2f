"""Secrets: text that must never be printed.

Owns the one type that secrets and tokens travel in. Its `repr` and `str` show nothing, it does not pickle or
format, and comparing takes constant time. `reveal()` is the only way to the text: search for it to see every
place where a secret leaves.
"""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Text that prints as `<secret>`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself. Call it where it is put on the wire, nowhere else."""
        return self._text

    def __repr__(self) -> str:
        return "<secret>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "<secret>"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")
