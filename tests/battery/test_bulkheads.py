"""One thing that hangs, and all others go on: shown by what completes while it hangs, never by the clock."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.battery.stage import HOST, Stage, get, http
from tests.harness import DEADLINE, Answer, Caller, Sidecar, Talk, answer_ok, until

pytestmark = pytest.mark.battery


async def all_others_are_served(proxy: Sidecar, *ways: tuple[str, ...], times: int = 20) -> None:
    """Each way in turn, on connections of their own and on kept ones."""
    kept = await proxy.caller()
    for _ in range(times):
        for target, *headers in ways:
            assert (await kept.ask(target, *headers)).status == 200
            assert (await proxy.ask(target, *headers)).status == 200


def hanging(stage: Stage, subject: str | None) -> asyncio.Event:
    """Token requests of this subject (None: the application's) hang until the event is set."""
    go = asyncio.Event()

    async def hangs(talk: Talk) -> None:
        form = stage.tokens.forms[-1]
        if form.get("subject_username", [None])[0] == subject:
            await go.wait()
        await talk.send(stage.tokens.answer(form))

    stage.tokens.script = hangs
    return go


async def test_hanging_token_endpoint_of_one_credential_holds_up_its_own_requests_only(stage: Stage) -> None:
    """Two hundred wait for the application's token; people's, and routes without one, are served meanwhile."""
    go = hanging(stage, None)
    async with stage.sidecar(ready=False) as proxy:
        stuck = [asyncio.create_task(proxy.ask("/app/x")) for _ in range(200)]
        await until(lambda: proxy.app.metrics.in_flight == 200)
        await all_others_are_served(proxy, ("/agent/x", "X-On-Behalf-Of: alice"), ("/open/x",))
        assert proxy.app.metrics.in_flight == 200
        go.set()
        assert {(await task).status for task in stuck} == {200}


async def test_hanging_endpoint_with_many_subjects_holds_up_no_other_credential(stage: Stage) -> None:
    """A hundred subjects, more than may ask at once for one credential; another one has its own lane."""
    go = asyncio.Event()

    async def hangs(talk: Talk) -> None:
        form = stage.tokens.forms[-1]
        if "subject_username" in form:
            await go.wait()
        await talk.send(stage.tokens.answer(form))

    stage.tokens.script = hangs
    async with stage.sidecar() as proxy:
        stuck = [
            asyncio.create_task(proxy.ask("/agent/x", f"X-On-Behalf-Of: person-{n}")) for n in range(100)
        ]
        await until(lambda: stage.tokens.under_way == 16)
        await all_others_are_served(proxy, ("/byid/x", "X-User: 12345"), ("/app/x",), ("/open/x",), times=5)
        assert stage.tokens.under_way == 16
        go.set()
        assert {(await task).status for task in stuck} == {200}


async def test_one_subject_that_hangs_holds_up_no_other_subject(stage: Stage) -> None:
    """Of the same credential and the same route."""
    go = hanging(stage, "person-loud")
    async with stage.sidecar() as proxy:
        stuck = [
            asyncio.create_task(proxy.ask("/agent/x", "X-On-Behalf-Of: person-loud")) for _ in range(200)
        ]
        await until(lambda: stage.tokens.under_way == 1 and proxy.app.metrics.in_flight == 200)
        await all_others_are_served(proxy, ("/agent/x", "X-On-Behalf-Of: person-calm"), ("/app/x",))
        assert stage.tokens.calls == 3
        go.set()
        assert {(await task).status for task in stuck} == {200}


async def test_noisy_subject_that_is_refused_costs_the_others_nothing(stage: Stage) -> None:
    """It asks without pause and is refused each time; the endpoint hears of it now and then, the others are served."""

    async def refuses(talk: Talk) -> None:
        form = stage.tokens.forms[-1]
        refused = form.get("subject_username") == ["person-loud"]
        await talk.send(http(400, b'{"error":"invalid_grant"}') if refused else stage.tokens.answer(form))

    stage.tokens.script = refuses
    async with stage.sidecar(log={"level": "error"}) as proxy:
        stop = asyncio.Event()

        async def makes_noise() -> int:
            caller, asked = await proxy.caller(), 0
            while not stop.is_set():
                assert (await caller.ask("/agent/x", "X-On-Behalf-Of: person-loud")).status == 502
                asked += 1
            return asked

        noise = [asyncio.create_task(makes_noise()) for _ in range(8)]
        await all_others_are_served(
            proxy, ("/agent/x", "X-On-Behalf-Of: person-calm"), ("/app/x",), ("/open/x",)
        )
        stop.set()
        assert sum([await task for task in noise]) > 8
        assert sum(form.get("subject_username") == ["person-loud"] for form in stage.tokens.forms) < 20


@contextlib.asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A port whose connections are never set up: the queue of its listener is full."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize("how", ["refused", "black hole", "no such name", "slow resolver"])
async def test_unreachable_token_endpoint_is_bounded_and_its_own_affair(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """Its requests end with 503 within the time limit; all others go on meanwhile."""
    resolving = asyncio.Event()

    async def never(*args: Any, **named: Any) -> Any:
        resolving.set()
        await asyncio.Event().wait()

    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(black_hole())
        if how == "refused":
            port = 1
        host = "127.0.0.1"
        if how == "no such name":
            host = "no-such-host.invalid"
        if how == "slow resolver":
            host = "slow.invalid"
            monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", never)
        credentials = {
            "lost": {
                "grant": "on_behalf_of",
                "token_url": f"http://{host}:{port}/token",
                "insecure": True,
                "subject": {"username": {"header": "X-Lost"}},
                "allow_subjects": ["*"],
            }
        }
        if host == "127.0.0.1":
            del credentials["lost"]["insecure"]
        mapping = stage.mapping()
        routes = [
            *mapping["routes"],
            {"path": "/lost/**", "credential": "lost", "scopes": ["x"], "name": "lost"},
        ]
        proxy = await stack.enter_async_context(
            stage.sidecar(credentials=credentials, routes=routes, tokens={"request_timeout": "2s"})
        )
        lost = asyncio.create_task(proxy.ask("/lost/x", "X-Lost: somebody"))
        await until(lambda: lost.done() or proxy.app.metrics.in_flight == 1)
        await all_others_are_served(proxy, ("/app/x",), ("/open/x",), times=3)
        answer = await lost
        assert (answer.status, answer.error) == (503, "token_unavailable")


async def test_blackholed_address_beside_a_good_one_is_passed_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The upstream's name has two addresses, the first of which never answers."""
    async with black_hole() as port:
        loop = asyncio.get_running_loop()
        good = stage.upstream.port

        async def two(host: str, wanted: int, **named: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", p)) for p in (port, good)]

        async with stage.sidecar() as proxy:
            monkeypatch.setattr("sidecar.proxy.pool.asyncio.get_running_loop", lambda: _Resolving(loop, two))
            assert (await proxy.ask("/open/x")).status == 200


class _Resolving:
    """A loop with another look-up."""

    def __init__(self, loop: asyncio.AbstractEventLoop, look_up: Any) -> None:
        self._loop = loop
        self.getaddrinfo = look_up

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


async def slow_for(paths: str, go: asyncio.Event, talk: Talk) -> None:
    await talk.body()
    if talk.request.target.startswith(paths):
        await go.wait()
    await answer_ok(talk)


async def test_slow_upstream_requests_hold_up_no_quick_ones(stage: Stage) -> None:
    """A hundred are waited for; quick ones of the same route pass them."""
    go = asyncio.Event()
    stage.upstream.script = lambda talk: slow_for("/app/slow", go, talk)
    async with stage.sidecar() as proxy:
        stuck = [asyncio.create_task(proxy.ask("/app/slow")) for _ in range(100)]
        await until(lambda: len(stage.upstream.requests) == 100)
        await all_others_are_served(proxy, ("/app/x",), ("/open/x",), times=10)
        go.set()
        assert {(await task).status for task in stuck} == {200}


async def test_exhausted_pool_refuses_the_surplus_and_serves_what_it_lent_to(stage: Stage) -> None:
    """A hundred connections, five hundred callers: a hundred are served, the others told to come back."""
    go = asyncio.Event()
    stage.upstream.script = lambda talk: slow_for("/app/slow", go, talk)
    limits = {"max_connections": 100, "connect_timeout": "1s"}
    async with stage.sidecar(upstream=limits, log={"level": "warning"}) as proxy:
        asking = [asyncio.create_task(proxy.ask("/app/slow")) for _ in range(500)]
        await until(lambda: sum(task.done() for task in asking) == 400)
        refused = [task.result() for task in asking if task.done()]
        assert {(a.status, a.error, tuple(a.all("Retry-After"))) for a in refused} == {
            (503, "overloaded", ("1",))
        }
        assert (await proxy.ask("/nowhere")).status == 403  # what needs no upstream is answered all the same
        assert await proxy.page("/readyz")
        assert len(stage.upstream.requests) == 100
        go.set()
        assert sum(answer.status == 200 for answer in await asyncio.gather(*asking)) == 100
        await all_others_are_served(proxy, ("/app/x",), times=3)
        assert stage.upstream.connections == 100


@pytest.mark.parametrize("slowness", ["in the first line", "in a field", "silent"])
async def test_slow_heads_are_closed_and_disturb_nobody(stage: Stage, slowness: str) -> None:
    """Three hundred connections that never finish a head: 408 for each at the deadline, all others served meanwhile."""
    start = {
        "in the first line": b"GET /ap",
        "in a field": b"GET /app/x HTTP/1.1\r\nHost: loc",
        "silent": b"",
    }[slowness]
    async with stage.sidecar(limits={"header_timeout": "1500ms"}, log={"level": "warning"}) as proxy:
        slow = [await proxy.caller() for _ in range(300)]
        for caller in slow:
            await caller.send(start)
        await all_others_are_served(proxy, ("/app/x",), ("/open/x",), times=5)
        for caller in slow:
            answer = await caller.answer()
            assert (answer.status, answer.error) == (408, "request_timeout")
            assert await caller.closed() == b""
        assert len(stage.upstream.requests) == 20


async def test_deadline_of_a_head_is_not_moved_by_single_bytes(stage: Stage) -> None:
    """A byte now and then is no progress."""
    async with stage.sidecar(limits={"header_timeout": "500ms"}) as proxy:
        caller = await proxy.caller()
        await caller.send(b"GET /app/x HTTP/1.1\r\nX: ")
        async with asyncio.timeout(DEADLINE):
            while not caller.answers.statuses:
                await caller.send(b"y")
                await asyncio.sleep(0.02)  # the pace of the dripping
        assert caller.answers.statuses == [408]


async def test_slow_readers_disturb_nobody(stage: Stage) -> None:
    """Forty callers that ask for large bodies and take nothing; others are served over the same upstream."""
    body = b"x" * (4 << 20)

    async def large(talk: Talk) -> None:
        await talk.body()
        await talk.send(http(200, body) if talk.request.target == "/app/large" else http(200, b"small"))

    stage.upstream.script = large
    async with stage.sidecar(log={"level": "warning"}) as proxy:
        slow: list[Caller] = []
        for _ in range(40):
            caller = await proxy.caller()
            caller.reader._transport.pause_reading()  # type: ignore[attr-defined]
            await caller.send(get("/app/large"))
            slow.append(caller)
        await until(lambda: sum(r.target == "/app/large" for r in stage.upstream.requests) == 40)
        await all_others_are_served(proxy, ("/app/x",), ("/open/x",), times=5)
        for caller in slow[:3]:
            caller.reader._transport.resume_reading()  # type: ignore[attr-defined]
            assert (await caller.answer()).body == body


async def test_idle_connections_disturb_nobody(stage: Stage) -> None:
    """A thousand that have been served once and rest; each is still good afterwards."""
    async with stage.sidecar(log={"level": "warning"}) as proxy:
        idle = [await proxy.caller() for _ in range(1000)]
        for caller in idle:
            assert (await caller.ask("/open/first")).status == 200
        await all_others_are_served(proxy, ("/app/x",), ("/open/x",), times=5)
        for caller in idle[::50]:
            assert (await caller.ask("/app/again")).status == 200
        assert stage.upstream.connections < 50


async def test_ten_thousand_pipelined_requests_disturb_nobody(stage: Stage) -> None:
    """One after the other at the upstream, never two at once; others go between them; each gets its own answer."""
    at_once = most = 0

    async def counts(talk: Talk) -> None:
        nonlocal at_once, most
        if talk.request.target.startswith("/app/n"):
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0)
            at_once -= 1
        await talk.send(http(200, talk.request.target.encode()))

    stage.upstream.script = counts
    async with stage.sidecar(log={"level": "warning"}) as proxy:
        caller = await proxy.caller()
        caller.writer.write(
            b"".join(b"GET /app/n%d HTTP/1.1\r\n" % n + HOST + b"\r\n" for n in range(10_000))
        )

        async def takes() -> None:
            for n in range(10_000):
                assert (await caller.answer()).body == b"/app/n%d" % n

        taking = asyncio.create_task(takes())
        await until(lambda: stage.upstream.requests)
        await all_others_are_served(proxy, ("/app/x",), ("/open/x",), times=5)
        assert not taking.done()
        assert proxy.app.metrics.in_flight <= 1
        await taking
        assert most == 1


async def test_pipelined_requests_wait_outside_while_the_upstream_is_slow(stage: Stage) -> None:
    """What is not served yet is not read either: the caller is held back, few requests are in memory."""
    go = asyncio.Event()
    stage.upstream.script = lambda talk: slow_for("/app/", go, talk)
    async with stage.sidecar(log={"level": "warning"}) as proxy:
        caller = await proxy.caller()
        block = (b"GET /app/x HTTP/1.1\r\n" + HOST + b"X: " + b"y" * 900 + b"\r\n\r\n") * 1000
        held = False
        for _ in range(40):  # 40 MB, many times what may be held
            caller.writer.write(block)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    await caller.writer.drain()
                    continue
            held = True
            break
        assert held
        assert len(stage.upstream.requests) == 1
        assert proxy.app.metrics.in_flight == 1
        (connection,) = proxy.app.listener.connections
        assert len(connection._messages) < 100
        await all_others_are_served(proxy, ("/open/x",), times=3)
        go.set()


async def test_upload_that_drips_holds_up_nobody(stage: Stage) -> None:
    """Twenty uploads that never end; others use the connections beside theirs, and a silent one ends with 408."""
    async with stage.sidecar(upstream={"idle_timeout": "700ms"}, log={"level": "warning"}) as proxy:
        dripping = [await proxy.caller() for _ in range(20)]
        for caller in dripping:
            await caller.send(b"POST /app/x HTTP/1.1\r\nContent-Length: 1000\r\n" + HOST + b"\r\nx")
        await until(lambda: len(stage.upstream.requests) == 20)
        await all_others_are_served(proxy, ("/app/y",), times=3)
        answers: list[Answer] = [await caller.answer() for caller in dripping]
        assert {(a.status, a.error) for a in answers} == {(408, "request_timeout")}
        await until(lambda: proxy.app.proxy.serving.pool.counts()[1] == 0, "the upstream being released")
