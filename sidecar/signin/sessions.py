"""All sessions of people who have signed in: a bounded set, found by their cookies.

Owns which sessions live, when they end, and what is kept of them beyond the process. Knows nothing of HTTP. A session's
token is keeper.py's business, where it is kept store.py's.
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import Awaitable, Collection, Mapping
from dataclasses import replace
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
from sidecar.signin.session import Grant, Session, digest_of, new_id
from sidecar.signin.store import Busy, Store
from sidecar.tokens.ask import Endpoint, Wish, ask
from sidecar.tokens.fetches import Fetches
from sidecar.tokens.keeper import Keeper, Shared
from sidecar.tokens.recipe import Recipe
from sidecar.tokens.view import TokenEvents, TokenView

_SAVE_USE_EVERY: Final = 60.0  # seconds between two looks at which sessions were used
_LOOK_EVERY: Final = 0.1  # seconds between two looks at another process's refresh
_FINISH: Final = 5.0  # seconds for refreshes under way when the process ends
_JUMP: Final = 1.0  # seconds; the wall clock was set, rather than drifted
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
        self._store = store
        self._fetches = Fetches()
        self._saving: Timer | None = None
        self._unremoved: set[bytes] = set()  # over, and the store could not be told yet
        self._offset = clock.wall() - clock.now()
        self._keepers: OrderedDict[bytes, SessionKeeper] = OrderedDict()  # least recently used first
        self._shared = Shared(
            clock, endpoint, token_events, refresh, tokens, draw=random.random, forget=self._forget
        )

    # -- life ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._store.open()
        await self._fetches.__aenter__()
        self._shared.spawn = self._fetches.spawn
        if self._store.keeps:
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
        if self._store.keeps:
            await self._fetches.finish(_FINISH)  # else a refresh token is used up, and the new one lost
        await self._fetches.__aexit__(kind, error, traceback)
        await self._save_use()
        await self._store.close()

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
        stored = await self._written(self._store.add(session))
        self._live(recipe, session).stored = stored
        self._evict()
        return cookie

    def end(self, keeper: SessionKeeper, reason: str) -> None:
        """It is over, for whatever reason: its cookie leads nowhere."""
        if self._let_go(keeper):
            self._ended(keeper, reason)
        if self._shared.spawn is not None and self._store.keeps:
            self._shared.spawn(self._remove(keeper.key))

    async def sign_out(self, keeper: SessionKeeper, reason: str) -> None:
        """The same, done to the end: what nobody has any more must not come back with the next process."""
        if self._let_go(keeper):
            self._ended(keeper, reason)
        await self._remove(keeper.key)

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
        if found is not None or not self._store.keeps:
            return found
        try:
            session = await self._store.find(digest)
        except OSError as error:
            self._store_failed(error)
            return None
        if session is None or session.credential != recipe.name or digest in self._unremoved:
            return None
        if session.server != str(recipe.credential.token_url):  # the configuration has moved on
            return None
        if session.over_at(self.settings) <= self._shared.clock.wall():
            await self._remove(digest)
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
        elif not self._store.keeps:
            self.end(keeper, "idle")
        elif self._let_go(keeper) and self._shared.spawn is not None:
            self._shared.spawn(self._expire(keeper))

    async def _expire(self, keeper: SessionKeeper) -> None:
        """Nobody has used it here; perhaps somebody has in another process, and then it lives on there."""
        before = self._shared.clock.wall() - self.settings.idle_timeout
        try:
            gone = await self._store.expire(keeper.key, before)
        except OSError as error:
            self._store_failed(error)
            gone = True
        if gone:
            self._ended(keeper, "idle")

    # -- refreshing, for keepers -----------------------------------------------------------------------------------

    async def begin(self, keeper: SessionKeeper) -> Session | None:
        """A refresh begins: the session as it is kept now. None: it is gone."""
        clock, lease = self._shared.clock, 2 * self._shared.tokens.request_timeout
        try:
            while isinstance(found := await self._store.begin(keeper.session, clock.wall(), lease), Busy):
                await self._pause(_LOOK_EVERY)
        except OSError as error:
            self._store_failed(error)  # what this process knows is all there is
            return keeper.session
        return keeper.session if found is None and not keeper.stored else found

    async def _pause(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._shared.clock.call_later(seconds, partial(_wake, over))
        try:
            await over
        finally:
            timer.cancel()

    async def renewed(self, keeper: SessionKeeper) -> None:
        self.events.refreshed(keeper.recipe.name, "ok")
        if keeper.stored:
            await self._written(self._store.save(keeper.session))
        elif not keeper.over:
            keeper.stored = await self._written(self._store.add(keeper.session))

    async def failed(self, keeper: SessionKeeper, failure: Failure) -> None:
        self.events.refreshed(keeper.recipe.name, failure.outcome)
        if failure.outcome in _UNTOUCHED or failure.reason in ("connect", "tls"):
            try:
                await self._store.give_up(keeper.session)
            except OSError as error:
                self._store_failed(error)

    async def latest(self, keeper: SessionKeeper) -> Session | None:
        try:
            return await self._store.find(keeper.key)
        except OSError as error:
            self._store_failed(error)
            return None

    # -- the store -------------------------------------------------------------------------------------------------

    async def _written(self, writing: Awaitable[None]) -> bool:
        try:
            await writing
        except OSError as error:
            self._store_failed(error)  # it lives on in this process
            return False
        return True

    async def _remove(self, digest: bytes) -> None:
        if await self._written(self._store.remove(digest)):
            self._unremoved.discard(digest)
        else:
            self._unremoved.add(digest)

    def _save_later(self) -> None:
        self._saving = self._shared.clock.call_later(_SAVE_USE_EVERY, self._save_now)

    def _save_now(self) -> None:
        if self._shared.spawn is not None:
            self._shared.spawn(self._save_use())
            self._save_later()

    async def _save_use(self) -> None:
        if not self._store.keeps:
            return
        for digest in list(self._unremoved):
            await self._remove(digest)
        clock, keepers = self._shared.clock, list(self._keepers.values())
        before, self._offset = self._offset, clock.wall() - clock.now()
        try:
            if abs(self._offset - before) > _JUMP:
                # The clock was set: by it, what is kept is older or younger than it is. Only those who have a session
                # in memory know better, and another process has to have its turn before anything is cleaned away.
                for keeper in keepers:
                    keeper.session = replace(keeper.session, created=keeper.created)
                await self._store.correct([replace(k.session, used=k.used) for k in keepers])
            else:
                await self._store.touch([(keeper.key, keeper.used) for keeper in keepers])
                await self._store.clean(clock.wall(), self.settings)
        except OSError as error:
            self._store_failed(error)

    @staticmethod
    def _store_failed(error: OSError) -> None:
        logs.get("sessions").error("session_store_failed", reason=error.strerror or type(error).__name__)


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
