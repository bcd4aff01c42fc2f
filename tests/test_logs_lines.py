"""Log lines: one event, one bounded line, nothing secret, in either format."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar import logs
from sidecar.errors import TokenRefused
from sidecar.logs.line import printable
from sidecar.secret import Secret
from tests.log_state import _restored_logging  # noqa: F401 - a fixture

HOSTILE = "bad\r\n{}\x1b[31mred\u2028\u2029\x85\x00\udcff é"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def only(stream: io.StringIO) -> dict[str, object]:
    (line,) = stream.getvalue().splitlines()
    document: dict[str, object] = json.loads(line)
    return document


def test_an_event_is_one_json_line(stream: io.StringIO) -> None:
    """Time in UTC, level, event and logger come with every field that was given."""
    logs.configure(stream=stream)
    logs.get("pool").info("connected", host="api", count=3, share=0.5, ok=True, nothing=None)
    line = only(stream)
    assert str(line.pop("timestamp")).endswith("Z")
    assert line == {
        "level": "info",
        "event": "connected",
        "logger": "pool",
        "host": "api",
        "count": 3,
        "share": 0.5,
        "ok": True,
        "nothing": None,
    }


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("size", [0, 1_000_000])
def test_whatever_the_network_said_stays_one_bounded_printable_line(format: logs.Format, size: int) -> None:
    """Line ends, escape sequences, separators and lone surrogates are escaped, a megabyte is cut."""
    stream = io.StringIO()
    logs.configure(format=format, stream=stream)
    text = HOSTILE + "x" * size
    logs.get("tokens").warning(
        "failed", detail=text, items=[text] * 50, nested={text: {"a": text}}, n=10**6000
    )
    logging.getLogger("aiohttp.server").warning(text)
    lines = stream.getvalue().split("\n")
    assert len(lines) == 3
    assert lines[2] == ""
    for line in lines[:2]:
        assert line.isprintable()
        assert len(line) < 40_000


@given(st.text())
def test_printable_text_is_printable(text: str) -> None:
    """Any text at all can be shown on a terminal; ordinary text is left alone."""
    assert printable(text).isprintable()
    if text.isprintable():
        assert printable(text) == text


@given(
    st.recursive(
        st.none() | st.floats() | st.integers() | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_any_value_makes_valid_json(value: object) -> None:
    """NaN, huge numbers and deep nesting included."""
    stream = io.StringIO()
    logs.configure(stream=stream)
    logs.get("x").info("event", value=value)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(stream.getvalue(), parse_constant=refuse)
    assert stream.getvalue().count("\n") == 1


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer s3cr3t-t0ken",
        "authorization: basic czNjcjN0LXQwa2Vu",
        "token eyJzM2NyM3QtdDBrZW4.s3cr3t-t0ken.sig",
        "POST /t?client_secret=s3cr3t-t0ken&x=1",
        "https://api/upload?signature=s3cr3t-t0ken",
        "access_token=s3cr3t-t0ken",
        "callback?code=s3cr3t-t0ken&state=1",
    ],
)
def test_credentials_in_a_careless_message_are_blotted_out(stream: io.StringIO, text: str) -> None:
    """A last line of defence, for messages of other libraries too."""
    logs.configure(stream=stream)
    logs.get("x").info("event", detail=text)
    logging.getLogger("aiohttp.client").warning("%s", text)
    assert stream.getvalue().count("<secret>") == 2
    assert "s3cr3t" not in stream.getvalue()
    assert "czNjcjN0LXQwa2Vu" not in stream.getvalue()
    assert "eyJ" not in stream.getvalue()


def test_a_secret_object_prints_nothing(stream: io.StringIO) -> None:
    """Logged by accident, alone or inside something."""
    logs.configure(stream=stream)
    logs.get("x").info("event", a=Secret("canary"), b=[Secret("canary")], c={"d": Secret("canary")})
    assert "canary" not in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_an_exception_is_type_and_place_without_its_words(stream: io.StringIO, format: logs.Format) -> None:
    """The message of a KeyError is a subject, that of a parser a header; neither is written, nor locals."""
    logs.configure(format=format, stream=stream)
    held = "canary-local"
    try:
        try:
            dict[str, str]()["canary-key"]
        except KeyError as error:
            raise ValueError(f"canary-message {held}") from error
    except ValueError:
        logs.get("x").exception("oops")
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", "1.2.3.4")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    for line in lines:
        assert "ValueError" in line
        assert "KeyError" in line
        assert "tests/test_logs_lines.py:" in line
        assert "canary" not in line


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TokenRefused("the authorization server refused"), "the authorization server refused"),
        (ConnectionRefusedError(111, "Connect call failed"), "[Errno 111] Connect call failed"),
        (ssl.SSLError(1, "certificate verify failed"), "certificate verify failed"),
    ],
)
def test_words_of_our_own_and_the_systems_errors_are_kept(
    stream: io.StringIO, error: Exception, words: str
) -> None:
    """They say what an operator needs and quote nobody."""
    logs.configure(stream=stream)
    try:
        raise error
    except type(error):
        logs.get("x").exception("oops")
    assert words in str(only(stream)["reason"])


async def test_an_exception_nobody_awaited_is_one_line_without_its_words(stream: io.StringIO) -> None:
    """asyncio's own report carries the repr of the exception in later lines; they are left out."""
    logs.configure(stream=stream)
    asyncio.get_running_loop().default_exception_handler(
        {
            "message": "Task exception was never retrieved",
            "exception": ValueError("canary"),
            "future": "canary",
        }
    )
    line = only(stream)
    assert line["event"] == "Task exception was never retrieved"
    assert line["exception_type"] == "ValueError"
    assert "canary" not in stream.getvalue()


def test_a_group_of_exceptions_names_its_members(stream: io.StringIO) -> None:
    """What a TaskGroup raises."""
    logs.configure(stream=stream)
    logs.uncaught(ExceptionGroup, ExceptionGroup("canary", [ValueError("canary"), KeyError("canary")]), None)
    line = only(stream)
    assert line["event"] == "crashed"
    assert line["inner"] == ["ValueError", "KeyError"]
    assert "canary" not in stream.getvalue()
