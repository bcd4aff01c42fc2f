"""All sessions of people who have signed in: a bounded set, found by their cookies.

Owns which sessions live and when they end. Knows nothing of HTTP. A session's token is keeper.py's business, what is
kept of it beyond the process kept.py's.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Collection, Mapping
from functools import partial
from types import TracebackType
from typing import Final, Protocol, Self

from sidecar import logs
from sidecar.clock import Clock, Timer
from sidecar.config.schema import Refresh, Tokens
from sidecar.config.sessions import Sessions as Settings
from sidecar.errors import LoginRequired
from sidecar.oauth.answer import Failure, Issued
from sidecar.oauth.grants import code_form
from sidecar.secret import Secret
from sidecar.signin.keeper import SessionKeeper
from sidecar.signin.kept import Kept
from sidecar.signin.session import Grant, Session, digest_of, new_id
from sidecar.signin.store import Store
from sidecar.tokens.ask import Endpoint, Wish, ask
from sidecar.tokens.fetches import Fetches
from sidecar.tokens.keeper import Keeper, Shared
from sidecar.tokens.recipe import Recipe
from sidecar.tokens.view import TokenEvents, TokenView

_SAVE_USE_EVERY: Final = 60.0  # seconds between two looks at which sessions were used
_FINISH: Final = 5.0  # seconds for refreshes under way when the process ends
# An authorization server heard of the refresh token, and it may be used up, unless it has said what this says.
_UNTOUCHED: Final = frozenset({"refused", "throttled"})


class SessionEvents(Protocol):
    """Told of what becomes of sessions; never raises, never blocks. The words are metric labels."""

    def ended(self, credential: str, reason: str) -> None: ...

    def refreshed(self, credential: str, outcome: str) -> None: ...


class SessionSource:
    """Where the tokens of one credential's sessions come from."""

    __slots__ = ("_sessions", "recipe")

    def __init__(self, sessions: Sessions, recipe: Recipe) -> None:
        self._sessions = sessions
        self.recipe = recipe

    def find(self, cookie: str) -> SessionKeeper | None:
        """The session of this cookie, if it is at hand. Does not count as use."""
        return self._sessions.find(self.recipe, digest_of(cookie))

    async def load(self, cookie: str) -> SessionKeeper | None:
        """The session of this cookie, wherever it is kept."""
        return await self._sessions.load(self.recipe, digest_of(cookie))

    def keeper(self, subject: str) -> Keeper:
        """The token of this session, named as by `SessionKeeper.name`. Raises LoginRequired."""
        found = self._sessions.find(self.recipe, bytes.fromhex(subject))
        if found is None:
            raise LoginRequired("the session is over; sign in again", credential=self.recipe.name)
        return found

    async def sign_in(self, code: str, verifier: str) -> tuple[Issued, float] | Failure:
        """Change a code into tokens; with the wall-clock moment before it was asked for."""
        return await self._sessions.exchange(self.recipe, code, verifier)

    async def begin(
        self, issued: Issued, asked_at: float, claims: Mapping[str, str], cookie: str | None = None
    ) -> str:
        """A new session. Returns its cookie; with one given (local.py), nobody's browser has it, and it is lasting."""
        return await self._sessions.start(self.recipe, issued, asked_at, claims, cookie)


class Sessions:
    """The sessions. `async with` it before anybody signs in."""

    def __init__(
        self,
        clock: Clock,
        endpoint: Endpoint,
        token_events: TokenEvents,
        events: SessionEvents,
        refresh: Refresh,
        tokens: Tokens,
        settings: Settings,
        store: Store,
    ) -> None:
        self.events = events
        self.settings = settings
        self._kept = Kept(store, clock)
        self._fetches = Fetches()
        self._saving: Timer | None = None
        self._keepers: OrderedDict[bytes, SessionKeeper] = OrderedDict()  # least recently used first
        self._shared = Shared(
            clock, endpoint, token_events, refresh, tokens, draw=random.random, forget=self._forget
        )

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._kept.open()
        await self._fetches.__aenter__()
        self._shared.spawn = self._fetches.spawn
        if self._kept.anything:
            self._save_later()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shared.spawn = None
        if self._saving is not None:
            self._saving.cancel()
        for keeper in self._keepers.values():
            keeper.release()
        if self._kept.anything:
            await self._fetches.finish(_FINISH)  # else a refresh token is used up, and the new one lost
        await self._fetches.__aexit__(kind, error, traceback)
        await self._save_use()
        await self._kept.close()

    def reconfigure(self, refresh: Refresh, tokens: Tokens, settings: Settings) -> None:
        """Settings for every token and session from now on; the store stays the one of the start."""
        self._shared.refresh, self._shared.tokens, self.settings = refresh, tokens, settings
        self._evict()

    def hold(self, sources: Collection[SessionSource]) -> None:
        """Serve by these sources; sessions of a credential that is not there any more end."""
        recipes = {source.recipe.name: source.recipe for source in sources}
        for keeper in list(self._keepers.values()):
            recipe = recipes.get(keeper.recipe.name)
            if recipe is None or recipe.credential.token_url != keeper.recipe.credential.token_url:
                self.end(keeper, "removed")
            else:
                keeper.recipe = recipe

    def counts(self) -> dict[str, int]:
        """How many sessions each credential has here."""
        found: dict[str, int] = {}
        for keeper in self._keepers.values():
            found[keeper.recipe.name] = found.get(keeper.recipe.name, 0) + 1
        return found

    def views(self) -> list[TokenView]:
        return [keeper.view() for keeper in self._keepers.values()]

    # -- signing in and out ------------------------------------------------------------------------------------------

    async def exchange(self, recipe: Recipe, code: str, verifier: str) -> tuple[Issued, float] | Failure:
        shared = self._shared

        form = partial(code_form, recipe.credential, code=code, verifier=verifier)
        wall = shared.clock.wall()
        issued, _ = await ask(
            Wish(recipe, form, (Secret(code), Secret(verifier))), "demand",
            clock=shared.clock, endpoint=shared.endpoint, events=shared.events, tokens=shared.tokens,
        )  # fmt: skip
        return issued if isinstance(issued, Failure) else (issued, wall)

    async def start(
        self, recipe: Recipe, issued: Issued, asked_at: float, claims: Mapping[str, str], given: str | None
    ) -> str:
        cookie, wall = given or new_id(), self._shared.clock.wall()
        session = Session(
            digest_of(cookie),
            recipe.name,
            str(recipe.credential.token_url),
            wall,
            wall,
            claims,
            Grant.of(issued, asked_at),
            lasting=given is not None,
        )
        stored = await self._kept.add(session)
        self._live(recipe, session).stored = stored
        self._evict()
        return cookie

    def end(self, keeper: SessionKeeper, reason: str) -> None:
        """It is over, for whatever reason: its cookie leads nowhere."""
        if self._let_go(keeper):
            self._ended(keeper, reason)
        if self._shared.spawn is not None and self._kept.anything:
            self._shared.spawn(self._kept.remove(keeper.key))

    async def sign_out(self, keeper: SessionKeeper, reason: str) -> None:
        """The same, done to the end: what nobody has any more must not come back with the next process."""
        if self._let_go(keeper):
            self._ended(keeper, reason)
        await self._kept.remove(keeper.key)

    def _let_go(self, keeper: SessionKeeper) -> bool:
        """Keep it here no longer. Whether it was."""
        keeper.over = True
        keeper.release()
        found = self._keepers.get(keeper.key) is keeper
        if found:
            del self._keepers[keeper.key]
        return found

    def _ended(self, keeper: SessionKeeper, reason: str) -> None:
        self.events.ended(keeper.recipe.name, reason)
        logs.get("sessions").info("session_ended", credential=keeper.recipe.name, reason=reason)

    # -- finding ---------------------------------------------------------------------------------------------------

    def find(self, recipe: Recipe, digest: bytes) -> SessionKeeper | None:
        keeper = self._keepers.get(digest)
        if keeper is None or keeper.recipe.name != recipe.name:
            return None
        if self._shared.clock.now() >= keeper.over_at:  # its timer is late
            self._forget(keeper)
            return None
        self._keepers.move_to_end(digest)
        return keeper

    async def load(self, recipe: Recipe, digest: bytes) -> SessionKeeper | None:
        found = self.find(recipe, digest)
        if found is not None or not self._kept.anything:
            return found
        session = await self._kept.find(digest)
        if session is None or session.credential != recipe.name:
            return None
        if session.server != str(recipe.credential.token_url):  # the configuration has moved on
            return None
        if session.over_at(self.settings) <= self._shared.clock.wall():
            await self._kept.remove(digest)
            return None
        keeper = self.find(recipe, digest)  # another request may have been faster
        if keeper is None:
            keeper = self._live(recipe, session)
            self._evict()
        return keeper

    def _live(self, recipe: Recipe, session: Session) -> SessionKeeper:
        keeper = self._keepers[session.digest] = SessionKeeper(self._shared, recipe, session, self)
        return keeper

    def _evict(self) -> None:
        while len(self._keepers) > self.settings.max_sessions:
            self.end(next(iter(self._keepers.values())), "capacity")

    def _forget(self, keeper: Keeper) -> None:
        """Nobody has used it for too long, or it has lived too long."""
        assert isinstance(keeper, SessionKeeper)
        if self._shared.clock.now() >= keeper.ends_at:
            self.end(keeper, "lifetime")
        elif not self._kept.anything:
            self.end(keeper, "idle")
        elif self._let_go(keeper) and self._shared.spawn is not None:
            self._shared.spawn(self._expire(keeper))

    async def _expire(self, keeper: SessionKeeper) -> None:
        """Nobody has used it here; perhaps somebody has in another process, and then it lives on there."""
        before = self._shared.clock.wall() - self.settings.idle_timeout
        if await self._kept.expire(keeper.key, before):
            self._ended(keeper, "idle")

    # -- refreshing, for keepers -----------------------------------------------------------------------------------

    async def begin(self, keeper: SessionKeeper) -> Session | None:
        """A refresh begins: the session as it is kept now. None: it is gone."""
        return await self._kept.begin(keeper, 2 * self._shared.tokens.request_timeout)

    async def renewed(self, keeper: SessionKeeper) -> None:
        self.events.refreshed(keeper.recipe.name, "ok")
        await self._kept.renewed(keeper)

    async def failed(self, keeper: SessionKeeper, failure: Failure) -> None:
        self.events.refreshed(keeper.recipe.name, failure.outcome)
        if failure.outcome in _UNTOUCHED or failure.unsent:
            await self._kept.give_up(keeper.session)

    async def latest(self, keeper: SessionKeeper) -> Session | None:
        return await self._kept.find(keeper.key)

    # -- when they were used -----------------------------------------------------------------------------------------

    def _save_later(self) -> None:
        self._saving = self._shared.clock.call_later(_SAVE_USE_EVERY, self._save_now)

    def _save_now(self) -> None:
        if self._shared.spawn is not None:
            self._shared.spawn(self._save_use())
            self._save_later()

    async def _save_use(self) -> None:
        if self._kept.anything:
            await self._kept.note_use(list(self._keepers.values()), self.settings)
