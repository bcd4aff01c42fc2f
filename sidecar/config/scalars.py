"""Plain values, each read from text: text itself, numbers, flags, durations, sizes.

Owns how they are written. Every parser is a pure function that raises ValueError("what is wrong; what to do")
and never repeats the value it refuses.

Numbers and flags arrive as `Bare` text, exactly as they stand in the file: only a field that wants a number
makes one of it, so `017`, `1e3` or `on` is never retyped on its way to a field that wants text. Code may give
Python numbers instead.
"""

from __future__ import annotations

import re

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_YEAR = 366 * 86400.0
_SIZE = re.compile(r"([0-9]{1,12})(B|KiB|MiB|GiB)?")
_BYTES = {None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_MAX_SIZE = 1 << 30

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")
_OCTAL = re.compile(r"0[0-7]{1,17}")
_FLAGS = {"true": True, "false": False}


class Bare(str):
    """Text that looks like a number or a flag and stands without quotes, or came from the environment.

    An octal number is Bare as well, so that who passes Kubernetes' own YAML on can tell `0444` from `"0444"`; no
    field of a configuration takes one.
    """

    __slots__ = ()


def bare(text: str) -> str:
    """Mark text that a field for a number or a flag may convert."""
    return Bare(text) if text in _FLAGS or _NUMBER.fullmatch(text) or _OCTAL.fullmatch(text) else text


def written(value: object) -> str | None:
    """Text as it was written; None when the value is no text at all."""
    return str(value) if isinstance(value, str) else None


def text(value: object) -> str:
    """Any text; what looks like a number stays as it was written."""
    if isinstance(value, str):
        return str(value)
    raise ValueError("is not text; write one value, in quotes if it starts with [ or {")


def some_text(value: object) -> str:
    """Text of at least one character."""
    if found := text(value):
        return found
    raise ValueError("is empty; write a value or take the key out")


def integer(value: object) -> int:
    """A whole number, decimal: `0x10`, `017`, `1e3` and `1_000` are none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, Bare) and _INTEGER.fullmatch(value):
        return int(value)
    raise ValueError("is not a whole number; write digits only, without quotes")


def number(value: object) -> float:
    """A decimal number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Bare) and _NUMBER.fullmatch(value):
        return float(value)
    raise ValueError("is not a number; write something like 0.5, without quotes")


def flag(value: object) -> bool:
    """`true` or `false`; not `yes`, `on` or `1`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Bare) and value in _FLAGS:
        return _FLAGS[value]
    raise ValueError("is neither true nor false; write one of them, without quotes")


def duration(value: object) -> float:
    """Seconds from `500ms`, `30s`, `5m` or `1h`; code may give seconds as a number."""
    seconds = duration_from_zero(value)
    if seconds == 0:
        raise ValueError("must be more than 0; write 500ms, 30s, 5m or 1h")
    return seconds


def duration_from_zero(value: object) -> float:
    """The same; `0s` is fine."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif (found := written(value)) is not None and (match := _DURATION.fullmatch(found)):
        seconds = float(match[1]) * _SECONDS[match[2]]
    elif isinstance(value, Bare):
        raise ValueError("has no unit; write 500ms, 30s, 5m or 1h")
    else:
        raise ValueError("is not a duration; write 500ms, 30s, 5m or 1h")
    if 0 <= seconds <= _YEAR:
        return seconds
    raise ValueError("must be at most a year; write 500ms, 30s, 5m or 1h")


def duration_text(seconds: float) -> str:
    """How a duration is written: in the largest unit that leaves a whole number."""
    for unit in ("h", "m", "s", "ms"):
        count = seconds / _SECONDS[unit]
        if seconds and count == int(count):
            return f"{int(count)}{unit}"
    return f"{seconds:g}s"


def size(value: object) -> int:
    """Bytes from `64KiB`, `1MiB` or a plain number of bytes."""
    count = -1
    if isinstance(value, int) and not isinstance(value, bool):
        count = value
    elif (found := written(value)) is not None and (match := _SIZE.fullmatch(found)):
        count = int(match[1]) * _BYTES[match[2]]
    if 0 <= count <= _MAX_SIZE:
        return count
    raise ValueError("is not a size up to 1GiB; write 64KiB or 1MiB")


def size_text(count: int) -> str:
    """How a size is written: in the largest unit that leaves a whole number."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % _BYTES[unit] == 0:
            return f"{count // _BYTES[unit]}{unit}"
    return str(count)
