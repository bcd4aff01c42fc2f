"""Loggers: structlog for the sidecar's own events, and the standard library's made to look the same.

Owns the process-wide logging set-up. aiohttp and asyncio speak through `logging`; their records take the same
road as our events, so that everything on stderr is one bounded line of the chosen format.
"""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor

from sidecar.clock import Clock, SystemClock
from sidecar.logs.line import ForConsole, as_json, bounded
from sidecar.logs.requests import ConsoleRequestLog, RequestLog
from sidecar.logs.sink import Sink

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["json", "console"]
_LEVELS: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class _Writer:
    """What structlog calls a logger: gets the finished line."""

    def __init__(self, sink: Sink, name: str) -> None:
        self.name = name
        self._sink = sink

    def msg(self, line: str) -> None:
        self._sink.write(f"{line}\n")

    debug = info = warning = error = critical = exception = msg


class _FromLogging(logging.Handler):
    """Records of other libraries as events of ours."""

    def __init__(self, chain: list[Processor], sink: Sink) -> None:
        super().__init__()
        self._chain = chain
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: EventDict = {
                "event": _first_line(record),
                "logger": record.name,
                "level": record.levelname.lower(),
            }
            if record.exc_info:
                event["exc_info"] = record.exc_info[1]
            line: object = event
            for step in self._chain:
                line = step(None, record.levelname.lower(), line)  # type: ignore[arg-type]
            self._sink.write(f"{line}\n")
        except Exception:  # a record that cannot be written must not hurt who logged it
            self._sink.lost += 1


_sink: Sink | None = None  # the one in use


def configure(
    level: Level = "info",
    format: Format = "json",
    requests: bool = True,
    stream: TextIO | None = None,
    clock: Clock | None = None,
) -> RequestLog:
    """Set up logging for the process; may be called again when the configuration changes.

    Returns the request log, which is off when `requests` is false or the level is above info.
    """
    global _sink
    flush()
    sink = _sink = Sink(stream if stream is not None else sys.stderr)
    clock = clock or SystemClock()
    console = format == "console"
    log = (ConsoleRequestLog if console else RequestLog)(
        sink, clock, requests and _LEVELS[level] <= _LEVELS["info"]
    )
    chain: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        bounded,
        ForConsole(sink.isatty()) if console else as_json,
    ]
    structlog.configure(
        processors=[structlog.stdlib.add_logger_name, structlog.processors.add_log_level, *chain],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=lambda name="sidecar": _Writer(sink, name),
        cache_logger_on_first_use=False,  # a reload may change the level
    )
    root = logging.getLogger()
    root.handlers[:] = [_FromLogging(chain, sink)]
    # aiohttp reports every malformed request and asyncio its selector at debug: not ours to explain
    root.setLevel(max(_LEVELS[level], logging.INFO))
    logging.getLogger("aiohttp.access").disabled = True  # has the query string; the request log has not
    return log


def flush() -> None:
    """Write what is gathered: the process ends, or another sink takes over."""
    if _sink is not None:
        _sink.flush()


def get(name: str) -> FilteringBoundLogger:
    """The logger of one area; `name` is written as `logger`. It follows later calls of `configure`."""
    log: FilteringBoundLogger = structlog.get_logger(name)  # not .bind(): that would keep today's level
    return log


def uncaught(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """For `sys.excepthook`: a bug is about to end the process; one line instead of a traceback."""
    get("process").critical("crashed", exc_info=error.with_traceback(traceback))


def _first_line(record: logging.LogRecord) -> str:
    """asyncio puts reprs of tasks, exceptions and protocols into the lines that follow the first."""
    return record.getMessage().partition("\n")[0]
