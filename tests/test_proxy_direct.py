"""Requests that need no task: served by callbacks, and handed to a task the moment anything is out of the ordinary."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from sidecar.demo.standin import StandIn
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.relay import Outcome
from tests.harness import (
    OK,
    Caller,
    RawUpstream,
    Sidecar,
    Talk,
    answer_ok,
    answering,
    sidecar,
    until,
    with_tokens,
)

pytestmark = pytest.mark.usefixtures("case")  # the invariants of the battery hold here, too
GET = b"GET /app/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
REJECTED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture
async def proxy(egain: StandIn, upstream: RawUpstream, tmp_path: Path) -> AsyncIterator[Sidecar]:
    async with sidecar(with_tokens(egain, upstream.url, tmp_path), tmp_path) as started:
        await until(lambda: not started.app.missing())
        yield started


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Exchange]]:
    """The requests that a task took part in."""
    seen: list[Exchange] = []
    run = Exchange.run

    async def noted(exchange: Exchange) -> Exchange:
        seen.append(exchange)
        return await run(exchange)

    monkeypatch.setattr(Exchange, "run", noted)
    yield seen
    seen.clear()


@pytest.fixture
async def caller(proxy: Sidecar, tasks: list[Exchange]) -> Caller:
    """One whose connection rests, with an upstream connection at hand."""
    caller = await proxy.caller()
    await caller.ask("/app/first")
    await until(lambda: proxy.app.metrics.in_flight == 0)
    (connection,) = proxy.app.listener.connections
    await until(lambda: connection._waiter is not None)
    tasks.clear()
    return caller


async def test_request_that_need_not_wait_needs_no_task(
    caller: Caller, upstream: RawUpstream, tasks: list[Exchange], proxy: Sidecar
) -> None:
    """Its token and a connection are there; it is counted like any other."""
    for number in range(3):
        answer = await caller.ask(f"/app/{number}")
        assert (answer.status, answer.body) == (200, b"ok")
    assert not tasks
    assert [request.all("Authorization") != [] for request in upstream.requests] == [True] * 4
    assert upstream.connections == 1
    assert await proxy.metric("auth_sidecar_requests_total", route="app", status="200") == 4


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000,
    ],
    ids=["chunked", "no body", "an error", "several segments"],
)
async def test_any_whole_answer_ends_without_a_task(
    caller: Caller, upstream: RawUpstream, tasks: list[Exchange], answer: bytes
) -> None:
    """Framed as it came, and the next request on the connection is served as well."""
    upstream.script = answering(answer)
    first, second = await caller.ask("/app/x"), await caller.ask("/app/x")
    assert (first.status, first.body) == (second.status, second.body)
    assert len(first.body) in (0, 2, 300_000)
    assert not [exchange for exchange in tasks if exchange.close]


async def test_rejected_token_is_replaced_and_the_request_sent_again(
    caller: Caller, upstream: RawUpstream, egain: StandIn, tasks: list[Exchange]
) -> None:
    """The 401 came without a task; waiting for another token takes one."""
    before = len(egain.token_requests)
    scripts = [answering(REJECTED), answer_ok]

    async def once(talk: Talk) -> None:
        await scripts.pop(0)(talk)

    upstream.script = once
    assert (await caller.ask("/app/x")).status == 200
    assert len(egain.token_requests) == before + 1
    assert len(tasks) == 1


async def test_dead_connection_is_replaced(
    caller: Caller, upstream: RawUpstream, tasks: list[Exchange]
) -> None:
    """Closed by the upstream before a byte of the answer: one more try, on a fresh one."""
    seen = len(upstream.requests)

    async def reset_first(talk: Talk) -> None:
        if talk.request.connection == 0:
            talk.reset()
        else:
            await talk.send(OK)

    upstream.script = reset_first
    assert (await caller.ask("/app/x")).status == 200
    assert len(upstream.requests) == seen + 2
    assert len(tasks) == 1


async def test_answer_that_breaks_off_cuts_the_caller(
    caller: Caller, upstream: RawUpstream, proxy: Sidecar
) -> None:
    """Never a short 200."""

    async def half(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await asyncio.sleep(0)
        talk.writer.close()

    upstream.script = half
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await caller.ask("/app/x")
    await until(lambda: proxy.app.metrics.in_flight == 0)


async def test_answer_that_is_none_is_502(caller: Caller, upstream: RawUpstream) -> None:
    """A problem document, as from a task."""
    upstream.script = answering(b"SSH-2.0-OpenSSH\r\n\r\n")
    answer = await caller.ask("/app/x")
    assert (answer.status, answer.error) == (502, "upstream_protocol_error")


async def test_caller_that_leaves_takes_its_request_with_it(
    caller: Caller, upstream: RawUpstream, proxy: Sidecar, tasks: list[Exchange]
) -> None:
    """The upstream sees the end at once; nothing is left in flight; the line says 499."""
    hold = asyncio.Event()

    async def silent(talk: Talk) -> None:
        await hold.wait()

    upstream.script = silent
    seen = len(upstream.requests)
    await caller.send(GET)
    await until(lambda: len(upstream.requests) > seen)
    caller.writer.transport.abort()
    await until(lambda: proxy.app.metrics.in_flight == 0)
    await until(lambda: proxy.app.proxy.serving.pool.counts() == (0, 0))
    assert not tasks
    assert await proxy.metric("auth_sidecar_requests_total", route="app", status="499") == 1
    hold.set()


async def test_requests_behind_one_under_way_wait_their_turn(
    caller: Caller, upstream: RawUpstream, tasks: list[Exchange]
) -> None:
    """Pipelined behind a request that is being served: each answered once, in order, whatever it is."""
    go = asyncio.Event()

    async def slow(talk: Talk) -> None:
        body = await talk.body()
        if talk.request.target == "/app/1":
            await go.wait()
        said = talk.request.target.encode() + body
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(said) + said)

    upstream.script = slow
    await caller.send(GET.replace(b"/x", b"/1"))
    await until(lambda: upstream.requests[-1].target == "/app/1")
    await caller.send(
        GET.replace(b"/x", b"/2")
        + b"POST /app/3 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"
        + b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
        + b"nonsense\r\n\r\n"
    )
    await asyncio.sleep(0)
    assert upstream.requests[-1].target == "/app/1"
    go.set()
    answers = [await caller.answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 403, 400]
    assert [answer.body for answer in answers[:3]] == [b"/app/1", b"/app/2", b"/app/3abc"]


async def test_caller_that_stops_reading_is_let_go(
    egain: StandIn, upstream: RawUpstream, tmp_path: Path
) -> None:
    """Its answer was handed over whole; when it takes no more of it for idle_timeout, the connection ends."""
    body = b"x" * 60_000
    upstream.script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    mapping = with_tokens(egain, upstream.url, tmp_path, upstream={"idle_timeout": "300ms"})
    async with sidecar(mapping, tmp_path) as proxy:
        await until(lambda: not proxy.app.missing())
        caller = await proxy.caller()
        caller.reader._transport.pause_reading()  # type: ignore[attr-defined]
        while not any(connection.writing_paused for connection in proxy.app.listener.connections):
            served = proxy.app.proxy.last_arrival
            caller.writer.write(GET)
            await until(lambda: proxy.app.proxy.last_arrival > served)  # noqa: B023
            await until(
                lambda: (
                    proxy.app.metrics.in_flight == 0
                    or any(connection.writing_paused for connection in proxy.app.listener.connections)
                )
            )
        await until(lambda: not proxy.app.listener.connections)
        await until(lambda: proxy.app.metrics.in_flight == 0)


async def test_connection_given_back_is_not_ended_twice(
    caller: Caller, upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A caller that leaves while its request is being handed over must not take another one's connection with it."""
    settled = Exchange.settled

    def ended_twice(exchange: Exchange, outcome: Outcome) -> None:
        attempt = exchange._attempt
        assert attempt is not None
        settled(exchange, outcome)
        attempt.end()
        attempt.pause_reading()

    monkeypatch.setattr(Exchange, "settled", ended_twice)
    for number in range(3):
        assert (await caller.ask(f"/app/{number}")).body == b"ok"
    assert upstream.connections == 1


async def test_draining_says_close_and_closes(caller: Caller, proxy: Sidecar) -> None:
    """The last answer on the connection tells the caller so."""
    proxy.app.proxy.draining = True
    answer = await caller.ask("/app/x")
    assert (answer.status, answer.all("Connection")) == (200, ["close"])
    assert await caller.closed() == b""


async def test_silent_upstream_is_504(egain: StandIn, upstream: RawUpstream, tmp_path: Path) -> None:
    """The deadline is kept without a timer of its own."""
    mapping = with_tokens(egain, upstream.url, tmp_path, upstream={"response_timeout": "200ms"})
    hold = asyncio.Event()
    async with sidecar(mapping, tmp_path) as proxy:
        await until(lambda: not proxy.app.missing())
        caller = await proxy.caller()
        await caller.ask("/app/x")

        async def silent(talk: Talk) -> None:
            await hold.wait()

        upstream.script = silent
        answer = await caller.ask("/app/x")
        assert (answer.status, answer.error) == (504, "upstream_timeout")
        hold.set()
