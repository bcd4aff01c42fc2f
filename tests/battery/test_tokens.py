"""Tokens on requests: the right one, fresh, and what happens when the upstream says 401."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest

from sidecar.demo.standin import StandIn
from tests.harness import OK, Answer, RawUpstream, Sidecar, Talk, answer_ok, sidecar, until, with_tokens

UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 3\r\n\r\nno!"


@pytest.fixture
async def proxy(egain: StandIn, upstream: RawUpstream, tmp_path: Path) -> AsyncIterator[Sidecar]:
    async with sidecar(with_tokens(egain, upstream.url, tmp_path), tmp_path) as started:
        await until(lambda: not started.app.missing())
        yield started


def claims(upstream: RawUpstream, index: int = -1) -> dict[str, object]:
    """Of the one token that the upstream got."""
    (value,) = upstream.requests[index].all("Authorization")
    scheme, _, token = value.partition(" ")
    assert scheme == "Bearer"
    found: dict[str, object] = jwt.decode(token, options={"verify_signature": False})
    return found


def tokens_at(upstream: RawUpstream) -> list[str]:
    return [value for request in upstream.requests for value in request.all("Authorization")]


async def test_callers_authorization_is_replaced_never_appended(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """Whatever spelling and number; exactly one reaches the upstream, and it is ours."""
    await proxy.ask("/app/x", "authorization: Bearer mine", "Authorization: Basic eA==")
    assert claims(upstream)["scope"] == "app.knowledge.portalmgr.read"


async def test_each_route_has_exactly_its_scopes(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """Also when one credential serves several routes; `union` asks for all of them at once."""
    read, manage = "app.knowledge.portalmgr.read", "app.knowledge.portalmgr.manage"
    routes = [
        {"path": "/r", "credential": "app", "scopes": [read]},
        {"path": "/m", "methods": ["GET"], "credential": "app", "scopes": [manage]},
        {"path": "/m", "methods": ["POST"], "credential": "app", "scopes": [read]},
    ]
    asked = [("/r", "GET"), ("/m", "GET"), ("/m", "POST"), ("/m", "HEAD")]
    for kind, expected in (("per_route", [{read}, {manage}, {read}]), ("union", [{read, manage}] * 3)):
        mapping = with_tokens(egain, upstream.url, tmp_path, routes=routes, tokens={"scopes": kind})
        async with sidecar(mapping, tmp_path) as started:
            for path, method in asked[:3]:
                await started.ask(path, method=method)
            got = [set(str(claims(upstream, n)["scope"]).split()) for n in (-3, -2, -1)]
            assert got == expected


async def test_subject_is_never_mixed_up(proxy: Sidecar, upstream: RawUpstream, egain: StandIn) -> None:
    """Many subjects at once, one connection each: the token's subject is the request's, every time."""
    egain.directory.open = True
    names = [f"user{n % 17}" for n in range(170)]
    answers = await asyncio.gather(
        *(proxy.ask("/agent/x", f"X-On-Behalf-Of: {n}", f"X-Name: {n}") for n in names)
    )
    assert {a.status for a in answers} == {200}
    for index, request in enumerate(upstream.requests):
        assert claims(upstream, index)["sub"] == request.all("X-Name")[0]
        assert request.all("X-On-Behalf-Of") == []
    assert len({r.subject for r in egain.token_requests if r.subject}) == 17
    assert len([r for r in egain.token_requests if r.subject]) == 17


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ([], 400, "subject_missing"),
        (["X-On-Behalf-Of:"], 400, "subject_missing"),
        (["X_On_Behalf_Of: alice"], 400, "subject_missing"),
        (["X-On-Behalf-Of: alice", "X-On-Behalf-Of: bob"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: alice", "X-On-Behalf-Of: alice"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: alice", "X-On_Behalf-Of: bob"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: alice,bob"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: alice bob"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: a\tb"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: " + "\xff\xfe"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: " + "\xe2\x80\x8balice"], 400, "subject_invalid"),
        (["X-On-Behalf-Of: " + "x" * 1025], 400, "subject_invalid"),
    ],
)
async def test_subject_that_is_not_one_text_is_refused(
    proxy: Sidecar, upstream: RawUpstream, headers: list[str], status: int, error: str
) -> None:
    """No guess, no fall-back to another credential, no token request; the subject is not in the answer."""
    before = len(upstream.requests)
    answer = await proxy.ask("/agent/x", *headers)
    assert (answer.status, answer.error) == (status, error)
    assert b"alice" not in answer.body
    assert len(upstream.requests) == before


async def test_subject_outside_allow_subjects_is_refused(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """Glob patterns, case-sensitive."""
    mapping = with_tokens(egain, upstream.url, tmp_path)
    mapping["credentials"]["agent"]["allow_subjects"] = ["al*", "b?b"]
    async with sidecar(mapping, tmp_path) as started:
        statuses = [
            (await started.ask("/agent/x", f"X-On-Behalf-Of: {name}")).status
            for name in ("alice", "bob", "Alice", "pa", "bobb")
        ]
        assert statuses == [200, 200, 403, 403, 403]


async def test_subject_crosses_as_the_same_text(
    proxy: Sidecar, upstream: RawUpstream, egain: StandIn
) -> None:
    """Characters that mean something in a form or URL mean nothing here."""
    egain.directory.open = True
    for name in ("alice&scope=admin", "a%26b", "a+b=c", "Ünïcödé", "alice.", "Alice"):
        header = "X-On-Behalf-Of: " + name.encode().decode("latin-1")
        assert (await proxy.ask("/agent/x", header)).status == 200
        assert claims(upstream)["sub"] == name


async def test_exchange_sends_the_callers_token_to_the_token_endpoint_only(
    proxy: Sidecar, upstream: RawUpstream, egain: StandIn
) -> None:
    """The upstream gets eGain's token; without a bearer token the caller is asked for one."""
    mine = egain.idp_token("alice@example.com")
    assert (await proxy.ask("/okta/x", f"Authorization: Bearer {mine}")).status == 200
    assert claims(upstream)["sub"] == "alice"
    assert mine not in str(tokens_at(upstream))
    for headers, error in (
        ([], "subject_token_missing"),
        (["Authorization: Basic eA=="], "subject_token_missing"),
        (["Authorization: Bearer"], "subject_token_missing"),
        (["Authorization: Bearer a b"], "subject_token_invalid"),
        ([f"Authorization: Bearer {mine}", "Authorization: Bearer x"], "subject_token_invalid"),
    ):
        answer = await proxy.ask("/okta/x", *headers)
        assert answer.status == 401
        assert answer.all("WWW-Authenticate")[0].startswith("Bearer")
        assert answer.error in (error, "subject_token_invalid")


async def test_upstream_401_is_mended_by_a_new_token(proxy: Sidecar, upstream: RawUpstream) -> None:
    """The caller gets its 200, the body was sent again, and the metrics tell."""
    revoked = set(tokens_at(upstream))
    await proxy.ask("/app/x")
    revoked |= set(tokens_at(upstream))

    async def checks(talk: Talk) -> None:
        await talk.body()
        await talk.send(UNAUTHORIZED if talk.request.all("Authorization")[0] in revoked else OK)

    upstream.script = checks
    answer = await proxy.ask("/app/x", method="POST", body=b"the body")
    assert (answer.status, answer.body) == (200, b"ok")
    assert [r.body for r in upstream.requests[-2:]] == [b"the body"] * 2
    assert len(set(tokens_at(upstream)[-2:])) == 2
    assert await proxy.metric("auth_sidecar_replays_total", route="app", outcome="ok") == 1
    assert await proxy.metric("auth_sidecar_upstream_rejections_total", route="app", status="401") == 1
    assert await proxy.metric("auth_sidecar_tokens_dropped_total", credential="app", reason="rejected") == 1


async def test_one_fetch_however_many_requests_saw_the_401(
    proxy: Sidecar, upstream: RawUpstream, egain: StandIn
) -> None:
    """A hundred requests at once with a revoked token: one new token."""
    await proxy.ask("/app/x")
    revoked = set(tokens_at(upstream))
    barrier = asyncio.Barrier(100)

    async def checks(talk: Talk) -> None:
        if talk.request.all("Authorization")[0] in revoked:
            await barrier.wait()
            await talk.send(UNAUTHORIZED)
        else:
            await talk.send(OK)

    upstream.script = checks
    before = len(egain.token_requests)
    answers = await asyncio.gather(*(proxy.ask("/app/x") for _ in range(100)))
    assert {a.status for a in answers} == {200}
    assert len(egain.token_requests) == before + 1


async def test_permanent_401_is_passed_on_and_makes_no_storm(
    proxy: Sidecar, upstream: RawUpstream, egain: StandIn
) -> None:
    """At most two requests at the upstream each, and few token requests over all."""

    async def never(talk: Talk) -> None:
        await talk.body()
        await talk.send(UNAUTHORIZED)

    upstream.script = never
    before, caller = len(egain.token_requests), await proxy.caller()
    for _ in range(50):
        answer = await caller.ask("/app/x", method="POST", body=b"x")
        assert (answer.status, answer.body, answer.error) == (401, b"no!", None)
    assert len(upstream.requests) <= 51
    assert len(egain.token_requests) - before == 1
    assert await proxy.metric("auth_sidecar_replays_total", route="app", outcome="rejected_again") == 1


async def test_401_to_a_body_too_large_to_keep_is_passed_on(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """Nothing half is ever sent again; the next request has a new token."""
    mapping = with_tokens(egain, upstream.url, tmp_path, limits={"replay_body": "1KiB"})
    async with sidecar(mapping, tmp_path) as started:
        await started.ask("/app/x")
        revoked = set(tokens_at(upstream))

        async def checks(talk: Talk) -> None:
            await talk.body()
            await talk.send(UNAUTHORIZED if talk.request.all("Authorization")[0] in revoked else OK)

        upstream.script = checks
        assert (await started.ask("/app/x", method="PUT", body=b"x" * 1025)).status == 401
        assert (await started.ask("/app/x", method="PUT", body=b"x" * 1024)).status == 200
        assert await started.metric("auth_sidecar_replays_total", route="app", outcome="not_replayable") == 1


async def test_early_401_to_a_small_streamed_body_is_mended(proxy: Sidecar, upstream: RawUpstream) -> None:
    """What has arrived is sent again, and what still arrives behind it."""
    await proxy.ask("/app/x")
    revoked = set(tokens_at(upstream))

    async def checks(talk: Talk) -> None:
        if talk.request.all("Authorization")[0] in revoked:
            await talk.reader.readuntil(b"abc")
            await talk.send(UNAUTHORIZED)
            await talk.reader.read(100)
        else:
            await answer_ok(talk)

    upstream.script = checks
    caller = await proxy.caller()
    await caller.send(
        b"POST /app/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    )
    await until(lambda: len(upstream.requests) == 3)
    await caller.send(b"3\r\ndef\r\n0\r\n\r\n")
    assert (await caller.answer()).body == b"ok"
    assert upstream.requests[-1].body == b"abcdef"


async def test_early_401_to_a_body_that_outgrows_replay_body_loses_nothing(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """What arrives while the 401 is still being read is for the next attempt, behind what is kept."""
    await proxy.ask("/app/x")
    revoked, answered = set(tokens_at(upstream)), asyncio.Event()

    async def checks(talk: Talk) -> None:
        if talk.request.all("Authorization")[0] in revoked:
            await talk.reader.readuntil(b"AAA")
            await talk.send(UNAUTHORIZED[:-1])
            answered.set()
            await talk.reader.read()
        else:
            await answer_ok(talk)

    upstream.script = checks
    caller = await proxy.caller()
    await caller.send(
        b"POST /app/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nAAA\r\n"
    )
    await answered.wait()
    for _ in range(10):
        await caller.send(b"3e80\r\n" + b"B" * 16000 + b"\r\n")
    await caller.send(b"0\r\n\r\n")
    assert (await caller.answer()).body == b"ok"
    assert upstream.requests[-1].body == b"AAA" + b"B" * 160_000


async def test_403_and_429_are_passed_on(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No new token, no second try; the refusal is counted, and one line names the route and its scopes."""
    async with sidecar(with_tokens(egain, upstream.url, tmp_path), tmp_path) as proxy:
        await until(lambda: not proxy.app.missing())
        before = len(egain.token_requests)
        for status in (403, 429):
            answer = b"HTTP/1.1 %d No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n" % status

            async def refuse(talk: Talk, answer: bytes = answer) -> None:
                await talk.send(answer)

            upstream.script = refuse
            for _ in range(3):
                got = await proxy.ask("/app/x")
                assert (got.status, got.all("Retry-After"), got.error) == (status, ["7"], None)
        assert len(egain.token_requests) == before
        assert await proxy.metric("auth_sidecar_upstream_rejections_total", route="app", status="403") == 3
    lines = [line for line in capfd.readouterr().err.splitlines() if "upstream_forbidden" in line]
    assert len(lines) == 1
    assert '"route": "app"' in lines[0]
    assert '"scopes": ["app.knowledge.portalmgr.read"]' in lines[0]


@pytest.mark.parametrize(
    ("field", "body", "lacks", "wanted"),
    [
        (
            "",
            b'{"code":"403-197","developerMessage":"Unauthorized URL access: Logged in actor must have '
            b"'knowledge.portalmgr.manage core.x' scope to access this URL.\"}",
            "scope",
            ["knowledge.portalmgr.manage", "core.x"],
        ),
        ("", b'{"developerMessage": "no", "code" : "403-112"}', "persona", []),
        ('WWW-Authenticate: Bearer error="insufficient_scope", scope="a b"\r\n', b"", "scope", ["a", "b"]),
        ("", b'{"code":"403-197","developerMessage":"must have \'a\nb\' scope"}', "scope", []),
    ],
    ids=["eGain's scope", "eGain's persona", "RFC 6750", "no scope at all"],
)
async def test_403_that_says_what_the_map_lacks_is_counted_and_told_once(
    egain: StandIn,
    upstream: RawUpstream,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    field: str,
    body: bytes,
    lacks: str,
    wanted: list[str],
) -> None:
    """One line names the route, what it lacks and the scopes it has; the answer crosses as it is, in pieces too."""
    head = f"HTTP/1.1 403 Forbidden\r\n{field}Content-Length: {len(body)}\r\n\r\n".encode()

    async def refuse(talk: Talk) -> None:
        await talk.send(head + body[:20])
        await asyncio.sleep(0)
        await talk.send(body[20:])

    async with sidecar(with_tokens(egain, upstream.url, tmp_path), tmp_path) as proxy:
        await until(lambda: not proxy.app.missing())
        upstream.script = refuse
        for _ in range(3):
            got = await proxy.ask("/app/x")
            assert (got.status, got.body, got.error) == (403, body, None)
        assert await proxy.metric("auth_sidecar_route_map_gaps_total", route="app", lacks=lacks) == 3
    said = capfd.readouterr().err
    lines = [json.loads(line) for line in said.splitlines() if "route_map_gap" in line]
    assert len(lines) == 1
    assert (lines[0]["route"], lines[0]["lacks"], lines[0]["wanted"]) == ("app", lacks, wanted)
    assert lines[0]["scopes"] == ["app.knowledge.portalmgr.read"]
    assert "upstream_forbidden" not in said


def problem(answer: Answer) -> dict[str, object]:
    found: dict[str, object] = json.loads(answer.body)
    assert answer.all("Content-Type") == ["application/problem+json"]
    assert found["type"] == f"urn:auth-sidecar:{answer.error}"
    assert (found["code"], found["status"]) == (answer.error, answer.status)
    return found


async def test_no_token_is_503_with_retry_after_never_401(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """The authorization server is down: not the caller's fault, and nothing goes up without a token."""
    egain.faults.token.on(kind="status", status=500)
    mapping = with_tokens(egain, upstream.url, tmp_path, refresh={"retry": {"initial": "20s", "max": "20s"}})
    async with sidecar(mapping, tmp_path) as started:
        answer = await started.ask("/app/x")
        assert (answer.status, answer.error) == (503, "token_unavailable")
        assert int(answer.all("Retry-After")[0]) in range(1, 21)
        assert problem(answer)["credential"] == "app"
        assert not upstream.requests
        assert (await started.ask("/open/x")).status == 200


async def test_refused_token_is_502_with_the_oauth_error(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """Who refused, and why, without anything the server wrote in its own words."""
    mapping = with_tokens(egain, upstream.url, tmp_path)
    mapping["routes"][0]["scopes"] = ["app.no.such.scope"]
    async with sidecar(mapping, tmp_path) as started:
        answer = await started.ask("/app/x")
        assert (answer.status, answer.error) == (502, "token_refused")
        found = problem(answer)
        assert (found["oauth_error"], found["route"], found["credential"]) == ("invalid_scope", "app", "app")


async def test_dead_subject_never_falls_back_to_another_identity(
    proxy: Sidecar, upstream: RawUpstream, egain: StandIn
) -> None:
    """An unknown user is refused, and only that user."""
    assert (await proxy.ask("/agent/x", "X-On-Behalf-Of: nobody")).status == 502
    assert (await proxy.ask("/agent/x", "X-On-Behalf-Of: alice")).status == 200
    assert [claims(upstream, n)["sub"] for n in range(len(upstream.requests))] == ["alice"]


async def test_claim_of_the_verified_token_is_the_subject(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """{claim: NAME}: signature, issuer, audience and expiry are checked before anything is believed."""
    mapping = with_tokens(egain, upstream.url, tmp_path)
    mapping["credentials"]["agent"].update(subject={"username": {"claim": "preferred_username"}})
    del mapping["credentials"]["agent"]["allow_subjects"]
    mapping["identity"] = {
        "jwks_url": egain.idp_jwks_url, "issuer": egain.idp_issuer, "audience": egain.idp_audience, "leeway": "1s",
    }  # fmt: skip
    async with sidecar(mapping, tmp_path) as started:

        async def ask(token: str) -> Answer:
            return await started.ask("/agent/x", f"Authorization: Bearer {token}", "X-On-Behalf-Of: bob")

        good = egain.idp_token("x@example.com", preferred_username="alice")
        assert (await ask(good)).status == 200
        assert (await ask(good)).status == 200
        assert claims(upstream)["sub"] == "alice"
        for bad in (
            egain.idp_token("x@example.com", preferred_username="alice", lifetime=-60),
            egain.idp_token("x@example.com", preferred_username="alice", iss="https://evil"),
            egain.idp_token("x@example.com", preferred_username="alice", aud="other"),
            good[:-4] + "AAAA",
            jwt.encode({"preferred_username": "alice"}, "k" * 32, algorithm="HS256"),
            jwt.encode({"preferred_username": "alice"}, "", algorithm="none"),
            "garbage",
        ):
            answer = await ask(bad)
            assert (answer.status, answer.error) == (401, "subject_token_invalid")
        answer = await ask(egain.idp_token("x@example.com"))
        assert (answer.status, answer.error) == (400, "subject_missing")
        assert len(upstream.requests) == 2


async def test_nothing_secret_is_in_logs_metrics_pages_or_errors(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """At debug level, over good and bad requests: no token, secret, subject, query string or body."""
    mine = egain.idp_token("alice@example.com")
    async with sidecar(with_tokens(egain, upstream.url, tmp_path), tmp_path) as proxy:
        await until(lambda: not proxy.app.missing())
        bodies = [
            (await proxy.ask(*request)).body
            for request in (
                ("/app/x?canary-query=1",),
                ("/agent/x", "X-On-Behalf-Of: alice"),
                ("/agent/x", "X-On-Behalf-Of: canary-subject"),
                ("/okta/x", f"Authorization: Bearer {mine}"),
                ("/okta/x", "Authorization: Bearer canary-token"),
                ("/nowhere/canary-path",),
            )
        ]
        host, _, port = proxy.app.admin_address.rpartition(":")
        for page in ("/metrics", "/status", "/status.json", "/config", "/readyz"):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET {page} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            bodies.append(await reader.read())
            writer.close()
    captured = capfd.readouterr()
    assert "token_obtained" in captured.err
    assert captured.err.count('"event": "request"') == 6
    everything = b"".join(bodies[3:]).decode() + captured.err + captured.out
    tokens = [value.removeprefix("Bearer ") for value in tokens_at(upstream)]
    for secret in (egain.client_secret, mine, *tokens, "alice", "canary"):
        assert secret not in everything
