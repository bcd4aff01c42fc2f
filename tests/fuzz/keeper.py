"""The token keeper against its model: time, answers, faults, requests, 401s, reloads in any order.

Owns the steps; token_model.py knows what must hold. At the end of every run the token endpoint is healthy again, and
then every start-up token must come back and stay usable without a gap.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import jwt
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.config.schema import Refresh, Tokens
from sidecar.errors import SubjectTokenInvalid, TokenRefused, TokenUnavailable
from sidecar.oauth.answer import Reply
from sidecar.tokens.keeper import Keeper
from sidecar.tokens.store import Source, TokenStore
from sidecar.tokens.token import Token
from tests.fake_clock import FakeClock, settle
from tests.fuzz.token_model import BELIEVED, EPSILON, FLEETING, Account, Endpoint, Issue
from tests.token_script import AGENT, APP, CLIENT, DOWN, OKTA, Events, refused

_SECONDS = st.one_of(
    st.sampled_from([0.0, 0.01, 0.3, 0.5, 1.0, 3.0, 9.9, 10.0, 29.0, 60.0, 600.0, 1800.0, 3600.0]),
    st.floats(0, 7200, allow_nan=False),
)
_LIFETIMES = st.sampled_from([0.2, 1, 1.4, 2, 5, 60, 600, 3600, 10**9, "3600", None])
_FAILURES: list[tuple[Any, float | None]] = [
    (DOWN, None),
    (Reply(500, b""), None),
    (Reply(503, b"", "7"), 7.0),
    (Reply(429, b"", "120"), 120.0),
    (Reply(503, b"", "99999"), 3600.0),
    (Reply(429, b"", "-1"), None),
    (refused("invalid_client", 401), None),
    (refused("invalid_grant"), None),
    (refused("invalid_scope"), None),
    (refused("slow_down"), None),
    (Reply(400, b"<html>"), None),
    (Reply(200, b"<html>"), None),
    (Reply(200, b"[" * 100_000), None),
    (Reply(302, b""), None),
    (Reply(200, b'{"access_token": "x", "expires_in": 0}'), None),
    (Reply(200, b'{"access_token": "x", "expires_in": true}'), None),
    (Reply(200, b'{"access_token": "x\\r\\n", "expires_in": 60}'), None),
    (Reply(200, b'{"access_token": "x", "token_type": "mac"}'), None),
]
_SOURCES = ("app", "app2", "agent", "okta")
_KINDS = {"app": APP, "app2": APP, "agent": AGENT, "okta": OKTA}
_PEOPLE = st.integers(0, 4)
# When each person's own token ends, by the wall clock, and that token.
_ENDS = [FakeClock().wall() + life for life in (2, 30, 900, 7200, 10**6)]
_SUBJECT_TOKENS = [jwt.encode({"exp": ends, "n": n}, "k" * 32) for n, ends in enumerate(_ENDS)]
_RECOVERED = 6000.0  # lifetime of the tokens at the end of a run


class KeeperMachine(RuleBasedStateMachine):
    """A store of tokens, its endpoint, and requests."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.events = Events()
        self.accounts: dict[Keeper, Account] = {}
        self.waiters: list[tuple[Keeper, asyncio.Task[Token]]] = []
        self.handed: list[tuple[Keeper, Token]] = []
        self.longest_idle = 0.0

    # -- the beginning and the end -----------------------------------------------------------------------------

    @initialize(
        at=st.sampled_from([0.1, 0.5, 0.9, 0.99]),
        jitter=st.sampled_from([0.0, 0.1, 0.9]),
        skew=st.sampled_from(["0s", "1s", "30s", "2h"]),
        idle=st.sampled_from(["5s", "30m"]),
        retry=st.sampled_from([("1s", "30s"), ("100ms", "1s"), ("30s", "5s")]),
        cached=st.sampled_from([3, 10_000]),
        seed=st.integers(0, 1000),
    )
    def start(
        self, at: float, jitter: float, skew: str, idle: str, retry: Any, cached: int, seed: int
    ) -> None:
        values = {"initial": retry[0], "max": retry[1]}
        self.refresh = Refresh.model_validate(
            {"at": at, "jitter": jitter, "expiry_skew": skew, "idle_after": idle, "retry": values}
        )
        self.tokens = Tokens.model_validate({"max_cached": cached})
        self.longest_idle = self.refresh.idle_after
        self.endpoint = Endpoint(self.clock, self.accounts, self.refresh, self._keepers)
        self.store = TokenStore(self.clock, self.endpoint, self.events, self.refresh, self.tokens)
        self.store._shared.draw = random.Random(seed).random
        self.sources = {name: self.store.source(name, _KINDS[name], CLIENT, ("s", name)) for name in _SOURCES}
        self.bound: dict[str, Keeper] = {}
        self.stop = asyncio.Event()
        self.task = self.loop.create_task(self._hold())
        self._hold_sources(set(_SOURCES))

    async def _hold(self) -> None:
        async with self.store:
            await self.stop.wait()

    def _hold_sources(self, names: set[str]) -> None:
        self.led_to = names

        async def hold() -> None:
            # As binding.py does: routes of an application's token are bound to its keeper, once.
            self.bound |= {name: self.sources[name].keeper() for name in names & {"app", "app2"}}
            self.store.hold([self.sources[name] for name in names])
            await settle()

        self._do(hold())

    def teardown(self) -> None:
        try:
            if hasattr(self, "task"):
                self._recovers()
                self.stop.set()
                self._do(self._ended())
        finally:
            self._do(self._cancelled())
            self.loop.close()

    async def _cancelled(self) -> None:
        """After a failure."""
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ended(self) -> None:
        for _, waiter in self.waiters:
            waiter.cancel()
        await asyncio.gather(*(waiter for _, waiter in self.waiters), return_exceptions=True)
        await self.task
        assert not self.clock.pending, "a timer is left"

    # -- steps -------------------------------------------------------------------------------------------------

    @rule(seconds=_SECONDS)
    def time_passes(self, seconds: float) -> None:
        self._do(self.clock.passes(seconds))
        now = self.clock.now()
        for keeper in self.store._subjects.values():
            account = self._account(keeper)
            idle = account.under_way is None and account.used_at + self.longest_idle <= now - 0.01
            assert not (idle and seconds >= 0.01), "a token that nobody uses is kept"

    @precondition(lambda self: any(account.current() for account in self.accounts.values()))
    @rule(which=st.integers(0, 50), beyond=st.sampled_from([-0.03, 0.001, 0.1, 1.0]))
    def time_passes_to_a_hard_stop(self, which: int, beyond: float) -> None:
        """What a lifetime's end would be missed by, if all steps of time were drawn."""
        issues = [issue for account in self.accounts.values() if (issue := account.current()) is not None]
        seconds = issues[which % len(issues)].stop + beyond - self.clock.now()
        if seconds > 0:
            self.time_passes(seconds)

    @precondition(lambda self: self.endpoint.waiting)
    @rule(which=st.integers(0, 50), expires_in=_LIFETIMES)
    def token_arrives(self, which: int, expires_in: Any) -> None:
        asked = self.endpoint.waiting.pop(which % len(self.endpoint.waiting))
        said = self.tokens.default_lifetime if expires_in is None else float(expires_in)
        lifetime = min(said, self.tokens.max_lifetime)
        self.endpoint.issue(asked, expires_in, lifetime=lifetime, ends=self._end_of_subject(asked.keeper))
        self._do(settle())

    @precondition(lambda self: self.endpoint.waiting)
    @rule(which=st.integers(0, 50), failure=st.sampled_from(_FAILURES))
    def fetch_fails(self, which: int, failure: tuple[Any, float | None]) -> None:
        asked = self.endpoint.waiting.pop(which % len(self.endpoint.waiting))
        self.endpoint.fail(asked, *failure)
        self._do(settle())

    @rule(name=st.sampled_from(_SOURCES), person=_PEOPLE)
    def request(self, name: str, person: int) -> None:
        self._request(name, person)

    @rule(name=st.sampled_from(_SOURCES), person=_PEOPLE)
    def crowd(self, name: str, person: int) -> None:
        for _ in range(5):
            self._request(name, person)

    @precondition(lambda self: self.handed)
    @rule(which=st.integers(0, 1000), latest=st.booleans())
    def unauthorised(self, which: int, latest: bool) -> None:
        """The upstream answers 401 to a request that was sent with a token, this one or an older."""
        keeper, sent = self.handed[-1 if latest else which % len(self.handed)]
        account, now = self._account(keeper), self.clock.now()
        issue = self._issue_of(account, sent)
        current = keeper.token is sent
        assert not current or not issue.rejected, "a rejected token is still held"
        believed = current and issue.after_rejection and now < issue.obtained_at + BELIEVED - EPSILON
        another = self._do(self._reject(keeper, sent))
        if believed:
            assert not another, "an upstream that rejects everything makes a token request of each answer"
        elif now > issue.obtained_at + BELIEVED + EPSILON or not issue.after_rejection:
            assert another, "a rejected token was not given up"
        if current and another:
            account.rejected_at.append(now)
            issue.rejected = True

    @precondition(lambda self: self.waiters)
    @rule(which=st.integers(0, 50))
    def caller_leaves(self, which: int) -> None:
        _, waiter = self.waiters.pop(which % len(self.waiters))

        async def leave() -> None:
            waiter.cancel()
            await asyncio.wait((waiter,))
            await settle()

        self._do(leave())

    @rule(names=st.sets(st.sampled_from(_SOURCES)))
    def reload(self, names: set[str]) -> None:
        self._hold_sources(names)

    @rule(
        skew=st.sampled_from(["0s", "30s"]),
        idle=st.sampled_from(["5s", "30m"]),
        cached=st.sampled_from([2, 100]),
    )
    def reconfigure(self, skew: str, idle: str, cached: int) -> None:
        mapping = {"expiry_skew": skew, "idle_after": idle, "retry": self.refresh.retry.model_dump()}
        self.refresh = self.endpoint.settings = Refresh.model_validate(
            {**self.refresh.model_dump(include={"at", "jitter"}), **mapping}
        )
        self.tokens = Tokens.model_validate({"max_cached": cached})
        self.longest_idle = max(self.longest_idle, self.refresh.idle_after)
        self.store.reconfigure(self.refresh, self.tokens)

    @rule(seconds=st.sampled_from([-(10.0**7), -5.0, 3600.0, 10.0**8]))
    def wall_clock_jumps(self, seconds: float) -> None:
        self.clock.epoch += seconds

    # -- what holds after every step ---------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "task"):
            return
        assert not self.task.done(), "the store has ended"
        now = self.clock.now()
        keepers = self._keepers()
        for keeper in keepers:
            account = self._account(keeper)
            found, due = keeper.token, account.current()
            if found is not None and found.usable(now):
                self._judge(account, found)
            if due is not None and now < due.stop - 0.02 - EPSILON:
                assert found is not None, "a token that is good was given up"
        room = max(self.tokens.max_cached - len(self.store._application), 1)
        assert len(self.store._subjects) <= room, "more tokens than max_cached"
        assert len(self.clock.pending) <= len(keepers), "timers that nobody owns"
        dropped, obtained = len(self.events.drops), len(self.events.of("obtained"))
        assert dropped <= obtained, "more tokens dropped than obtained"
        self._judge_waiters()

    def _judge(self, account: Account, found: Token) -> Issue:
        """A token that would be sent now: one of this keeper's own, in time, never rejected."""
        issue = self._issue_of(account, found)
        now = self.clock.now()
        assert not issue.rejected or now >= issue.stop - 0.02, "a rejected token is used again"
        assert now < issue.stop + EPSILON, f"a token is used {now - issue.stop:g} s after its hard stop"
        assert found.line == b"Authorization: Bearer %b\r\n" % issue.text.encode()
        return issue

    def _judge_waiters(self) -> None:
        waiting = []
        for keeper, waiter in self.waiters:
            account = self._account(keeper)
            if not waiter.done():
                assert account.under_way is not None, "a request waits, and nothing is under way for it"
                waiting.append((keeper, waiter))
                continue
            account.used_at = max(account.used_at, self.clock.now())
            error = waiter.exception()
            if error is None:
                self.handed.append((keeper, waiter.result()))
            else:
                assert isinstance(error, TokenRefused | TokenUnavailable | SubjectTokenInvalid), repr(error)
        self.waiters = waiting

    # -- small things ------------------------------------------------------------------------------------------

    def _request(self, name: str, person: int) -> None:
        source = self.sources[name]
        now = self.clock.now()
        try:
            keeper = self._keeper(source, name, person)
        except SubjectTokenInvalid:
            assert self.clock.wall() >= _ENDS[person] - EPSILON
            return
        account = self._account(keeper)
        account.used_at = now
        found, due = keeper.usable(), account.current()
        if due is not None and now < due.stop - 0.02 - EPSILON:
            assert found is not None, "a request would wait although a good token is held"
        if found is not None:
            self._judge(account, found)
            self.handed.append((keeper, found))
            return
        self.waiters.append((keeper, self.loop.create_task(keeper.get())))
        self._do(settle())
        self._judge_waiters()

    def _keeper(self, source: Source, name: str, person: int) -> Keeper:
        if name == "agent":
            return source.keeper(f"person{person}")
        return source.keeper(_SUBJECT_TOKENS[person]) if name == "okta" else self.bound[name]

    def _keepers(self) -> list[Keeper]:
        return [*self.store._application.values(), *self.store._subjects.values()]

    def _end_of_subject(self, keeper: Keeper) -> float | None:
        return keeper._subject_ends

    def _account(self, keeper: Keeper) -> Account:
        account = self.accounts.get(keeper)
        if account is None:
            account = self.accounts[keeper] = Account(used_at=self.clock.now())
        return account

    @staticmethod
    def _issue_of(account: Account, found: Token) -> Issue:
        text = found.bearer.decode().removeprefix("Bearer ")
        issues = [issue for issue in account.issued if issue.text == text]
        assert issues, "a token that was never issued for this keeper"
        return issues[0]

    async def _reject(self, keeper: Keeper, sent: Token) -> bool:
        account = self._account(keeper)
        owed, account.owed = account.owed, account.owed or keeper.token is sent
        # Said before it happens: the request for the next token is made on the way.
        account.rejected_at.append(self.clock.now())
        another = keeper.reject(sent)
        if not another:
            account.owed = owed
            account.rejected_at.pop()
        await settle()
        return another

    def _recovers(self) -> None:
        """Healthy again: what belongs to the configuration comes back, and stays."""
        self.endpoint.healthy = _RECOVERED
        for asked in list(self.endpoint.waiting):
            self.endpoint.issue(asked, _RECOVERED, ends=self._end_of_subject(asked.keeper))
        self.endpoint.waiting.clear()
        self._do(self.clock.passes(2 * 3600.0 + 2 * self.refresh.retry.max + 60.0))
        self.holds()
        kept = [keeper for keeper in self.store._application.values() if keeper.startup]
        assert len(kept) == len(self.led_to & {"app", "app2"})
        for keeper in kept:
            if keeper.token is not None and keeper.token.lifetime <= FLEETING:
                self._do(keeper.get())  # not renewed without being used
        for _ in range(12):
            for keeper in kept:
                assert keeper.token is not None, "a start-up token did not come back"
                assert keeper.token.usable(self.clock.now()), "a gap while the token endpoint is healthy"
            self._do(self.clock.passes(_RECOVERED / 9))
        self.holds()
        assert not self.waiters, "a request waits for ever"

    def _do(self, what: Any) -> Any:
        return self.loop.run_until_complete(what)
