"""The harness itself: every invariant catches what was planted, and says nothing of what is well."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar import logs
from sidecar.proxy.exchange import Exchange
from tests.battery import invariants
from tests.battery.case import Case
from tests.battery.fixtures import Kept
from tests.battery.stage import SECRET, Stage, staged
from tests.battery.wire import Answers, Requests
from tests.harness import RawRequest, Sidecar, Talk, until

GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")


def at_upstream(*fields: str) -> RawRequest:
    return RawRequest("\r\n".join(("GET /app/x HTTP/1.1", *fields)).encode(), 0)


@pytest.mark.parametrize(
    ("fields", "wanted", "wrong"),
    [
        (["Authorization: Bearer ours"], True, ""),
        ([], False, ""),
        ([], None, ""),
        ([], True, "no Authorization"),
        (["Authorization: Bearer ours", "authorization: Bearer ours"], True, "2 Authorization fields"),
        (["Authorization: Bearer theirs"], True, "the caller's own"),
        (["Authorization: Bearer made-up"], True, "nobody issued"),
        (["Authorization: Basic ours"], True, "nobody issued"),
        (["Authorization: Bearer ours"], False, "without a credential"),
    ],
)
def test_authorization_is_exactly_one_and_ours(fields: list[str], wanted: bool | None, wrong: str) -> None:
    """Missing, doubled, the caller's, somebody's: each is told."""
    found = invariants.authorization(at_upstream(*fields), wanted, {"ours"}, {"Bearer theirs"})
    assert wrong in "\n".join(found)
    assert bool(found) == bool(wrong)


@pytest.mark.parametrize(
    ("sent", "got", "still_open", "wrong"),
    [
        (GET * 2, OK * 2, True, ""),
        (GET, b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True, ""),
        (GET.replace(b"GET", b"HEAD") + GET, OK[:-2] + OK, True, ""),
        (GET + b"nonsense\r\n\r\n" + GET, OK + LAST, False, ""),
        (b"", LAST, False, ""),
        (GET * 2, LAST, False, ""),
        (GET, OK * 2, True, "2 answers to 1 requests"),
        (b"POST / HTTP/1.1\r\nContent-Length: 36\r\n\r\n" + b"x" * 8 + GET, OK * 2, True, "2 answers to 1"),
        (GET + b"nonsense\r\n\r\n" + GET, OK * 3, True, "3 answers to 2"),
        (b"X: y\r\n\r\n" + GET * 3, OK * 2, True, "2 answers to 1"),
        (GET * 2, OK, True, "1 whole answers to 2 requests"),
        (GET, OK[:-1], True, "0 whole answers to 1"),
        (GET, b"HTTP/1.1 200 OK\r\n\r\nok", True, "without a length"),
        (GET, b"ok" + OK, True, "no answer"),
        (GET, OK.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"), True, "two ways"),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n", True, "does not end"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000])
def test_there_are_as_many_answers_as_requests(
    sent: bytes, got: bytes, still_open: bool, wrong: str, step: int
) -> None:
    """However the bytes are cut; a connection that has ended may owe some."""
    requests = Requests()
    answers = Answers(requests)
    for data, stream in ((sent, requests), (got, answers)):
        for at in range(0, len(data), step):
            stream.feed(data[at : at + step])
    found = invariants.answers(requests, answers, still_open=still_open)
    assert wrong in "\n".join(found)
    assert bool(found) == bool(wrong)


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: 5\r\nContent-Length: 5",
        b"Content-Length: +5",
        b"Content-Length:",
        b"Transfer-Encoding: gzip, chunked",
        b"X : y",
        b"X: y\r\n folded",
        b"X: a\nY: b",
        b"X: a\rb",
        b"no colon",
    ],
)
def test_ambiguous_requests_count_as_one_and_the_last(framing: bytes) -> None:
    """The reading that the sidecar's is held against tolerates nothing."""
    requests = Requests()
    requests.feed(b"POST / HTTP/1.1\r\n" + framing + b"\r\n\r\n" + GET * 3)
    assert (requests.count, requests.most) == (0, 1)
    assert requests.broken


@pytest.mark.parametrize(
    ("numbers", "wrong"),
    [
        ({"answered": 3, "accounted": 3, "most": 3}, ""),
        ({"answered": 4, "accounted": 3, "most": 4}, "4 answers, 3 requests in the metrics"),
        ({"answered": 3, "accounted": 4, "most": 3}, "4 requests in the metrics, 3 were sent"),
        ({"answered": 3, "accounted": 3, "most": 3, "upstream": 4}, "the upstream answered 4"),
        ({"answered": 3, "accounted": 3, "most": 3, "upstream": 4, "replays": 1}, ""),
    ],
)
def test_metrics_callers_and_upstream_agree(numbers: dict[str, int], wrong: str) -> None:
    """A smuggled request shows in one of the three."""
    found = invariants.accounting(**{"sent": 3, "upstream": 3, "replays": 0, **numbers})
    assert wrong in "\n".join(found)
    assert bool(found) == bool(wrong)


def test_secrets_in_any_output_are_told_without_being_repeated() -> None:
    """Tokens, secrets, subjects, canaries; what is too short to be one is passed over."""
    outputs = {"the log": "… token-of-alice …", "/status": "a canary sang", "/config": "fine"}
    found = invariants.secrets(outputs, {"token-of-alice", "short"}, {"alice"})
    assert [text.split(" in ")[1].split(":")[0] for text in found] == ["the log", "the log", "/status"]
    assert "token-of-alice" not in "".join(found)
    assert invariants.secrets({"the log": "short and fine"}, {"short"}, set()) == []


@pytest.mark.parametrize(
    "line",
    [
        "Traceback (most recent call last):",
        "coroutine 'x' was never awaited",
        "Unclosed client session",
        '{"event": "Task exception was never retrieved", "logger": "asyncio"}',
        '{"event": "internal_error"}',
    ],
)
def test_stray_output_is_told(line: str) -> None:
    """Whatever says that something happened which nobody expected."""
    assert invariants.stray({"the log": f"{{}}\n{line}\n"}, [])
    assert invariants.stray({"the log": '{"event": "request"}\n'}, []) == []
    assert invariants.stray({}, ["Future exception was never retrieved"])


def test_own_answers_name_no_server_and_no_origin() -> None:
    """A problem document is for the app, not for a page elsewhere."""
    assert invariants.own_answers([b"HTTP/1.1 403 No\r\nAccess-Control-Allow-Origin: *"])
    assert invariants.own_answers([b"HTTP/1.1 403 No\r\nServer: x"])
    assert invariants.own_answers([b"HTTP/1.1 403 No\r\nX-Auth-Sidecar-Error: x"]) == []


def test_what_is_there_twice_after_and_once_before_remains() -> None:
    """Counted, not only named."""
    assert invariants.remains("tasks", ["a", "b"], ["b", "a"]) == []
    assert invariants.remains("tasks", ["a"], ["a", "a"]) == ["tasks left behind: a"]


# -- the whole harness, with a sidecar that does wrong -------------------------------------------------------------

Prepare = Callable[[Stage], object]


@pytest.fixture
async def inner(case: Case, monkeypatch: pytest.MonkeyPatch) -> Case:
    """A case inside the one that watches this test; the outer one does not see what is planted."""
    inner = Case()
    monkeypatch.setattr("tests.harness.observers", [inner])
    monkeypatch.setattr("tests.battery.case._MOST_LOOKS", 40)
    return inner


async def verdict(inner: Case, folder: Path, prepare: Prepare = lambda stage: None, output: str = "") -> str:
    """What the harness says of three requests on one connection."""
    async with staged(inner, folder) as stage:
        prepare(stage)
        async with stage.sidecar() as started:
            caller = await started.caller()
            for n in range(3):
                await caller.ask(f"/app/{n}")
        assert len(stage.upstream.requests) >= 3
    return "\n".join(await inner.violations(output))


async def test_case_in_which_all_is_well_has_no_violation(inner: Case, tmp_path: Path) -> None:
    """The sidecar as it is."""
    assert await verdict(inner, tmp_path) == ""


async def test_planted_second_authorization_is_caught(
    inner: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy does that appends instead of replacing."""
    head = Exchange.head_bytes
    extra = b"Authorization: Bearer mine\r\n\r\n"
    monkeypatch.setattr(Exchange, "head_bytes", lambda self: head(self)[:-2] + extra)
    assert "2 Authorization fields" in await verdict(inner, tmp_path)


async def test_planted_request_without_a_token_is_caught(
    inner: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a route that has a credential."""
    monkeypatch.setattr(Exchange, "head_bytes", lambda self: b"".join((*self._lines, b"\r\n")))
    assert "no Authorization" in await verdict(inner, tmp_path)


async def test_planted_extra_answer_is_caught(
    inner: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As response splitting brings."""
    account = Exchange._account

    def twice(exchange: Exchange) -> None:
        account(exchange)
        if exchange.caller.transport is not None and exchange.message.path == "/app/2":
            exchange.proxy.outbox.put(exchange.caller.transport, OK)

    monkeypatch.setattr(Exchange, "_account", twice)
    assert "4 answers to 3 requests" in await verdict(inner, tmp_path)


async def test_planted_smuggled_request_is_caught(inner: Case, tmp_path: Path) -> None:
    """One request of a caller that the upstream takes for two."""

    def prepare(stage: Stage) -> None:
        async def sees_two(talk: Talk) -> None:
            await talk.send(OK)
            stage.upstream.requests.append(RawRequest(talk.request.head, 0, answered=True))

        stage.upstream.script = sees_two

    assert "the upstream answered 6 requests, callers sent 3" in await verdict(inner, tmp_path, prepare)


async def test_planted_leaks_are_caught(inner: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task, a descriptor, an exchange that somebody keeps."""
    task = asyncio.create_task(asyncio.Event().wait())
    kept: list[Exchange] = []
    begin = Exchange._begin

    def keeps(exchange: Exchange) -> None:
        begin(exchange)
        kept.append(exchange)

    left, right = socket.socketpair()
    monkeypatch.setattr(Exchange, "_begin", keeps)
    found = await verdict(inner, tmp_path)
    for what in ("tasks left behind: Event.wait", "descriptors left behind: socket", "objects left behind:"):
        assert what in found
    task.cancel()
    left.close()
    right.close()
    kept.clear()


async def test_planted_request_that_never_ends_is_caught(
    inner: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller is gone, and it is still counted as in flight."""
    account = Exchange._account

    def forgets(exchange: Exchange) -> None:
        account(exchange)
        exchange.proxy.metrics.in_flight += 1

    monkeypatch.setattr(Exchange, "_account", forgets)
    assert "3 requests in flight" in await verdict(inner, tmp_path)


async def test_planted_secret_in_the_log_is_caught(inner: Case, tmp_path: Path) -> None:
    """The client's secret, read from the file that the configuration names; and any token of the case."""
    inner.tokens.add("an-issued-token")
    found = await verdict(inner, tmp_path, output=f"sent {SECRET} and an-issued-token")
    assert found.count("shows in the output") >= 2


async def test_planted_secret_on_a_page_is_caught(
    inner: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every page of the admin listener is read at the end of a case."""
    monkeypatch.setattr("sidecar.app.App.warnings", lambda self: ["a canary"])
    assert "shows in /status" in await verdict(inner, tmp_path)


async def test_planted_bug_is_caught_by_its_line(
    case: Case, inner: Case, tmp_path: Path, capfd: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the proxy is a 500 and one line in its log; that line is the violation."""

    def broken(exchange: Exchange) -> None:
        raise RuntimeError("a bug")

    async with staged(inner, tmp_path) as stage, stage.sidecar() as started:
        monkeypatch.setattr(Exchange, "admit", broken)
        assert (await started.ask("/app/x")).status == 500
    assert '"internal_error"' in "\n".join(await inner.violations("".join(case.log)))
    logs.flush()
    capfd.readouterr()
    capfd.text = ""  # or the outer case would find it, too
    case.log.clear()


async def test_log_is_known_whoever_takes_the_stream_away(
    case: Case, stage: Stage, proxy: Sidecar, capfd: Kept
) -> None:
    """The sidecar was started by a fixture: pytest has closed what it writes to by now."""
    await proxy.ask("/app/x")
    assert any('"event": "request"' in line for line in case.log)
    assert any('"event": "token_obtained"' in line for line in case.log)


async def test_planted_connection_to_another_host_is_caught(inner: Case, tmp_path: Path) -> None:
    """One handshake is too many."""

    async def prepared() -> str:
        async with staged(inner, tmp_path) as stage:
            _, writer = await asyncio.open_connection("127.0.0.1", stage.elsewhere.port)
            await until(lambda: stage.elsewhere.connections)
            writer.close()
        return "\n".join(await inner.violations(""))

    assert "1 connections to the other host" in await prepared()
