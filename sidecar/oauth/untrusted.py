"""Reading JSON that a stranger wrote, and showing text that a stranger wrote.

Owns the limits: nothing here raises anything but ValueError, whatever comes in. Pure.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable
from typing import NoReturn

_MAX_DIGITS = 100
_MAX_SHOWN = 200


def json_object(raw: bytes) -> dict[str, object]:
    """A JSON object (RFC 8259): UTF-8, a BOM tolerated, no name twice, no NaN. Raises ValueError."""
    try:
        found = json.loads(
            raw.removeprefix(codecs.BOM_UTF8).decode(),
            object_pairs_hook=_once_each,
            parse_int=_bounded_int,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except json.JSONDecodeError:
        raise ValueError("is not JSON") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("is JSON, but no object")
    return found


def one_line(text: str, hide: Iterable[str] = ()) -> str:
    """At most 200 visible characters of it; what is in `hide` never shows."""
    text = text[: 50 * _MAX_SHOWN]  # enough of it, so that hiding stays cheap
    for secret in hide:
        if secret:
            text = text.replace(secret, "***")
    # Not printable: controls, ANSI escapes, line and paragraph separators, bidi marks, lone surrogates.
    shown = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return shown if len(shown) <= _MAX_SHOWN else shown[: _MAX_SHOWN - 1] + "…"


def _once_each(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        # Which of the two counts is a matter of taste, and attackers like that (RFC 8259 section 4).
        raise ValueError("has a name twice")
    return found


def _bounded_int(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError("has a number with too many digits")
    return int(digits)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"has {name}, which is no JSON")
