"""Setting up logging: levels, formats, later changes, and streams that fail."""

from __future__ import annotations

import io
import json
import logging

import pytest

from sidecar import logs
from tests.log_state import _restored_logging  # noqa: F401 - a fixture


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def test_the_level_filters_both_kinds_of_logger(stream: io.StringIO) -> None:
    """Ours and the standard library's."""
    logs.configure(level="warning", stream=stream)
    logs.get("x").info("quiet")
    logging.getLogger("aiohttp").info("quiet")
    assert stream.getvalue() == ""
    logs.get("x").warning("loud")
    logging.getLogger("aiohttp").warning("loud")
    assert stream.getvalue().count("loud") == 2


def test_loggers_follow_a_later_configuration() -> None:
    """A reload changes level and stream for loggers that were made long before."""
    first, second = io.StringIO(), io.StringIO()
    log = logs.get("x")
    logs.configure(level="info", stream=first)
    log.debug("one")
    log.info("two")
    logs.configure(level="debug", stream=second)
    log.debug("three")
    assert json.loads(first.getvalue())["event"] == "two"
    assert json.loads(second.getvalue())["event"] == "three"


def test_the_access_log_of_aiohttp_stays_off(stream: io.StringIO) -> None:
    """It would write query strings."""
    logs.configure(level="debug", stream=stream)
    logging.getLogger("aiohttp.access").info('"GET /x?canary=1 HTTP/1.1" 200')
    assert stream.getvalue() == ""


def test_the_console_has_no_colours_unless_it_is_a_terminal(stream: io.StringIO) -> None:
    """A file or a pipe gets plain text."""
    logs.configure(format="console", stream=stream)
    logs.get("x").warning("event", key="value")
    assert "\x1b" not in stream.getvalue()
    assert "event" in stream.getvalue()
    assert "key=value" in stream.getvalue()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_colours() -> None:
    """Where a person looks."""
    stream = _Terminal()
    logs.configure(format="console", stream=stream)
    logs.get("x").warning("event", key="value")
    assert "\x1b[" in stream.getvalue()


class _Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("closed", [True, False])
def test_a_stream_that_cannot_be_written_to_hurts_nobody(closed: bool) -> None:
    """A closed pipe costs lines, not requests."""
    stream = io.StringIO() if closed else _Broken()
    request_log = logs.configure(stream=stream)
    if closed:
        stream.close()
    logs.get("x").info("event")
    logging.getLogger("x").warning("event")
    request_log.write("r", "GET", 200, 0.1, None, None)
    assert request_log.sink.lost == 3
