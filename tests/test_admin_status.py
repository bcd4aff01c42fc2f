"""How the state of tokens is judged, listed and drawn."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from sidecar.admin import page, status
from sidecar.admin.bar import bar
from sidecar.admin.words import count, duration, seconds
from sidecar.tokens.view import TokenView
from tests.admin_state import EMPTY, HELD, StubState, view

NOW = 1000.0
HOSTILE = "<script>alert('x')</script>\"&'"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (HELD, "fresh"),
        (view(state="fetching"), "refreshing"),
        (view(state="backing_off", last_error="http_5xx"), "failing"),
        (view(hard_stop=1000.0), "missing"),
        (view(hard_stop=1000.001), "fresh"),
        (view(hard_stop=900.0, last_error="timeout", state="backing_off"), "missing"),
        (EMPTY, "missing"),
        (view(EMPTY, startup=False), "idle"),
        (view(EMPTY, startup=False, state="fetching"), "refreshing"),
        (view(EMPTY, startup=False, state="backing_off", last_error="invalid_grant"), "missing"),
    ],
)
def test_a_tokens_condition(token: TokenView, expected: str) -> None:
    """Usable means before the hard stop; trouble is said only where there is some."""
    assert status.condition(token, NOW) == expected


def test_trouble_is_listed_first() -> None:
    """Then what is part of readiness, then what ends soonest."""
    state = StubState(
        views=[
            view(credential="idle", startup=False, subject="a", expires_at=5000.0),
            view(credential="soon", startup=False, subject="b", expires_at=2000.0, hard_stop=1990.0),
            view(credential="start"),
            view(credential="failing", last_error="timeout"),
            view(EMPTY, credential="missing"),
        ]
    )
    listed = [token.credential for token in status.of(state, 0.0).tokens]
    assert listed == ["missing", "failing", "start", "soon", "idle"]


def test_times_are_relative_to_now() -> None:
    """Seconds until, negative once past; none while there is no token."""
    held, empty = status.of(StubState(views=[HELD, view(EMPTY, startup=False)]), 400.0).tokens
    assert (held.age_s, held.refresh_in_s, held.hard_stop_in_s, held.expires_in_s) == (1000, 750, 2570, 2600)
    assert (empty.age_s, empty.refresh_in_s, empty.expires_in_s) == (None, None, None)


def test_long_texts_and_lists_are_cut() -> None:
    """Whatever somebody wrote into an error or a warning."""
    state = StubState(views=[view(last_error="x" * 10_000)], doubts=["y" * 10_000] * 500)
    seen = status.of(state, 0.0)
    assert len(seen.warnings) == 50
    assert max(map(len, seen.warnings)) <= 301
    assert len(seen.tokens[0].last_error or "") <= 301


class _Checker(HTMLParser):
    """Collects what a browser would do with a page, and that tags are balanced."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def checked(state: StubState, live: bool = True) -> tuple[str, _Checker]:
    text = page.render(status.of(state, 0.0), live)
    checker = _Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return text, checker


def full_state() -> StubState:
    state = StubState(
        version=HOSTILE,
        views=[
            view(credential=HOSTILE, scopes=(HOSTILE,), subject=HOSTILE, last_error=HOSTILE, next_try=1010.0),
            view(EMPTY, in_use=False),
        ],
        missing_tokens=[HOSTILE],
        doubts=[HOSTILE],
    )
    state.metrics.route(HOSTILE).finished("GET", 503, 0.1)
    return state


def test_everything_shown_is_escaped() -> None:
    """Names, scopes, errors, warnings, labels: no text becomes markup."""
    text, checker = checked(full_state())
    assert HOSTILE not in text
    assert "script" not in checker.tags
    assert text.count("&lt;script&gt;") == 8


def test_the_page_needs_nothing_from_elsewhere() -> None:
    """No scripts, images, fonts or style attributes; links stay inside the listener."""
    text, checker = checked(full_state())
    assert not checker.tags & {"script", "img", "link", "iframe", "form", "object"}
    assert "style" not in checker.attributes
    assert not [name for name in checker.attributes if name.startswith("on")]
    assert set(checker.links) == {"?refresh=off", "status.json", "metrics", "config"}
    assert "url(" not in page.STYLE
    assert "@import" not in page.STYLE
    assert f"<style>{page.STYLE}</style>" in text  # byte for byte what the policy's hash was made from


def test_the_page_loads_itself_again_unless_paused() -> None:
    """Every two seconds; a reader who needs time can stop it."""
    live, _ = checked(StubState())
    assert '<meta http-equiv="refresh" content="2">' in live
    paused, checker = checked(StubState(), live=False)
    assert "http-equiv" not in paused
    assert "?" in checker.links


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "ready"),
        ({"missing_tokens": ["app"]}, "not ready"),
        ({"draining": True}, "draining"),
    ],
)
def test_readiness_is_said_in_words(changes: dict[str, Any], words: str) -> None:
    """In the title and beside the name, not by colour alone."""
    text, _ = checked(StubState(**changes))
    assert f"<title>{words} · auth-sidecar</title>" in text
    assert re.search(rf'role="status"><span aria-hidden="true">.</span>{words}</span>', text)


def test_a_token_shows_what_a_person_asks_for() -> None:
    """Scopes, time left, lifetime, next try, error, rotations, subject digest."""
    token = view(
        startup=False, subject="0123456789abcdef", state="backing_off", next_try=1012.0, last_error="http_5xx"
    )
    text, _ = checked(StubState(views=[token]))
    for words in ("app.read", "43 min 20 s", "1 h", "in 12 s", "http_5xx", "3 ×", "0123456789abcdef"):
        assert words in text
    assert "refresh fails, token still good" in text


def test_a_bar_shows_what_has_passed_and_where_the_marks_lie() -> None:
    """Drawn to scale and said in words."""
    (token,) = status.of(
        StubState(views=[view(refresh_at=1800.0, hard_stop=3240.0, asked_at=100.0)]), 0.0
    ).tokens
    drawn = bar(token)
    assert 'aria-label="25 % of 1 h passed, not used after 87 %, refreshed at 47 %"' in drawn
    assert '<rect class="fresh" width="25.00%"' in drawn
    assert 'x1="47.22%"' in drawn
    assert 'x1="87.22%"' in drawn


@pytest.mark.parametrize("expires_at", [100.0, 999.0])
def test_a_bar_never_leaves_its_track(expires_at: float) -> None:
    """Long past its end, a token is at 100 %."""
    dead = view(
        asked_at=0.0,
        lifetime=expires_at,
        refresh_at=expires_at / 2,
        hard_stop=expires_at - 1,
        expires_at=expires_at,
    )
    (token,) = status.of(StubState(views=[dead]), 0.0).tokens
    assert all(0 <= float(share) <= 100 for share in re.findall(r"([-\d.]+)%", bar(token)))
    assert '<rect class="missing" width="100.00%"' in bar(token)


def test_a_bar_without_a_token_is_an_empty_track() -> None:
    """Nothing is made up."""
    (token,) = status.of(StubState(views=[EMPTY]), 0.0).tokens
    assert bar(token).count("<rect") == 1
    assert "No token" in bar(token)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.99, "10.0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (86399, "23 h 59 min"),
        (90061, "1 d 1 h"),
        (-75, "−1 min 15 s"),
    ],
)
def test_durations_in_words(value: float, words: str) -> None:
    """Two units at most."""
    assert duration(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (0.00085, "850 µs"),
        (0.0123, "12.3 ms"),
        (0.999, "999 ms"),
        (1.25, "1.2 s"),
        (60.0, "60.0 s"),
    ],
)
def test_latencies_in_words(value: float | None, words: str) -> None:
    """The unit that fits."""
    assert seconds(value) == words


def test_counts_in_groups_of_three() -> None:
    """A narrow space that does not break."""
    assert [count(n) for n in (0, 999, 1234567)] == ["0", "999", "1\u202f234\u202f567"]
