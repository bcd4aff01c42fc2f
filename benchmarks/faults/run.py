"""One sidecar under a steady stream, and the acts it goes through.

Owns when each act begins and ends, and what is read before and after. What is done is acts.py's, what it is worth
score.py's.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Sequence

from benchmarks import asking
from benchmarks.faults.acts import Act, Seen
from benchmarks.faults.score import Score, most_token_requests, score
from benchmarks.faults.stage import CLIENT_ID, FIRST_RETRY, IDLE_AFTER, RETRY_MAX, Stage
from benchmarks.processes import Metrics
from benchmarks.stream import Sent, Stream, flowing

AGENTS = 10
NEWCOMERS = 0.01  # of the requests: for users nobody has asked for before
_CALM, _SETTLE = 1.5, 5.0  # seconds before a fault, and after it
_TOKEN_REQUESTS = "auth_sidecar_token_requests_total"


class Run:
    """`through` an act after the other; the stream never stops meanwhile."""

    def __init__(self, stage: Stage, rate: float) -> None:
        agents = [who for n in range(AGENTS) for who in asking.agent(f"agent{n}")]
        groups = (asking.application(CLIENT_ID), agents)
        self._stage, self._rate = stage, rate
        self._tokens = sum(map(len, groups))
        self._sent: list[Sent] = []
        self._stream = Stream(
            stage.sidecar.proxy, asking.mixed(groups, newcomers=NEWCOMERS), rate, self._sent.append
        )

    async def through(self, acts: Sequence[Act]) -> list[Score]:
        """Raises RuntimeError when requests fail before anything was done."""
        scores: list[Score] = []
        async with flowing(self._stream):
            await asyncio.sleep(2 * _CALM)  # the first requests wait for their tokens
            if bad := {one.verdict.what for one in self._sent if not one.verdict.good}:
                raise RuntimeError(f"not even the first requests were answered: {', '.join(bad)}")
            self._sent.clear()
            for act in acts:
                scores.append(await self._perform(act))
                said = "; ".join(scores[-1].broken) or "held"
                print(f"  {act.name}: {said}", file=sys.stderr, flush=True)
        return scores

    async def _perform(self, act: Act) -> Score:
        stage, loop = self._stage, asyncio.get_running_loop()
        await asyncio.sleep(_CALM)
        sins, arrived, before = len(stage.sins), await stage.arrived(), await stage.sidecar.metrics()
        began = loop.time()
        await act.begin(stage)
        await asyncio.sleep(act.seconds)
        during = await stage.sidecar.metrics()
        proven = act.proof(self._seen(before, during, began))
        await act.end(stage)
        lifted = loop.time()
        await asyncio.sleep(_SETTLE)
        after = await stage.sidecar.metrics()
        sent, self._sent[:] = self._sent[:], []
        found = score(act, began, lifted, loop.time(), sent)
        found.proven = proven
        found.token_requests = _counted(before, during)
        found.token_bound = self._bound(lifted - began)
        found.uncounted = await stage.arrived() - arrived - _counted(before, after)
        for sin in stage.sins[sins:]:
            found.wrong[f"at the API: {sin}"] += 1
        return found

    def _seen(self, before: Metrics, during: Metrics, began: float) -> Seen:
        sent = [one for one in self._sent if one.due >= began]
        outcomes = frozenset(one.verdict.what for one in sent if one.verdict.kind != "right")
        return Seen(self._stage, before, during, outcomes, statistics.median(one.seconds for one in sent))

    def _bound(self, seconds: float) -> int:
        newcomers = self._rate * NEWCOMERS * (seconds + IDLE_AFTER)
        return most_token_requests(self._tokens, newcomers, seconds, FIRST_RETRY, RETRY_MAX)


def _counted(before: Metrics, after: Metrics) -> int:
    return int(after.total(_TOKEN_REQUESTS) - before.total(_TOKEN_REQUESTS))
