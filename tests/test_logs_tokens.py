"""Token events as log lines, the fan-out to several listeners, and digests of subjects."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from sidecar import logs
from sidecar.digest import subject_digest
from sidecar.tokens.view import TokenEvents
from tests.log_state import _restored_logging  # noqa: F401 - a fixture


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(stream=stream)
    return stream


def tell(listener: TokenEvents) -> None:
    """One of each event."""
    listener.requested("agent", "demand", "ok", 0.2)
    listener.obtained("agent", "0123456789abcdef", frozenset({"b.read", "a.read"}), 3599.99951)
    listener.failed("app", None, "ahead", "http_5xx", 1.23456, "status 503\nnext line")
    listener.dropped("agent", "idle")
    listener.waited("agent", 0.3)


def test_what_happened_to_tokens_is_written_once_each(stream: io.StringIO) -> None:
    """Obtained, failed and dropped are lines; requests and waits are numbers only."""
    tell(logs.TokenLog())
    obtained, failed, dropped = (json.loads(line) for line in stream.getvalue().splitlines())
    for line in (obtained, failed, dropped):
        line.pop("timestamp")
        assert line.pop("logger") == "tokens"
    assert obtained == {
        "level": "info",
        "event": "token_obtained",
        "credential": "agent",
        "subject": "0123456789abcdef",
        "scopes": ["a.read", "b.read"],
        "lifetime_s": 3600.0,
    }
    assert failed == {
        "level": "warning",
        "event": "token_refresh_failed",
        "credential": "app",
        "trigger": "ahead",
        "reason": "http_5xx",
        "retry_in_s": 1.235,
        "detail": "status 503\nnext line",
    }
    assert dropped == {"level": "info", "event": "token_dropped", "credential": "agent", "reason": "idle"}


class _Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def requested(self, *event: object) -> None:
        self.told.append(("requested", *event))

    def obtained(self, *event: object) -> None:
        self.told.append(("obtained", *event))

    def failed(self, *event: object) -> None:
        self.told.append(("failed", *event))

    def dropped(self, *event: object) -> None:
        self.told.append(("dropped", *event))

    def waited(self, *event: object) -> None:
        self.told.append(("waited", *event))


def test_a_tee_tells_every_listener_everything() -> None:
    """Metrics and log hear the same, as if each were alone."""
    alone, first, second = _Recorder(), _Recorder(), _Recorder()
    tell(alone)
    tell(logs.Tee(first, second))
    assert [event[0] for event in alone.told] == ["requested", "obtained", "failed", "dropped", "waited"]
    assert first.told == second.told == alone.told


def test_a_digest_is_short_stable_and_tells_subjects_apart() -> None:
    """Sixteen hexadecimal digits; one letter's case makes another."""
    assert subject_digest("alice") == subject_digest("alice")
    assert len({subject_digest(name) for name in ("alice", "Alice", "bob", "", "\udcff")}) == 5
    assert len(subject_digest("alice")) == 16
    int(subject_digest("alice"), 16)


def test_a_digest_means_nothing_in_another_process() -> None:
    """Its key is made anew by every process, so that names cannot be tried."""
    code = "from sidecar.digest import subject_digest; print(subject_digest('alice'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(other.stdout.strip()) == 16
    assert other.stdout.strip() != subject_digest("alice")
