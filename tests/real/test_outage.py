"""The authorization server freezes or dies while tokens are held, and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.program import Program
from benchmarks.steady import OK, Steady, get
from benchmarks.wire import Reply
from sidecar.clock import SystemClock
from tests.harness import until
from tests.real.front import AGENT, APPLICATION, front
from tests.real.servers import oidc_provider

pytestmark = pytest.mark.real

# Seconds. `exp` is whole seconds, so a token may live one less than it says; a tenth, which the sidecar leaves
# unused, must be more than that, or a resource server without leeway sees an expired token by rights.
LIFETIME = 15
_SKEW = LIFETIME / 10
_NO_TOKEN = "503 token_unavailable"

# A frozen server takes connections and is silent: a try lasts as long as we let it.
REFRESH = {"refresh": {"retry": {"initial": "500ms", "max": "1s"}}, "tokens": {"request_timeout": "1s"}}


class Watched:
    """What came back, in order, by the wall clock the tokens' `exp` is on."""

    def __init__(self) -> None:
        self.replies: list[tuple[float, Reply]] = []
        self._wall = SystemClock().wall

    def __call__(self, reply: Reply) -> None:
        self.replies.append((self._wall(), reply))

    def last(self, outcome: str) -> float:
        return max((at for at, reply in self.replies if reply.outcome == outcome), default=0.0)

    def latest(self, many: int) -> set[str]:
        return {reply.outcome for _, reply in self.replies[-many:]}

    def first(self, outcome: str) -> tuple[float, Reply]:
        return next((at, reply) for at, reply in self.replies if reply.outcome == outcome)


BREAK: dict[str, tuple[Callable[[Program], None], Callable[[Program], None]]] = {
    "frozen": (Program.freeze, Program.thaw),
    "killed": (Program.kill, Program.start),
}


@pytest.mark.parametrize("how", BREAK)
async def test_held_tokens_serve_until_their_hard_stop(tmp_path: Path, how: str) -> None:
    """Requests go on to the hard stop, then 503 with Retry-After; no expired token is sent; it mends by itself."""
    stop_it, bring_back = BREAK[how]
    watched = Watched()
    with oidc_provider(tmp_path, lifetime=LIFETIME) as server:
        async with front(server, {"app": APPLICATION, "agent": AGENT}, tmp_path, **REFRESH) as it:
            asked = [get("/read/app"), get("/read/agent", "X-On-Behalf-Of: alice")]
            load = Steady(it.sidecar.app.proxy_address, asked, rate=100, connections=8, on_reply=watched)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(load.run())
                await until(lambda: len(it.api.served) == 2, "both tokens are held")
                stop_it(server.program)
                await until(lambda: load.outcomes[_NO_TOKEN] > 0, "the first token is over")
                await until(lambda: load.outcomes[_NO_TOKEN] > 100, "no token is left")
                ends, down = it.api.latest_exp, watched.last(OK)
                await asyncio.to_thread(bring_back, server.program)
                await until(lambda: watched.latest(100) == {OK}, "all requests are served again")
                load.stop()
    began, refusal = watched.first(_NO_TOKEN)
    print(
        f"\n{how}: {dict(load.outcomes)}; the first 503 came {ends - began:.1f} s before the last `exp`, "
        f"the last 200 of the held tokens {ends - down:.1f} s before it"
    )
    assert set(load.outcomes) == {OK, _NO_TOKEN}
    assert 1 <= int(refusal.headers[b"retry-after"]) <= 30
    assert it.api.refused == []  # no leeway there: an expired token would be one of these
    assert down > ends - _SKEW - 1.5, "the held tokens served until their hard stop"
