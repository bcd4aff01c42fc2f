"""What an answer means: the answer is untrusted."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.config.schema import Tokens
from sidecar.oauth.answer import Failure, Issued, Reply, read, read_retry_after

WALL = 1_800_000_000.0
TOKENS = Tokens()


def answer(body: Any, status: int = 200, **more: Any) -> Issued | Failure:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read(Reply(status, raw), wall=WALL, tokens=TOKENS, **more)


def issued(**fields: Any) -> Issued:
    result = answer({"access_token": "abc", "token_type": "Bearer", "expires_in": 60} | fields)
    assert isinstance(result, Issued)
    return result


def failure(result: Issued | Failure) -> Failure:
    assert isinstance(result, Failure)
    return result


def jwt_with(**claims: Any) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    return ".".join((part(b'{"alg":"none"}'), part(json.dumps(claims).encode()), part(b"signature")))


def test_token_written_with_json_escapes_is_what_they_stand_for() -> None:
    """RFC 8259 section 7; all three are visible ASCII."""
    found = answer(b'{"access_token":"a\\"b\\/c\\u0064","token_type":"Bearer"}')
    assert isinstance(found, Issued)
    assert found.value == 'a"b/cd'


LIFETIMES = [
    (3600, 3600.0), ("3600", 3600.0), (3600.9, 3600.9), ("3600.5", 3600.5), (1, 1.0), (0.5, 0.5),
    (None, 3600.0), (10**18, 86400.0), (10**25, 86400.0), ("9" * 20, 86400.0), (86401, 86400.0),
]  # fmt: skip


@pytest.mark.parametrize(("expires_in", "lifetime"), LIFETIMES, ids=[repr(e) for e, _ in LIFETIMES])
def test_expires_in_of_every_sane_shape_is_understood(expires_in: Any, lifetime: float) -> None:
    """Complaint: expires_in missing or a string. Numbers and numeric strings count, up to max_lifetime."""
    assert issued(expires_in=expires_in).lifetime == lifetime


BAD_LIFETIMES = [0, -1, 0.0, "0", "-1", True, False, "abc", "", " 60", "1e3", "٣", [], [60], {}, "1" * 21]


@pytest.mark.parametrize("expires_in", BAD_LIFETIMES, ids=map(repr, BAD_LIFETIMES))
def test_expires_in_that_is_no_time_is_a_failed_try(expires_in: Any) -> None:
    """Complaint: expires_in zero or negative. Not a token that is refreshed in a hot loop."""
    body = {"access_token": "abc", "expires_in": expires_in}
    assert failure(answer(body)).outcome == "malformed"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "0x10", "+5"])
def test_expires_in_that_is_no_json_number_is_a_failed_try(number: str) -> None:
    """No NaN, no infinity, no 5,000 digits, no crash."""
    body = b'{"access_token": "abc", "expires_in": %s}' % number.encode()
    assert failure(answer(body)).outcome == "malformed"


def test_missing_expires_in_is_read_from_a_jwt() -> None:
    """exp - iat, else exp - now; no wall clock is needed for the first."""
    assert issued(expires_in=None, access_token=jwt_with(iat=5000, exp=5900)).lifetime == 900
    assert issued(expires_in=None, access_token=jwt_with(exp=WALL + 700)).lifetime == 700
    assert issued(expires_in=None, access_token=jwt_with(iat=1, exp=WALL)).lifetime == 86400


HOSTILE = [
    {"exp": "abc"}, {"exp": -1}, {"exp": True}, {"exp": 1e300}, {"exp": []}, {"exp": None}, {},
    {"iat": 10, "exp": 10}, {"iat": 11, "exp": 10}, {"exp": WALL - 1},
]  # fmt: skip


@pytest.mark.parametrize("claims", HOSTILE, ids=map(repr, HOSTILE))
def test_jwt_with_a_hostile_exp_is_opaque(claims: dict[str, Any]) -> None:
    """The default lifetime, and never an exception."""
    assert issued(expires_in=None, access_token=jwt_with(**claims)).lifetime == TOKENS.default_lifetime


@pytest.mark.parametrize(
    "token",
    [
        "a.b.c", "a.bb.c", "..", "a.W10.c", "a.e30", "a.e30.c.d.e", "a." + "A" * 100_000 + ".c",
        "a." + base64.urlsafe_b64encode(b"[" * 40_000).rstrip(b"=").decode() + ".c",
        "a." + base64.urlsafe_b64encode(b'{"exp":1,"exp":2}').rstrip(b"=").decode() + ".c",
    ],
    ids=["no base64", "short", "empty", "array", "two parts", "jwe", "huge", "deep", "twice"],
)  # fmt: skip
def test_token_that_only_looks_like_a_jwt_is_opaque(token: str) -> None:
    """Whatever is in it, it is a token with the default lifetime."""
    assert issued(expires_in=None, access_token=token).lifetime == TOKENS.default_lifetime


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", None])
def test_token_type_bearer_in_any_case_or_absent(kind: str | None) -> None:
    """RFC 6749 section 5.1: case-insensitive; eGain and others leave it out."""
    assert issued(token_type=kind).value == "abc"
    assert isinstance(answer({"access_token": "abc"}), Issued)


@pytest.mark.parametrize("kind", ["mac", "N_A", "DPoP", "", "Bearer ", 1, ["Bearer"]])
def test_other_token_types_are_refused(kind: Any) -> None:
    """A token that must be used in another way is no use here."""
    assert failure(answer({"access_token": "abc", "token_type": kind})).reason == "malformed"


BAD_TOKENS: list[Any] = [
    "",
    None,
    1,
    [],
    {},
    "a b",
    "a\r\nX: y",
    "a\x00",
    "tökén",
    "\ud800",
    "Bearer abc",
    " abc",
    "abc\n",
]


@pytest.mark.parametrize("token", BAD_TOKENS, ids=map(ascii, BAD_TOKENS))
def test_access_token_that_cannot_be_a_header_value_is_refused(token: Any) -> None:
    """Only visible ASCII: nothing that could split a header, nothing with its own `Bearer `."""
    assert failure(answer({"access_token": token, "expires_in": 60})).outcome == "malformed"
    assert failure(answer({"expires_in": 60})).outcome == "malformed"


GARBAGE = [
    b"", b"null", b"[]", b'"abc"', b"<html>error</html>", b"{", b"access_token=abc&expires_in=60",
    b'{"access_token":"a","access_token":"b"}', b'{"access_token":"a","x":{"y":1,"y":2}}',
    b'{"access_token":"a","x":NaN}', b"\xff\xfe{\x00}\x00", b'{"access_token":"\xff"}',
    b"[" * 100_000, b'{"a":' * 100_000, b'{"access_token":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
]  # fmt: skip


@pytest.mark.parametrize("body", GARBAGE, ids=[ascii(b[:24]) for b in GARBAGE])
def test_garbled_200_is_one_failed_try(body: bytes) -> None:
    """Complaint: one empty or garbled 200 and refreshing stops for ever. A Failure, whatever it is."""
    assert failure(answer(body)).outcome == "malformed"


def test_bom_and_odd_media_types_are_tolerated() -> None:
    """What is JSON is read as JSON."""
    assert isinstance(answer(b'\xef\xbb\xbf{"access_token": "abc"}'), Issued)


REFUSALS = [
    (400, {"error": "invalid_scope"}, "refused", "invalid_scope", "invalid_scope"),
    (401, {"error": "invalid_client"}, "refused", "invalid_client", "invalid_client"),
    (400, {"error": "invalid_target"}, "refused", "invalid_target", "invalid_target"),
    (200, {"error": "invalid_grant"}, "refused", "invalid_grant", "invalid_grant"),
    (200, {"error": "invalid_grant", "access_token": "abc"}, "refused", "invalid_grant", "invalid_grant"),
    (400, {"error": "made_up"}, "refused", "http_4xx", None),
    (400, {"error": {"code": 1}}, "refused", "http_4xx", None),
    (400, {"code": "401-104", "developerMessage": "x"}, "refused", "http_4xx", None),
    (403, b"<html>forbidden</html>", "refused", "http_4xx", None),
    (404, b"", "refused", "http_4xx", None),
    (408, b"", "unavailable", "http_4xx", None),
    (400, {"error": "server_error"}, "unavailable", "server_error", "server_error"),
    (400, {"error": "slow_down"}, "throttled", "slow_down", "slow_down"),
    (429, {"error": "invalid_client"}, "throttled", "http_429", None),
    (500, {"error": "invalid_client"}, "unavailable", "http_5xx", None),
    (503, b"", "unavailable", "http_5xx", None),
    (302, b"", "malformed", "malformed", None),
    (204, b"", "malformed", "malformed", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "outcome", "reason", "oauth_error"), REFUSALS, ids=[f"{r[0]} {r[3]}" for r in REFUSALS]
)
def test_each_failure_has_its_outcome_and_reason(
    status: int, body: Any, outcome: str, reason: str, oauth_error: str | None
) -> None:
    """Who is at fault, and the label that an alert can name; labels never come from the network."""
    found = failure(answer(body, status))
    assert (found.outcome, found.reason, found.oauth_error) == (outcome, reason, oauth_error)


def test_description_is_one_bounded_line_without_secrets() -> None:
    """Line ends, ANSI escapes, U+2028 and a megabyte of text become one short line; secrets are hidden."""
    said = "no\r\nuser \x1b[31malice\u2028 secret=hush \u202e" + "x" * (1 << 20)
    found = failure(
        answer({"error": "invalid_grant", "error_description": said}, 400, hide=["hush", "alice"])
    )
    assert found.detail.startswith("HTTP 400 invalid_grant: no user [31m*** secret=*** xxx")
    assert len(found.detail) < 250
    assert found.detail.isprintable()


def test_nothing_of_the_token_shows() -> None:
    """Neither an answer nor what was read from it prints the token."""
    body = b'{"access_token": "canary", "expires_in": 60}'
    assert "canary" not in repr(Reply(200, body))
    assert "canary" not in repr(answer(body))


def test_granted_scopes_are_told_apart_from_unsaid_ones() -> None:
    """`scope` absent means as requested (RFC 6749 section 5.1)."""
    assert issued(scope="b a").scopes == frozenset("ab")
    assert issued().scopes is None
    assert issued(scope="").scopes is None
    assert issued(scope=7).scopes is None


DELAYS = [
    (None, None), ("0", 0.0), ("5", 5.0), ("3600", 3600.0), ("999999999999", 3600.0), ("-1", None),
    ("1.5", None), ("", None), ("soon", None), ("9" * 400, None), ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
    ("Fri, 15 Jan 2027 07:59:30 GMT", 0.0), ("Fri, 15 Jan 2100 08:00:30 GMT", 3600.0),
    ("Fri, 99 Foo 2027", None),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected"), DELAYS, ids=[repr(v)[:40] for v, _ in DELAYS])
def test_retry_after_in_seconds_or_as_a_date(value: str | None, expected: float | None) -> None:
    """Complaint: 429 ignored. Both forms of RFC 9110 section 10.2.3, an hour at most, garbage is as none."""
    assert read_retry_after(value, WALL) == expected


def test_retry_after_is_kept_with_throttling_and_outages() -> None:
    """429 and 503 carry it on."""
    for status in (429, 503, 400):
        reply = Reply(status, b"", "7")
        assert failure(read(reply, wall=WALL, tokens=TOKENS)).retry_after == 7


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
fields = st.sampled_from(["access_token", "token_type", "expires_in", "scope", "error", "error_description"])


@given(
    st.integers(200, 599),
    st.binary() | st.dictionaries(fields, json_values).map(lambda d: json.dumps(d).encode()),
)
@example(200, b'{"access_token": "a", "expires_in": 1e308}')
def test_no_answer_is_a_crash(status: int, body: bytes) -> None:
    """Whatever comes, it is a token with a bounded life or a failure with a known label."""
    result = read(Reply(status, body, "x"), wall=WALL, tokens=TOKENS, hide=["a"])
    if isinstance(result, Issued):
        assert 200 <= status < 300
        assert 0 < result.lifetime <= TOKENS.max_lifetime
        assert result.value.isascii()
    else:
        assert result.detail.isprintable()
        assert len(result.detail) < 300
