"""The token of one session kept fresh, with a refresh token that may be used once.

Owns how a session's next token is got: what is kept is looked at first - another process may have been faster - and a
new refresh token is kept before its access token is used. When to ask, and that nobody asks twice at a time, is the
Keeper's.

    refreshed ahead while people use the session; on demand when they come back; never after it is over
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from sidecar import logs
from sidecar.digest import subject_digest
from sidecar.errors import LoginRequired, Refusal
from sidecar.oauth.answer import Failure, Issued
from sidecar.oauth.grants import refresh_form
from sidecar.signin.session import Grant, Session
from sidecar.tokens.ask import Wish
from sidecar.tokens.keeper import Keeper, Shared
from sidecar.tokens.recipe import Recipe
from sidecar.tokens.token import Token
from sidecar.tokens.view import Trigger

if TYPE_CHECKING:
    from sidecar.signin.sessions import Sessions

_GONE = Failure("refused", "session_over", "the session is over")
# What an authorization server answers to a refresh token that it does not know any more, or not without the person.
_DEAD = frozenset({"invalid_grant", "login_required", "interaction_required", "consent_required"})


class SessionKeeper(Keeper):
    """Keeps the token of one session."""

    __slots__ = ("_began", "_sessions", "over", "session", "stored")

    def __init__(self, shared: Shared, recipe: Recipe, session: Session, sessions: Sessions) -> None:
        super().__init__(shared, recipe, session.digest, None)
        self._sessions = sessions
        self.session = session
        self.over = False
        self.stored = True  # or it could not be written, and is nowhere but here
        # From here on only the monotonic clock counts: setting the wall clock ends nobody's session.
        self._began = self._moment(session.created)
        self.last_used = self._moment(session.used)
        # Its token may have run out while nobody was here: then the next request asks for another one.
        self._accept(session.grant.issued(), self._moment(session.grant.asked_at))
        self._schedule()

    @property
    def name(self) -> str:
        """What requests name it by: like the cookie, and useless to whoever learns it."""
        return self.key.hex()

    @property
    def used(self) -> float:
        """When it was used last, wall clock."""
        return self._wall(self.last_used)

    @property
    def created(self) -> float:
        """When somebody signed in, by the wall clock as it is now."""
        return self._wall(self._began)

    @property
    def ends_at(self) -> float:
        """When it is over, used or not; monotonic."""
        return self._began + self._sessions.settings.max_lifetime

    @property
    def over_at(self) -> float:
        """When it is over if nobody uses it any more; monotonic."""
        if self.session.lasting:
            return self.ends_at
        return min(self.last_used + self._sessions.settings.idle_timeout, self.ends_at)

    def reject(self, token: Token) -> bool:
        """As for every token; without a refresh token the session ends with it."""
        if self.over:  # `get()` says so; nothing is asked for
            self.token = None
            return True
        if self.session.grant.refresh is None and token is self.token:
            self.token = None
            self._end("rejected")
            return True
        return super().reject(token)

    # -- what is asked for -----------------------------------------------------------------------------------------

    async def _ask(self, wish: Wish, trigger: Trigger) -> tuple[Issued | Failure, float]:
        shared, sessions = self._shared, self._sessions
        found = await sessions.begin(self)
        if self._ended():  # somebody has signed out meanwhile
            return _GONE, shared.clock.now()
        if found is None or found.grant.refresh is None:
            return self._lost("gone"), shared.clock.now()
        if found.generation > self.session.generation:
            return self._taken_over(found)
        refresh = found.grant.refresh
        form = partial(refresh_form, self.recipe.credential, refresh_token=refresh.reveal())
        result, asked_at = await super()._ask(Wish(self.recipe, form, (refresh,)), trigger)
        if isinstance(result, Issued):
            self.session = found.renewed(Grant.of(result, self._wall(asked_at), found.grant))
            await sessions.renewed(self)  # before anybody uses it
        elif result.reason in _DEAD:
            latest = await sessions.latest(self)
            if latest is not None and latest.generation > found.generation:
                return self._taken_over(latest)
            sessions.events.refreshed(self.recipe.name, result.outcome)
            return self._lost("interrupted" if found.refreshing is not None else "refused", result), asked_at
        else:
            await sessions.failed(self, result)
        return _GONE if self._ended() else result, asked_at

    def _ended(self) -> bool:
        return self.over

    def _taken_over(self, found: Session) -> tuple[Issued, float]:
        """Another process has refreshed it in the meantime: its tokens are ours, too."""
        self.session = found
        self._sessions.events.refreshed(self.recipe.name, "taken_over")
        return found.grant.issued(), self._moment(found.grant.asked_at)

    def _lost(self, why: str, failure: Failure = _GONE) -> Failure:
        """Nobody can refresh it any more: whoever comes next has to sign in."""
        if why == "interrupted":
            # A refresh had begun, and its answer was never kept: its process died, or the answer got lost.
            logs.get("sessions").warning("session_lost", credential=self.recipe.name)
        self.token = None
        self._end(why)
        return failure

    def _end(self, why: str) -> None:
        self.over = True
        self._sessions.end(self, why)

    # -- when ------------------------------------------------------------------------------------------------------

    def _asks_at(self, now: float) -> float | None:
        if self.over or self.session.grant.refresh is None:
            return None
        if now > self.last_used + self._shared.refresh.idle_after:
            return None
        return super()._asks_at(now)

    def _idle_at(self) -> float | None:
        return self.over_at

    def _may_ask(self, now: float) -> bool:
        return not self.over and super()._may_ask(now)

    # -- what a request is told --------------------------------------------------------------------------------------

    def _demand(self) -> asyncio.Task[None]:
        if self.session.grant.refresh is None:
            self._end("expired")
        return super()._demand()

    def _refusal(self) -> Refusal:
        if self.over:
            return LoginRequired("the session is over; sign in again", credential=self.recipe.name)
        return super()._refusal()

    # -- small things ------------------------------------------------------------------------------------------------

    def _digest(self) -> str:
        return subject_digest(self.name)

    def _moment(self, wall: float) -> float:
        """Wall-clock seconds as monotonic ones."""
        clock = self._shared.clock
        return clock.now() - (clock.wall() - wall)

    def _wall(self, moment: float) -> float:
        clock = self._shared.clock
        return clock.wall() - (clock.now() - moment)
