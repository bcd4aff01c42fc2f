"""One event, one line: bounded, escaped, in JSON or for a console.

Owns what may stand in a log line and how it is written out. Whatever came from the network is cut to a length
and cannot start a new line, move a cursor or hide itself; what an exception holds is not printed unless it is
known to be harmless. Knows nothing of loggers.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final

import structlog
from structlog.typing import EventDict, WrappedLogger

from sidecar.errors import SidecarError

MAX_TEXT: Final = 512  # characters of one value
MAX_ITEMS: Final = 20  # of one list or mapping
MAX_FRAMES: Final = 6
_FIRST = ("timestamp", "level", "event")  # where the eye looks
_ROOT = str(Path(__file__).parent.parent.parent)
# What a careless message may carry: an Authorization value, a JWT, a credential in a form or a query.
_CREDENTIAL = re.compile(
    r"""(?ix) \b(?:bearer|basic)\s+[\w.~+/=-]+ | \beyJ[\w.-]{10,}
    | (?<= access_token=) [^&\s'"]+ | (?<= refresh_token=) [^&\s'"]+ | (?<= client_secret=) [^&\s'"]+
    | (?<= assertion=) [^&\s'"]+ | (?<= token=) [^&\s'"]+ | (?<= code=) [^&\s'"]+ | (?<= sig=) [^&\s'"]+
    | (?<= signature=) [^&\s'"]+ | (?<= password=) [^&\s'"]+"""
)


def text(value: str, limit: int = MAX_TEXT) -> str:
    """At most `limit` characters, credentials blotted out."""
    cut = value[: 2 * limit]  # what is thrown away need not be searched
    cut = _CREDENTIAL.sub("<secret>", cut)
    return cut if len(cut) <= limit and len(value) <= 2 * limit else f"{cut[:limit]}…"


def printable(value: str) -> str:
    """The same text with every control, format and line-separating character escaped."""
    if value.isprintable():
        return value
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in value
    )


def plain(value: object, depth: int = 2) -> object:
    """A bounded copy of a value, made of what JSON knows."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if value.bit_length() <= 64 else "(large number)"
    if isinstance(value, float):
        return value if abs(value) < float("inf") else str(value)  # nor is NaN below
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        return _container(value, depth) if depth else f"({type(value).__name__})"
    return text(str(value))


def _container(value: Mapping[object, object] | Collection[object], depth: int) -> object:
    if isinstance(value, Mapping):
        return {text(str(key), 64): plain(item, depth - 1) for key, item in islice(value.items(), MAX_ITEMS)}
    items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
    return [plain(item, depth - 1) for item in islice(items, MAX_ITEMS)]


def place(traceback: TracebackType | None) -> str:
    """Where it was raised, the innermost frame first: file, line, function; no source, no locals."""
    frames: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        file = code.co_filename.removeprefix(f"{_ROOT}/")
        frames.append(f"{file}:{traceback.tb_lineno} in {code.co_name}")
        traceback = traceback.tb_next
    return " < ".join(reversed(frames[-MAX_FRAMES:]))


def exception(error: BaseException) -> dict[str, object]:
    """Type and place; the words only of the two families that never quote what the network said or a subject.

    `KeyError('alice')`, a parser's "bad line b'Authorization: ...'": the message is where secrets hide.
    """
    fields: dict[str, object] = {"exception_type": type(error).__name__, "at": place(error.__traceback__)}
    if isinstance(error, SidecarError | OSError):
        fields["reason"] = text(str(error))
    if isinstance(error, BaseExceptionGroup):
        fields["inner"] = [type(inner).__name__ for inner in error.exceptions[:MAX_ITEMS]]
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        fields["caused_by"] = f"{type(cause).__name__} at {place(cause.__traceback__)}"
    return fields


def bounded(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """structlog processor: exceptions put into words, every value bounded."""
    info = event.pop("exc_info", None)
    if info is True:  # the public way in is log.exception(...), inside an `except`
        info = sys.exception()
    elif isinstance(info, tuple):
        info = info[1]
    if isinstance(info, BaseException):
        event.update(exception(info))
    event.pop("stack_info", None)
    head = {key: event.pop(key) for key in _FIRST if key in event}
    return {key: plain(value) for key, value in {**head, **event}.items()}


def as_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """structlog renderer: ASCII only, so that no viewer sees a line end or an escape sequence."""
    return json.dumps(event, ensure_ascii=True, allow_nan=False, default=str)


class ForConsole:
    """structlog renderer for people; colours only on a terminal."""

    def __init__(self, colors: bool) -> None:
        self._render = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=24)

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        safe = {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}
        return str(self._render(logger, method, safe))
