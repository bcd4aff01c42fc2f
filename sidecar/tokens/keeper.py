"""One token kept fresh.

Owns one token's life: when it is fetched, refreshed, given up. The fetch is the only writer of the token;
readers only read. A keeper has no task of its own: a timer tells it when something is due, and a task exists
only while a fetch is under way, so that ten thousand keepers cost memory and nothing else.

    start-up tokens     fetched at once, refreshed ahead, asked for again and again until they are there
    per-subject tokens  fetched on demand, refreshed ahead while they are used, let go when nobody does

Knows nothing of HTTP, of how a request is written (ask.py) or of who else is kept (store.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sidecar.clock import Clock, Timer
from sidecar.config.schema import Refresh, Tokens
from sidecar.digest import subject_digest
from sidecar.errors import Refusal, SubjectTokenInvalid
from sidecar.oauth.answer import Failure, Issued
from sidecar.oauth.hint import times
from sidecar.secret import Secret
from sidecar.tokens.ask import Endpoint, Wish, ask, for_subject
from sidecar.tokens.backoff import backoff, wait
from sidecar.tokens.recipe import Recipe
from sidecar.tokens.refusal import refusal
from sidecar.tokens.token import Token, hold
from sidecar.tokens.view import TokenEvents, TokenView, Trigger

# A token that was fetched because of a rejection is believed for so long: an upstream that says 401 to
# everything must not make a token request of each of its answers.
_BELIEVED = 10.0
# No two requests for one token within this, however short it lives (unless the upstream rejects it).
_LEAST_APART = 0.5
# A token that lives no longer than this is refreshed ahead only if it was used: a sidecar without traffic
# must not ask twice a second for ever.
_FLEETING = 1.5
# Timers of uvloop are exact to a millisecond; one that fires early must not make a busy loop.
_LEAST_DELAY = 0.001

State = Literal["fetching", "held", "backing_off", "empty"]


@dataclass(slots=True)
class Shared:
    """What all keepers of a store have in common; `refresh` and `tokens` are replaced by a reload."""

    clock: Clock
    endpoint: Endpoint
    events: TokenEvents
    refresh: Refresh
    tokens: Tokens
    draw: Callable[[], float]  # random numbers from 0 to 1
    forget: Callable[[Keeper], None]
    spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]] | None = None  # None: not running


class Keeper:
    """Keeps one token."""

    __slots__ = (
        "_after_rejection",
        "_backoff",
        "_failure",
        "_fetch",
        "_gone",
        "_lapsed",
        "_next_try",
        "_obtained_at",
        "_shared",
        "_subject",
        "_subject_ends",
        "_timer",
        "key",
        "last_used",
        "recipe",
        "rotations",
        "startup",
        "token",
    )

    def __init__(self, shared: Shared, recipe: Recipe, key: bytes, subject: Secret | None) -> None:
        """`subject`: the user or customer, or the bearer token that is exchanged."""
        self._shared = shared
        self.recipe = recipe
        self.key = key
        self._subject = subject
        self._subject_ends = self._end_of(subject)
        self.token: Token | None = None
        self.startup = False
        self.last_used = shared.clock.now()
        self.rotations = 0
        self._fetch: asyncio.Task[None] | None = None
        self._timer: Timer | None = None
        self._failure: Failure | None = None  # the last one since the last success
        self._backoff: Iterator[float] | None = None
        self._next_try = 0.0
        self._obtained_at = 0.0
        self._after_rejection = False
        self._lapsed = False  # the token that is held was told to be expired
        self._gone = False  # no longer kept: serves whoever still has it, refreshes nothing

    # -- for requests ------------------------------------------------------------------------------

    def usable(self) -> Token | None:
        """The token, when it can be sent now. Counts as use."""
        now = self.last_used = self._shared.clock.now()
        token = self.token
        return token if token is not None and now < token.hard_stop else None

    async def get(self) -> Token:
        """A usable token, waiting for the fetch under way or a new one.

        Raises TokenRefused or TokenUnavailable; between two tries at once. SubjectTokenInvalid when the token
        to be exchanged has expired. Cancelling the wait cancels nothing else.
        """
        token = self.usable()
        if token is not None:
            return token
        fetch: asyncio.Task[None] | None = self._under_way() or self._demand()
        began = self._shared.clock.now()
        try:
            while fetch is not None:
                await asyncio.wait((fetch,))
                token = self.usable()
                if token is not None:
                    return token
                fetch = self._under_way()  # rejected in the meantime, and being fetched again
        finally:
            self._shared.events.waited(self.recipe.name, self._shared.clock.now() - began)
        raise self._refusal()

    def reject(self, token: Token) -> bool:
        """The upstream answered 401 to this token.

        True when `get()` will bring another one, or say why there is none; False when this one has just been
        fetched because of a rejection: then the 401 is about something else and is the caller's to see.
        """
        if token is not self.token:
            return True
        now = self._shared.clock.now()
        if token.after_rejection and now < self._obtained_at + _BELIEVED:
            return False
        self.token = None
        if not self._lapsed and not self._gone:  # else it has been told already
            self._shared.events.dropped(self.recipe.name, "rejected")
        self._after_rejection = True
        if self._under_way() is None:
            # Not held back by _LEAST_APART, but by a server that fails: nothing is to be had from it.
            if self._shared.spawn is not None and (self._failure is None or self._may_ask(now)):
                self._start("rejected")
            else:
                self._schedule()
        return True

    # -- for the store -----------------------------------------------------------------------------

    def keep(self) -> None:
        """Make it a start-up token: fetched now, never let go."""
        self.startup = True
        if self._under_way() is None and not self._ever_obtained and self._may_ask(self._shared.clock.now()):
            self._start("startup")
        else:
            self._schedule()

    def check_subject(self) -> None:
        """Raises SubjectTokenInvalid when the token to be exchanged has expired."""
        if self._subject_ends is not None and self._shared.clock.now() >= self._subject_ends:
            raise SubjectTokenInvalid("the caller's bearer token has expired", credential=self.recipe.name)

    def release(self) -> None:
        """Refresh nothing any more. Requests that still have it are served."""
        self._gone = True
        self.startup = False
        self._cancel_timer()

    @property
    def held(self) -> bool:
        """There is a token that has not been told to be gone."""
        return self.token is not None and not self._lapsed

    def view(self) -> TokenView:
        now, token, failure = self._shared.clock.now(), self.token, self._failure
        return TokenView(
            credential=self.recipe.name,
            scopes=tuple(sorted(self.recipe.scopes)),
            subject=self._digest(),
            startup=self.startup,
            ever_obtained=self._ever_obtained,
            state=self._state(now),
            in_use=self.startup or now < self.last_used + self._shared.refresh.idle_after,
            asked_at=token.asked_at if token else None,
            lifetime=token.lifetime if token else None,
            refresh_at=token.refresh_at if token else None,
            hard_stop=token.hard_stop if token else None,
            expires_at=token.expires_at if token else None,
            next_try=self._next_try if failure else None,
            last_error=failure.reason if failure else None,
            rotations=self.rotations,
        )

    # -- fetching ----------------------------------------------------------------------------------

    def _demand(self) -> asyncio.Task[None]:
        now = self._shared.clock.now()
        self.check_subject()
        if not self._may_ask(now):
            raise self._refusal()
        return self._start("demand")

    def _may_ask(self, now: float) -> bool:
        return now >= self._next_try and self._shared.spawn is not None

    def _start(self, trigger: Trigger) -> asyncio.Task[None]:
        assert self._shared.spawn is not None
        self._cancel_timer()
        if self.startup and not self._ever_obtained:
            trigger = "startup"
        self._fetch = self._shared.spawn(self._obtain(trigger))
        return self._fetch

    async def _obtain(self, trigger: Trigger) -> None:
        """The fetch. What is not expected here is a bug, and ends the store's task group."""
        result, asked_at = await self._ask(for_subject(self.recipe, self._subject), trigger)
        failure = self._accept(result, asked_at) if isinstance(result, Issued) else result
        if failure is not None:
            self._failed(failure, trigger)
        else:
            token = self.token
            assert token is not None  # just accepted
            self._shared.events.obtained(self.recipe.name, self._digest(), token.scopes, token.lifetime)
        self._fetch = None
        self._schedule()

    async def _ask(self, wish: Wish, trigger: Trigger) -> tuple[Issued | Failure, float]:
        shared = self._shared
        return await ask(
            wish, trigger,
            clock=shared.clock, endpoint=shared.endpoint, events=shared.events, tokens=shared.tokens,
        )  # fmt: skip

    def _accept(self, issued: Issued, asked_at: float) -> Failure | None:
        """Take the token; a failure when it is over before it could be sent once."""
        shared, now = self._shared, self._shared.clock.now()
        lifetime = issued.lifetime
        if self._subject_ends is not None:
            lifetime = min(lifetime, self._subject_ends - asked_at)
        token = hold(
            issued.value,
            asked_at=asked_at,
            lifetime=lifetime,
            scopes=self.recipe.scopes if issued.scopes is None else self._without_prefix(issued.scopes),
            refresh=shared.refresh,
            draw=shared.draw(),
            after_rejection=self._after_rejection,
        )
        if not token.usable(now):
            return Failure("unavailable", "timeout", "the token was over before its answer had arrived")
        self.token = token
        self.rotations += 1
        self._failure = self._backoff = None
        self._after_rejection = self._lapsed = False
        self._obtained_at = now
        self._next_try = asked_at + _LEAST_APART
        return None

    def _failed(self, failure: Failure, trigger: Trigger) -> None:
        shared, retry = self._shared, self._shared.refresh.retry
        if self._backoff is None:
            self._backoff = backoff(retry, shared.draw)
        now = shared.clock.now()
        left = self.token.hard_stop - now if self.token is not None else 0.0
        delay = wait(next(self._backoff), failure.retry_after, retry.initial, left)
        self._failure = failure
        self._next_try = now + delay
        shared.events.failed(self.recipe.name, self._digest(), trigger, failure.reason, delay, failure.detail)

    def _refusal(self) -> Refusal:
        return refusal(self.recipe.name, self._failure, self._next_try - self._shared.clock.now())

    # -- what is due when --------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Set the timer to whatever is due next. While a fetch is under way its end is."""
        self._cancel_timer()
        if self._gone or self._shared.spawn is None or self._under_way() is not None:
            return
        now = self._shared.clock.now()
        due = [when for when in (self._ends_at(), self._asks_at(now), self._idle_at()) if when is not None]
        if due:
            self._timer = self._shared.clock.call_later(max(min(due) - now, _LEAST_DELAY), self._due)

    def _due(self) -> None:
        self._timer = None
        now = self._shared.clock.now()
        ends_at, idle_at = self._ends_at(), self._idle_at()
        if ends_at is not None and now >= ends_at:
            # It stays, with its times, so that a look at the metrics shows how long it has been over.
            self._lapsed = True
            self._shared.events.dropped(self.recipe.name, "expired")
        if idle_at is not None and now >= idle_at:
            if self.held:
                self._shared.events.dropped(self.recipe.name, "idle")
            self._shared.forget(self)
            self.release()
            return
        asks_at = self._asks_at(now)
        if asks_at is not None and now >= asks_at and self._under_way() is None:
            self._start("ahead")
        else:
            self._schedule()

    def _ends_at(self) -> float | None:
        return self.token.hard_stop if self.token is not None and not self._lapsed else None

    def _asks_at(self, now: float) -> float | None:
        """When to ask without anybody waiting."""
        token = self.token
        if token is not None and token.lifetime <= _FLEETING and self.last_used <= self._obtained_at:
            return None
        if token is not None and token.usable(now):
            # An exchanged token that ends with its subject token cannot be had any longer: asking ahead would
            # only bring ever shorter ones.
            capped = self._subject_ends is not None and token.expires_at > self._subject_ends - 1.0
            return None if capped else max(token.refresh_at, self._next_try)
        return self._next_try if self.startup else None

    def _idle_at(self) -> float | None:
        return None if self.startup else self.last_used + self._shared.refresh.idle_after

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # -- small things ------------------------------------------------------------------------------

    @property
    def _ever_obtained(self) -> bool:
        return self.rotations > 0

    def _under_way(self) -> asyncio.Task[None] | None:
        return self._fetch if self._fetch is not None and not self._fetch.done() else None

    def _state(self, now: float) -> State:
        if self.token is not None and self.token.usable(now):
            return "held"
        if self._under_way() is not None:
            return "fetching"
        return "backing_off" if self._failure is not None else "empty"

    def _digest(self) -> str | None:
        return None if self._subject is None else subject_digest(self._subject.reveal())

    def _without_prefix(self, scopes: frozenset[str]) -> frozenset[str]:
        prefix = self.recipe.credential.scope_prefix
        return frozenset(scope.removeprefix(prefix) for scope in scopes)

    def _end_of(self, subject: Secret | None) -> float | None:
        """When the token to be exchanged ends, by its own account; None when it does not say."""
        if subject is None or self.recipe.credential.grant != "token_exchange":
            return None
        exp = times(subject.reveal()).exp
        clock = self._shared.clock
        return None if exp is None else clock.now() + exp - clock.wall()
