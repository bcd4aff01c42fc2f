"""Logs: one bounded line per event on stderr, JSON unless a person asked for something nicer.

Owns everything that is written there. See line.py for what may stand in a line, requests.py for the one that
is written for every request.
"""

from sidecar.digest import subject_digest
from sidecar.logs.loggers import Format, Level, configure, flush, get, uncaught
from sidecar.logs.requests import RequestLog
from sidecar.logs.tokens import Tee, TokenLog

__all__ = [
    "Format",
    "Level",
    "RequestLog",
    "Tee",
    "TokenLog",
    "configure",
    "flush",
    "get",
    "subject_digest",
    "uncaught",
]
