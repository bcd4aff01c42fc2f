"""The API of the fault and soak runs: which tokens it finds wanting, and how it spoils its answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from benchmarks.api import Connection, Judge
from benchmarks.apifaults import GARBLED, MODES, Faults
from benchmarks.asking import OBO_READ, Ask, Who, judge, judge_failure
from benchmarks.wire import Wire
from sidecar.demo.keys import SigningKey, signing_key
from sidecar.demo.tokens import Mint
from tests.fake_clock import FakeClock

ALICE = Who("/agent/read", "alice", OBO_READ)


class Served:
    """The API, and tokens to ask it with."""

    def __init__(self, sins: Path) -> None:
        self.judge, self.faults = Judge([signing_key("idp"), signing_key("egain")], sins), Faults()
        self.clock = FakeClock(epoch=time.time())
        self._sins = sins
        self.wire: Wire

    @property
    def sins(self) -> list[str]:
        return self._sins.read_text().splitlines() if self._sins.exists() else []

    def token(self, scope: str = OBO_READ, lifetime: float = 60, key: SigningKey | None = None) -> str:
        mint = Mint(key or signing_key("egain"), "issuer", "audience", self.clock)
        return mint.issue("obo_user", "alice", (scope,), "client", lifetime)

    async def ask(self, ask: Ask, *tokens: str) -> str:
        """The verdict's kind and words."""
        fields = "".join(f"Authorization: Bearer {token}\r\n" for token in tokens).encode()
        head, _, body = ask.wire.partition(b"\r\n\r\n")
        try:
            verdict = judge(ask, await self.wire.ask(head + b"\r\n" + fields + b"\r\n" + body))
        except (OSError, EOFError, ValueError) as error:
            self.wire.close()
            verdict = judge_failure(error)
        return f"{verdict.kind} {verdict.what}".strip()


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(tmp_path / "sins.txt")
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(served.judge, served.faults), "127.0.0.1", 0
    )
    async with server:
        served.wire = Wire(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
        with contextlib.closing(served.wire):
            yield served


async def test_a_good_token_is_served_chunked_and_with_a_length(api: Served) -> None:
    """Odd and even numbers; a body's digest comes back."""
    token = api.token()
    for number in (1, 2):
        assert await api.ask(ALICE.ask(number, body=b"x" * number), token) == "right"
    assert api.sins == []


async def test_a_token_that_is_not_good_is_refused_and_written_down(api: Served) -> None:
    """Missing, twice, expired, of another scope, of another issuer: each is a line."""
    good = api.token()
    bad = [(), (good, good), (api.token(lifetime=-1),), (api.token("app.all"),)]
    bad.append((api.token(key=SigningKey("egain")),))
    for tokens in bad:
        assert await api.ask(ALICE.ask(1), *tokens) == "wrong 401 without an error code"
    said = [sin.partition(" at /agent")[0] for sin in api.sins]
    assert said.pop(2).startswith("a token that expired 1.")
    assert said == ["0 tokens", "2 tokens", "a token for app.all", "a token that nobody here issued"]


async def test_a_post_that_comes_twice_is_written_down(api: Served) -> None:
    """A GET may come again."""
    token = api.token()
    for body in (b"", b"", b"x", b"x"):
        await api.ask(ALICE.ask(1, body=body), token)
    assert api.sins == ["POST 1 came twice"]


async def test_a_token_is_judged_by_when_a_pause_of_the_process_began(
    api: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay in the sockets of a frozen process was sent in time; what is sent later is not excused for ever."""
    now = api.clock.wall()
    monkeypatch.setattr("benchmarks.api.time.time", lambda: now)
    token = api.token(lifetime=5)
    api.judge.beat()
    now += 8  # frozen
    assert await api.ask(ALICE.ask(1), token) == "right"
    now += 0.2
    api.judge.beat()
    for _ in range(12):
        now += 0.2
        api.judge.beat()
    assert await api.ask(ALICE.ask(2), token) == "wrong 401 without an error code"


async def test_every_garbled_answer_is_seen_as_one(api: Served) -> None:
    """None is right but the one with a second answer behind it, and that one spoils the next request."""
    token = api.token()
    api.faults.set({"mode": "garble"})
    seen = []
    for number in range(len(GARBLED)):
        seen.append(await api.ask(ALICE.ask(number), token))
        api.wire.close()
    assert [kind for kind in seen if kind.startswith("right")] == ["right"]
    assert sum(kind.startswith("cut") for kind in seen) >= 2


async def test_modes_are_what_they_say(api: Served) -> None:
    """Slow is late, reset is no answer, throttled is a 429 for the same question; an unknown mode is refused."""
    token, found = api.token(), {}
    for mode in MODES:
        if mode != "garble":
            api.faults.set({"mode": mode, "ms": 20})
            found[mode] = await api.ask(ALICE.ask(2), token)
    assert found == {
        "normal": "right",
        "slow": "right",
        "reset": "unanswered closed without an answer",
        "throttle": "passed 429",
    }
    with pytest.raises(ValueError, match="normal"):
        api.faults.set({"mode": "lazy"})


def test_a_stowaway_is_mallorys() -> None:
    """The second answer is complete, and for nobody who asked."""
    stowaway = GARBLED[4](json.dumps({"n": 3}).encode()).rpartition(b"\r\n\r\n")[2]
    assert json.loads(stowaway)["subject"] == "mallory"
