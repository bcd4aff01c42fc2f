"""Waiting for other processes: a condition, looked at with a deadline that only a failure comes near."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable


def until(condition: Callable[[], object], what: str, seconds: float) -> None:
    """Look at the condition a few times a second."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


def status(url: str) -> int:
    """Of a GET."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
