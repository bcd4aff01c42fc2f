"""Tokens over time: fetched once, fresh, and what the API's no means. Time is moved by hand."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.battery.case import Case
from tests.battery.stage import Stage, holder, http
from tests.fake_clock import FakeClock
from tests.harness import OK, Sidecar, Talk, until

pytestmark = pytest.mark.battery

REJECTED = http(401, b"no!", "WWW-Authenticate: Bearer")


async def passes(clock: FakeClock, proxy: Sidecar, seconds: float) -> None:
    """Time passes, and the token requests that fall due then are seen through."""
    clock.advance(seconds)
    await until(lambda: not proxy.app._store._fetches._tasks, "the token requests' end")


async def test_first_requests_of_ten_subjects_make_ten_token_requests(stage: Stage) -> None:
    """A hundred each, all at once, while the endpoint holds its answers back."""
    hold = asyncio.Event()

    async def held(talk: Talk) -> None:
        form = stage.tokens.forms[-1]
        await hold.wait()
        await talk.send(stage.tokens.answer(form))

    async with stage.sidecar() as proxy:
        stage.tokens.script = held

        async def asks(subject: str) -> int:
            return (await proxy.ask("/agent/x", f"X-On-Behalf-Of: {subject}")).status

        asking = [asyncio.create_task(asks(f"person-{n % 10}")) for n in range(1000)]
        await until(lambda: proxy.app.metrics.in_flight == 1000)
        hold.set()
        assert {await task for task in asking} <= {200}
        assert stage.tokens.calls == 11


async def test_failed_fetch_fails_all_who_wait_at_once(stage: Stage) -> None:
    """The same clean error for each, and the next of them is told when to come back."""
    hold = asyncio.Event()

    async def fails(talk: Talk) -> None:
        await hold.wait()
        await talk.send(http(500, b"canary stack trace"))

    async with stage.sidecar(FakeClock()) as proxy:
        stage.tokens.script = fails
        asking = [asyncio.create_task(proxy.ask("/agent/x", "X-On-Behalf-Of: alice")) for _ in range(100)]
        await until(lambda: proxy.app.metrics.in_flight == 100)
        hold.set()
        answers = [await task for task in asking]
        assert {(a.status, a.error) for a in answers} == {(503, "token_unavailable")}
        assert all(a.all("Retry-After") for a in answers)
        assert len({a.body for a in answers}) == 1
        assert stage.tokens.calls == 2


async def test_outage_makes_no_storm_and_its_end_is_noticed(stage: Stage) -> None:
    """A thousand requests over ten seconds: token requests as the back-off has them, then service again."""

    async def down(talk: Talk) -> None:
        await talk.send(http(500, b""))

    stage.tokens.script = down
    clock = FakeClock()
    async with stage.sidecar(clock, ready=False, log={"level": "warning"}) as proxy:
        caller = await proxy.caller()
        proxy.app._store._shared.draw = lambda: 1.0  # no jitter: 1, 2, 4, 8 s
        for _ in range(1000):
            await passes(clock, proxy, 0.01)
            assert (await caller.ask("/app/x")).status == 503
        assert stage.tokens.calls <= 5
        stage.tokens.script = None
        await passes(clock, proxy, 8)
        assert (await caller.ask("/app/x")).status == 200


async def test_ten_second_tokens_are_never_waited_for_and_never_expired(stage: Stage) -> None:
    """Twenty requests a second for a minute: refreshed at half the lifetime, so that a slow endpoint is no gap."""
    clock, issued = FakeClock(), {}
    stage.tokens.lifetime = 10

    async def notes(talk: Talk) -> None:
        answer = stage.tokens.answer(stage.tokens.forms[-1])
        issued[json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"]] = clock.now()
        await talk.send(answer)

    async def looks(talk: Talk) -> None:
        token = talk.request.all("Authorization")[0].removeprefix("Bearer ")
        assert clock.now() - issued[token] <= 5.1
        await talk.send(OK)

    stage.tokens.script, stage.upstream.script = notes, looks
    async with stage.sidecar(clock, log={"level": "warning"}) as proxy:
        caller = await proxy.caller()
        for _ in range(1200):
            await passes(clock, proxy, 0.05)
            assert (await caller.ask("/app/x")).status == 200
        assert await proxy.metric("auth_sidecar_token_wait_seconds_count", credential="app") == 0
    assert stage.tokens.calls <= 14


@pytest.mark.parametrize("how", ["hangs", "resets", "answers 500", "answers late"])
async def test_token_serves_to_its_end_while_the_endpoint_is_of_no_use(stage: Stage, how: str) -> None:
    """Refreshing has begun and does not end; readiness stays, requests are served, then 503 and never an old token."""
    clock = FakeClock()
    stage.tokens.lifetime = 100
    hold = asyncio.Event()

    async def useless(talk: Talk) -> None:
        if how == "resets":
            talk.reset()
        elif how == "answers 500":
            await talk.send(http(500, b""))
        else:
            form = stage.tokens.forms[-1]
            await hold.wait()
            if how == "hangs":
                talk.reset()
            else:
                await talk.send(stage.tokens.answer(form))

    async with stage.sidecar(clock) as proxy:
        stage.tokens.script = useless
        clock.advance(50)
        await until(lambda: stage.tokens.calls == 2)
        for _ in range(39):
            clock.advance(1)
            assert (await proxy.ask("/app/x")).status == 200
        assert not proxy.app.missing()
        clock.advance(2)  # 91 s: its last tenth is not used
        assert len(stage.upstream.requests) == 39
        if how in ("hangs", "answers late"):
            waiting = asyncio.create_task(proxy.ask("/app/x"))
            await until(lambda: proxy.app.metrics.in_flight == 1)
            hold.set()
            # The late one is 41 s old when it comes, and good for another 49.
            assert (await waiting).status == (503 if how == "hangs" else 200)
        else:
            assert (await proxy.ask("/app/x")).error == "token_unavailable"


async def test_token_that_ends_while_a_connection_is_waited_for_is_not_sent(stage: Stage) -> None:
    """It was good when the request came; by the time there is a connection it is over, and there is no other."""
    clock, hold = FakeClock(), asyncio.Event()
    stage.tokens.lifetime = 100

    async def held(talk: Talk) -> None:
        await hold.wait()
        await talk.send(OK)

    async def down(talk: Talk) -> None:
        await talk.send(http(500, b""))

    stage.upstream.script = held
    async with stage.sidecar(clock, upstream={"max_connections": 1, "connect_timeout": "20s"}) as proxy:
        first = asyncio.create_task(proxy.ask("/app/x"))
        await until(lambda: stage.upstream.requests)
        second = asyncio.create_task(proxy.ask("/app/x"))
        await until(lambda: proxy.app.proxy.serving.pool._waiters, "the second waiting for a connection")
        stage.tokens.script = down
        await passes(clock, proxy, 91)
        hold.set()
        assert (await first).status == 200
        assert (await second).error == "token_unavailable"
        assert len(stage.upstream.requests) == 1


async def test_rejected_token_is_replaced_once(proxy: Sidecar, stage: Stage) -> None:
    """401: that token is dropped, one token request, one more try; the caller sees 200."""
    await proxy.ask("/app/x")
    dead = stage.upstream.requests[0].all("Authorization")

    async def checks(talk: Talk) -> None:
        await talk.body()
        await talk.send(REJECTED if talk.request.all("Authorization") == dead else OK)

    stage.upstream.script = checks
    assert (await proxy.ask("/app/x", method="POST", body=b"again")).status == 200
    assert [r.body for r in stage.upstream.requests] == [b"", b"again", b"again"]
    assert stage.tokens.calls == 2


@pytest.mark.parametrize(
    "challenge",
    [
        "Bearer",
        'Bearer error="invalid_token"',
        'Bearer error="insufficient_scope", scope="more"',
        "Negotiate",
        "Basic realm=x",
        'Digest realm="x", nonce="y"',
        "",
    ],
)
async def test_permanent_401_makes_neither_a_loop_nor_a_storm(stage: Stage, challenge: str) -> None:
    """Whatever it challenges for: at most two tries each, and hardly a token request."""

    async def never(talk: Talk) -> None:
        await talk.send(http(401, b"never", *([f"WWW-Authenticate: {challenge}"] if challenge else [])))

    stage.upstream.script = never
    async with stage.sidecar(log={"level": "warning"}) as proxy:
        caller = await proxy.caller()
        for _ in range(150):
            answer = await caller.ask("/app/x")
            assert (answer.status, answer.body, answer.error) == (401, b"never", None)
            assert answer.all("WWW-Authenticate") == ([challenge] if challenge else [])
        assert len(stage.upstream.requests) <= 2 * 150
        assert stage.tokens.calls <= 4


async def test_thousand_rejected_requests_make_few_token_requests(stage: Stage) -> None:
    """Over a hundred seconds: one in ten seconds."""
    clock = FakeClock()

    async def never(talk: Talk) -> None:
        await talk.send(REJECTED)

    stage.upstream.script = never
    async with stage.sidecar(clock, log={"level": "warning"}) as proxy:
        caller = await proxy.caller()
        for _ in range(1000):
            await passes(clock, proxy, 0.1)
            assert (await caller.ask("/app/x")).status == 401
        assert len(stage.upstream.requests) <= 1020
        assert stage.tokens.calls <= 20


@pytest.mark.parametrize("code", ["403-197", "403-112"])
async def test_forbidden_is_passed_on_and_told_once(stage: Stage, case: Case, code: str) -> None:
    """No other token, no second try; one line names the route and what its token may do."""
    body = json.dumps({"code": code, "developerMessage": "must have 'more' scope"}).encode()

    async def forbids(talk: Talk) -> None:
        await talk.send(http(403, body, 'WWW-Authenticate: Bearer error="insufficient_scope"'))

    stage.upstream.script = forbids
    async with stage.sidecar() as proxy:
        for _ in range(5):
            answer = await proxy.ask("/app/x")
            assert (answer.status, answer.body, answer.error) == (403, body, None)
        assert len(stage.upstream.requests) == 5
        assert stage.tokens.calls == 1
    lines = [json.loads(line) for line in case.log if '"scopes": ["app.read"], "' in line]
    lines = [line for line in lines if line["event"] in ("route_map_gap", "upstream_forbidden")]
    assert [line["route"] for line in lines] == ["app"]


@pytest.mark.parametrize(("lifetime", "statuses"), [(0, {503}), (0.2, {200, 503}), (1, {200}), (1.2, {200})])
async def test_fleeting_tokens_make_no_hot_loop(stage: Stage, lifetime: float, statuses: set[int]) -> None:
    """Fifty requests a second: at most two token requests a second, and none once nobody asks."""
    clock = FakeClock()
    stage.tokens.lifetime = lifetime
    async with stage.sidecar(clock, ready=False, log={"level": "warning"}) as proxy:
        caller = await proxy.caller()
        await until(lambda: stage.tokens.calls and not proxy.app._store._fetches._tasks)
        seen = set()
        for _ in range(250):
            await passes(clock, proxy, 0.02)
            seen.add((await caller.ask("/app/x")).status)
        assert seen == statuses
        assert stage.tokens.calls <= 2 * 5 + 2
        if 200 in statuses:
            await passes(clock, proxy, 10)
            quiet = stage.tokens.calls
            for _ in range(60):  # in steps: what falls due is asked for within each
                await passes(clock, proxy, 1)
            assert stage.tokens.calls <= quiet + 1


async def test_unused_scopes_and_unknown_subjects_fetch_nothing(proxy: Sidecar, stage: Stage) -> None:
    """Scrapes, health checks and refused requests never reach the token endpoint."""
    for page in ("/metrics", "/status", "/status.json", "/config", "/readyz", "/healthz"):
        for _ in range(3):
            await proxy.page(page)
    for target in ("/nowhere", "/agent/x", "/app/%2f", "/open/x"):
        await proxy.ask(target)
    assert stage.tokens.calls == 1
    assert [holder(r)[0] for r in stage.upstream.requests if r.all("Authorization")] == []
