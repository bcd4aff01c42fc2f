"""What a token endpoint may answer: a usable token, or one clean failure; never a crash, never half a token."""

from __future__ import annotations

import asyncio
import gzip
import json
import resource
from pathlib import Path
from typing import Any

import pytest

from tests.battery.case import Case
from tests.battery.stage import SECRET, RawTokens, Stage, http
from tests.fake_clock import FakeClock
from tests.harness import Answer, Sidecar, Talk, until

pytestmark = pytest.mark.battery

MEMBERS: dict[str, Any] = {
    "access_token": "canary-token-0123456789",
    "token_type": "Bearer",
    "expires_in": 3600,
}
OK = json.dumps(MEMBERS).encode()


def says(body: bytes, status: int = 200, *fields: str) -> Any:
    """A script for the token endpoint."""

    async def script(talk: Talk) -> None:
        await talk.send(http(status, body, *fields))

    return script


async def first_answer(stage: Stage, script: Any, **changes: Any) -> tuple[Answer, Sidecar]:
    """Of a request, when every token request is answered like this; asked for twice, so that a storm would show."""
    stage.case.tokens.add(MEMBERS["access_token"])
    stage.tokens.script = script
    async with stage.sidecar(FakeClock(), ready=False, **changes) as proxy:
        await until(lambda: stage.tokens.calls, "the first token request")
        await until(lambda: not proxy.app._store._fetches._tasks, "its end")
        await proxy.ask("/app/x")
        return await proxy.ask("/app/x"), proxy


async def usable(stage: Stage, script: Any) -> None:
    answer, _ = await first_answer(stage, script)
    assert answer.status == 200
    assert {v for r in stage.upstream.requests for v in r.all("Authorization")} == {
        f"Bearer {MEMBERS['access_token']}"
    }


async def unusable(stage: Stage, script: Any, *, status: int = 503, calls: int = 1) -> Answer:
    answer, _ = await first_answer(stage, script)
    assert (answer.status, answer.error) == (
        status,
        "token_refused" if status == 502 else "token_unavailable",
    )
    stage.nothing_happened(calls)
    return answer


LIFETIMES = {
    "3600": 3600, '"3600"': 3600, "3600.9": 3600.9, '"3600.5"': 3600.5, "null": 3600, "1e3": 1000,
    "1e18": 86400, "9" * 25: 86400, "0.5": 0.5,
    "-1": None, "0": None, "true": None, '"abc"': None, "[]": None, "{}": None, "NaN": None, "Infinity": None,
    "-Infinity": None, "1e999": None, "9" * 5000: None, '"-5"': None, '"1e9"': None, '""': None, '" 60"': None,
    '"\\u0663"': None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "lifetime"), LIFETIMES.items(), ids=lambda v: str(v)[:20])
async def test_lifetime_is_bounded_or_the_answer_none(
    stage: Stage, text: str, lifetime: float | None
) -> None:
    """A number or a numeric string above 0, at most `max_lifetime`; absent or null, the default."""
    body = OK.replace(b"3600", text.encode())
    if lifetime is None:
        await unusable(stage, says(body))
        return
    stage.case.tokens.add(MEMBERS["access_token"])
    stage.tokens.script = says(body)
    async with stage.sidecar(FakeClock()) as proxy:
        assert (await proxy.ask("/app/x")).status == 200
        assert await proxy.metric("auth_sidecar_token_lifetime_seconds", credential="app") == lifetime


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", None])
async def test_token_type_bearer_is_taken(stage: Stage, kind: str | None) -> None:
    """In any case; null is tolerated, and so is none at all."""
    await usable(stage, says(json.dumps({**MEMBERS, "token_type": kind}).encode()))


@pytest.mark.parametrize("kind", ["mac", "N_A", "DPoP", "", "Bearer ", " bearer", ["Bearer"], 1, "Basic"])
async def test_other_token_types_are_refused(stage: Stage, kind: Any) -> None:
    """A token that must be shown in another way is of no use."""
    await unusable(stage, says(json.dumps({**MEMBERS, "token_type": kind}).encode()))


@pytest.mark.parametrize(
    "token",
    [
        "",
        None,
        5,
        True,
        [],
        {},
        "a" * (2 << 20),
        "canary\r\nX-Evil: 1",
        "canary\n",
        "canary\rx",
        "canary\x00",
        "canary x",
        " canary",
        "canary ",
        "can\xe4ry",
        "canary\x7f",
        "Bearer canary",
        "canary\t",
        "\u2028canary",
        "canary\ud800",
    ],
    ids=lambda t: repr(t)[:24],
)
async def test_token_that_is_no_field_value_goes_nowhere(stage: Stage, token: Any) -> None:
    """Visible ASCII or nothing."""
    await unusable(stage, says(json.dumps({**MEMBERS, "access_token": token}).encode()))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>canary</html>",
        b"[]",
        b'["access_token"]',
        b'"canary"',
        b"null",
        b"42",
        b"{",
        OK[:-1],
        OK + b"}",
        b"access_token=canary&token_type=Bearer&expires_in=3600",
        b'{"access_token":"canary","access_token":"other"}',
        OK.replace(b"{", b'{"expires_in":1,'),
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"x":' + b"[" * 900 + b"]" * 900 + b"}",
        b"\xff\xfe" + OK.decode().encode("utf-16-le"),
        b"\x00" + OK,
        OK.replace(b"canary", b"can\xffry"),
        b'{"error":{}}',
    ],
    ids=lambda b: repr(b)[:30],
)
async def test_what_is_no_token_answer_is_one_failed_try(stage: Stage, body: bytes) -> None:
    """HTML, arrays, half and doubled JSON, nesting without end, forms, other encodings."""
    await unusable(stage, says(body))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b"\xef\xbb\xbf" + OK, ()),
        (OK, ("Content-Type: text/plain",)),
        (OK, ("Content-Type: text/html; charset=utf-16",)),
        (b" \r\n\t" + OK + b"\n", ()),
        (OK, ("Set-Cookie: canary=1", "Location: http://127.0.0.1:1/", "Refresh: 0")),
        (OK.replace(b"}", b', "scope": null, "refresh_token": "canary-refresh", "x": [{"y": 1e5}]}'), ()),
    ],
    ids=range(6),
)
async def test_odd_but_clear_answers_are_usable(stage: Stage, body: bytes, fields: tuple[str, ...]) -> None:
    """A BOM, another media type, more members."""
    await usable(stage, says(body, 200, *fields))


async def test_error_with_status_200_is_a_refusal(stage: Stage) -> None:
    """Some servers answer everything with 200."""
    answer = await unusable(stage, says(b'{"error": "invalid_scope", "access_token": "canary"}'), status=502)
    assert json.loads(answer.body)["oauth_error"] == "invalid_scope"


REFUSALS = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "access_denied",
]


@pytest.mark.parametrize("status", [400, 401])
@pytest.mark.parametrize("code", REFUSALS)
async def test_refusal_is_told_and_not_asked_for_again_at_once(stage: Stage, code: str, status: int) -> None:
    """502 with the code; a hundred requests within the next five seconds make no further token request."""
    stage.tokens.script = says(
        json.dumps({"error": code, "error_description": "in other words"}).encode(), status
    )
    clock, seen = FakeClock(), set()
    retry = {"retry": {"initial": "60s", "max": "60s"}}
    async with stage.sidecar(clock, ready=False, refresh=retry) as proxy:
        await until(lambda: stage.tokens.calls and not proxy.app._store._fetches._tasks)
        before = stage.tokens.calls
        caller = await proxy.caller()
        for _ in range(100):
            answer = await caller.ask("/app/x")
            seen.add(
                (answer.status, json.loads(answer.body).get("oauth_error"), b"other words" in answer.body)
            )
            clock.advance(0.05)  # five seconds in all: less than a tenth of a minute, the least wait
    assert seen == {(502, code, False)}
    assert stage.tokens.calls == before
    assert stage.upstream.requests == []


@pytest.mark.parametrize(
    ("status", "fields", "seconds"),
    [
        (429, ("Retry-After: 20",), 20),
        (503, ("Retry-After: 20",), 20),
        (429, (), None),
        (500, (), None),
        (503, ("Retry-After: nonsense",), None),
        (503, ("Retry-After: -5",), None),
        (503, ("Retry-After: 99999999999",), 3600),
    ],
)
async def test_retry_after_is_waited_for(
    stage: Stage, status: int, fields: tuple[str, ...], seconds: float | None
) -> None:
    """In seconds, at most an hour; nonsense is none. The caller is told when to come back."""
    stage.tokens.script = says(b"busy", status, *fields)
    clock = FakeClock()
    async with stage.sidecar(clock, ready=False) as proxy:
        await until(lambda: stage.tokens.calls and not proxy.app._store._fetches._tasks)
        answer = await proxy.ask("/app/x")
        assert answer.error == "token_unavailable"
        wait = int(answer.all("Retry-After")[0])
        assert seconds is None or wait >= seconds
        stage.tokens.script = None
        if seconds is not None:
            clock.advance(seconds - 1)
            assert (await proxy.ask("/app/x")).status == 503
            assert stage.tokens.calls == 1
        clock.advance(wait + 1)
        await until(lambda: not proxy.app.missing())
        assert (await proxy.ask("/app/x")).status == 200


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_of_a_token_request_is_not_followed(stage: Stage, status: int) -> None:
    """The client's secret would go there, too."""
    await unusable(stage, says(b"", status, f"Location: {stage.elsewhere.url}/token"))


async def test_flood_is_cut_off(stage: Stage) -> None:
    """A body without end: given up at 1 MiB, and the connection with it."""
    sent = 0

    async def floods(talk: Talk) -> None:
        nonlocal sent
        await talk.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await talk.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sent += 65536

    await unusable(stage, floods)
    assert sent < 32 << 20  # what the kernel's buffers take


async def test_compressed_flood_is_not_unpacked(stage: Stage) -> None:
    """A bomb: a token behind a gibibyte of blanks. It is given up at 1 MiB of what comes out, not of what came in."""
    bomb = gzip.compress(b" " * (64 << 20)) * 16 + gzip.compress(OK)
    assert len(bomb) < 1 << 21
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB
    await unusable(stage, says(bomb, 200, "Content-Encoding: gzip", "Content-Type: application/json"))
    small = gzip.compress(b" " * (8 << 20) + OK)
    await unusable(stage, says(small, 200, "Content-Encoding: gzip"), calls=2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


@pytest.mark.parametrize("how", ["a byte at a time", "headers only", "nothing", "half a head"])
async def test_slow_answer_is_given_up_in_time(stage: Stage, how: str) -> None:
    """`request_timeout` is for all of it, however much trickles."""

    async def slow(talk: Talk) -> None:
        if how == "half a head":
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        elif how != "nothing":
            await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while how == "a byte at a time":
            await talk.send(b" ")
            await talk.reader.read(0)
            await asyncio.sleep(0.05)  # the pace of what trickles, not a wait for anything
        await talk.reader.read()

    answer, _ = await first_answer(stage, slow, tokens={"request_timeout": "300ms"})
    assert answer.error == "token_unavailable"
    stage.nothing_happened()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nshort",
    ],
    ids=range(7),
)
async def test_answer_that_is_no_http_is_one_failed_try(stage: Stage, answer: bytes) -> None:
    """Hung up, doubled lengths, another protocol, NUL, too many fields, broken chunks, cut short."""

    async def garbles(talk: Talk) -> None:
        await talk.send(answer)
        talk.writer.close()

    await unusable(stage, garbles)


async def test_reset_is_one_failed_try(stage: Stage) -> None:
    """In the middle of its request."""

    async def resets(talk: Talk) -> None:
        talk.reset()

    await unusable(stage, resets)


TEXTS = [
    "a\nb",
    "\x1b[31mred",
    "\u2028line",
    "\u202eright to left",
    "x" * (1 << 19),
    '{"event": "forged"}',
    SECRET,
]


@pytest.mark.parametrize("text", TEXTS, ids=lambda t: repr(t)[:20])
@pytest.mark.parametrize("member", ["error_description", "error", "error_uri"])
async def test_words_of_the_server_are_one_bounded_line(
    stage: Stage, case: Case, text: str, member: str
) -> None:
    """In the log only, as JSON, without the secret that they quote; nothing of them reaches the app."""
    members = {"error": "invalid_grant", member: text}
    answer = await unusable(stage, says(json.dumps(members).encode(), 400), status=502)
    lines = [line for line in case.log if "token_refresh_failed" in line]
    assert lines
    for line in lines:
        assert len(line) < 1000
        assert line[:-1].isprintable()
        assert json.loads(line)["event"] == "token_refresh_failed"
    if text not in ("a\nb",):
        assert text.encode()[:50] not in answer.body
    assert b"error_description" not in answer.body


async def test_request_is_exactly_what_was_configured(stage: Stage, tmp_path: Path) -> None:
    """One form POST: grant, scope, client; the second request at the proxy makes none."""
    heads: list[bytes] = []

    async def notes(talk: Talk) -> None:
        heads.append(talk.request.head)
        await talk.send(stage.tokens.answer(stage.tokens.forms[-1]))

    stage.tokens.script = notes
    async with stage.sidecar() as proxy:
        for _ in range(3):
            assert (await proxy.ask("/app/x")).status == 200
    assert stage.tokens.forms == [
        {
            "grant_type": ["client_credentials"],
            "scope": ["app.read"],
            "client_id": ["the-client"],
            "client_secret": [SECRET],
        }
    ]
    assert heads[0].startswith(b"POST /token HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded" in heads[0]
    assert b"canary" not in heads[0]  # the secret is in the form, not in the target or a field


async def test_narrower_scope_is_kept_under_what_was_asked_for(stage: Stage, case: Case) -> None:
    """The log shows what was granted; a route that wants other scopes has its own token all the same."""
    routes = [
        {"path": "/one", "credential": "app", "scopes": ["s.a"], "name": "one"},
        {"path": "/both", "credential": "app", "scopes": ["s.a", "s.b"], "name": "both"},
    ]

    async def narrows(talk: Talk) -> None:
        await talk.send(stage.tokens.answer(stage.tokens.forms[-1], scope="s.a"))

    stage.tokens.script = narrows
    async with stage.sidecar(routes=routes) as proxy:
        for _ in range(2):
            for path in ("/one", "/both"):
                assert (await proxy.ask(path)).status == 200
    assert sorted(form["scope"][0] for form in stage.tokens.forms) == ["s.a", "s.a s.b"]
    values = [request.all("Authorization")[0] for request in stage.upstream.requests]
    assert values[0] != values[1]
    assert values[:2] == values[2:]
    granted = [json.loads(line)["scopes"] for line in case.log if "token_obtained" in line]
    assert granted == [["s.a"], ["s.a"]]


def test_stage_says_whom_a_token_is_for(case: Any) -> None:
    """What the other tests of this folder read at the upstream."""
    token = RawTokens(case).issue({"subject_username": ["alice"], "scope": ["a b"]})
    assert bytes.fromhex(token.rpartition(".")[2]) == b"username=alice|a b"
