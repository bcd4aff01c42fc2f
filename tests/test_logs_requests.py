"""The line per request."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from sidecar import logs
from sidecar.logs.requests import RequestLog
from sidecar.logs.sink import Sink
from tests.admin_state import StillClock
from tests.log_state import _restored_logging  # noqa: F401 - a fixture


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def clock() -> StillClock:
    return StillClock(wall=1_800_000_000.25)


def test_a_finished_request_is_one_json_line(stream: io.StringIO, clock: StillClock) -> None:
    """Every field is there, also those that have nothing to say; the duration has three decimals."""
    log = RequestLog(Sink(stream), clock)
    log.write("get-articles", "GET", 200, 0.0123456, "app", None)
    assert stream.getvalue().endswith("}\n")
    assert '"duration_ms": 12.346,' in stream.getvalue()
    assert json.loads(stream.getvalue()) == {
        "timestamp": "2027-01-15T08:00:00.250000Z",
        "level": "info",
        "event": "request",
        "route": "get-articles",
        "credential": "app",
        "method": "GET",
        "status": 200,
        "duration_ms": 12.346,
        "error": None,
    }


def test_error_and_subject_are_written_when_there_are_some(stream: io.StringIO, clock: StillClock) -> None:
    """A code of the error tree, a digest; a request without a credential says so."""
    log = RequestLog(Sink(stream), clock)
    log.write("(unmapped)", "GET", 403, 0.0001, None, "route_not_mapped", "0123456789abcdef")
    line = json.loads(stream.getvalue())
    assert (line["credential"], line["error"], line["subject"]) == (
        None,
        "route_not_mapped",
        "0123456789abcdef",
    )


@pytest.mark.parametrize("text", ['quo"te', "back\\slash", "new\nline", "\x1b[31m", "\u2028", "\udcff", "é"])
def test_names_and_methods_of_any_spelling_stay_one_ascii_line(
    stream: io.StringIO, clock: StillClock, text: str
) -> None:
    """Route names come from the configuration, methods from the caller; both are escaped."""
    log = RequestLog(Sink(stream), clock)
    for _ in range(2):  # made, then taken from the table of fragments
        log.write(text, text, 200, 0.1, text, text, text)
    first, second, rest = stream.getvalue().split("\n")
    assert first == second
    assert first.isascii()
    assert rest == ""
    line = json.loads(first)
    assert {line[key] for key in ("route", "method", "credential", "error", "subject")} == {text}


def test_a_long_method_is_cut(stream: io.StringIO, clock: StillClock) -> None:
    """A token of a megabyte is a method by the grammar."""
    RequestLog(Sink(stream), clock).write("r", "M" * 1_000_000, 501, 0.1, None, None)
    assert len(stream.getvalue()) < 300


def test_the_timestamp_follows_the_clock(stream: io.StringIO, clock: StillClock) -> None:
    """Across a second's end, and backwards when the clock was set."""
    log = RequestLog(Sink(stream), clock)
    moments = (1_800_000_000.999, 1_800_000_001.0, 1_800_000_001.5, 1_700_000_000.0)
    for moment in moments:
        clock.epoch = moment
        log.write("r", "GET", 200, 0.1, None, None)
    written = [
        datetime.fromisoformat(json.loads(line)["timestamp"]) for line in stream.getvalue().splitlines()
    ]
    assert [moment.timestamp() for moment in written] == pytest.approx(moments, abs=2e-6)
    assert {moment.tzinfo for moment in written} == {UTC}


@pytest.mark.parametrize(
    ("level", "requests", "written"),
    [
        ("debug", True, True),
        ("info", True, True),
        ("warning", True, False),
        ("error", True, False),
        ("info", False, False),
    ],
)
@pytest.mark.parametrize("format", ["json", "console"])
def test_request_lines_can_be_switched_off(
    stream: io.StringIO, level: logs.Level, requests: bool, written: bool, format: logs.Format
) -> None:
    """By log.requests, or by a level above info."""
    log = logs.configure(level=level, format=format, requests=requests, stream=stream)
    log.write("r", "GET", 200, 0.1, "app", None)
    assert bool(stream.getvalue()) is written


def test_on_a_console_a_request_is_one_readable_line(stream: io.StringIO, clock: StillClock) -> None:
    """Plain, printable, with the same facts."""
    log = logs.configure(format="console", stream=stream, clock=clock)
    log.write("get-articles", "BR\x1b\nEW", 503, 0.0123456, "app", "token_unavailable", "abcd")
    line = stream.getvalue().removesuffix("\n")
    assert line.isprintable()
    for fact in (
        "503",
        "get-articles",
        "12.346 ms",
        "credential=app",
        "error=token_unavailable",
        "subject=abcd",
    ):
        assert fact in line


def test_fragments_do_not_pile_up(stream: io.StringIO, clock: StillClock) -> None:
    """However many routes many reloads have brought."""
    log = RequestLog(Sink(stream), clock)
    for n in range(25_000):
        log.write(f"route-{n}", "GET", 200, 0.1, None, None)
    assert len(log._fragments) <= 10_000
    assert stream.getvalue().count("\n") == 25_000
