"""All tokens that are kept: a bounded set of keepers, found by what shaped their tokens.

Owns which keepers exist: application-level ones as long as the configuration names them, per-subject ones
until they are idle or too many. Knows nothing of HTTP; a token's life is the keeper's business.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Self

from sidecar.clock import Clock
from sidecar.config.schema import Client, Credential, Refresh, Tokens
from sidecar.oauth.grants import fixed_subject, per_subject
from sidecar.secret import Secret
from sidecar.tokens.ask import Endpoint
from sidecar.tokens.fetches import Fetches
from sidecar.tokens.keeper import Keeper, Shared
from sidecar.tokens.recipe import Recipe, recipe, subject_key
from sidecar.tokens.view import TokenEvents, TokenView


class Source:
    """Where the tokens of one credential and scope set come from."""

    __slots__ = ("_store", "per_subject", "recipe")

    def __init__(self, store: TokenStore, recipe: Recipe) -> None:
        self._store = store
        self.recipe = recipe
        self.per_subject = per_subject(recipe.credential)

    @property
    def credential(self) -> str:
        return self.recipe.name

    def keeper(self, subject: str | None = None) -> Keeper:
        """The keeper of the application's token, or of this subject's.

        `subject`: the user or customer; for token_exchange the caller's bearer token. Needed exactly for
        per-subject sources.
        """
        if (subject is not None) != self.per_subject:
            raise ValueError("a per-subject source needs a subject, another one takes none")
        if subject is None:
            return self._store.for_application(self)
        return self._store.for_subject(self, subject)


class TokenStore:
    """The keepers. `async with` it before anything is fetched."""

    def __init__(
        self, clock: Clock, endpoint: Endpoint, events: TokenEvents, refresh: Refresh, tokens: Tokens
    ) -> None:
        self._shared = Shared(
            clock, endpoint, events, refresh, tokens,
            draw=random.random,  # spreads load; nobody gains by guessing it
            forget=self._forget,
        )  # fmt: skip
        self._fetches = Fetches()
        self._application: dict[bytes, Keeper] = {}
        self._subjects: OrderedDict[bytes, Keeper] = OrderedDict()  # least recently used first

    # -- life --------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        await self._fetches.__aenter__()
        self._shared.spawn = self._fetches.spawn
        for keeper in self._startup():
            keeper.keep()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._shared.spawn = None
        for keeper in (*self._application.values(), *self._subjects.values()):
            keeper.release()
        await self._fetches.__aexit__(kind, error, traceback)

    # -- what is kept ------------------------------------------------------------------------------

    def source(self, name: str, credential: Credential, client: Client, scopes: Iterable[str]) -> Source:
        """Where tokens of this credential with these scopes come from."""
        return Source(self, recipe(name, credential, client, scopes))

    def hold(self, sources: Collection[Source]) -> None:
        """Serve by these sources, all there are in the configuration.

        Application-level ones are the start-up set: fetched now, unless they are held already. Tokens that no
        source leads to any more are let go; all others stay.
        """
        wanted = {source.recipe.key: source for source in sources}
        for key in [key for key in self._application if key not in wanted]:
            self._application.pop(key).release()
        for key in [key for key, keeper in self._subjects.items() if keeper.recipe.key not in wanted]:
            self._subjects.pop(key).release()
        for source in sources:
            if not source.per_subject:
                source.keeper().keep()

    def reconfigure(self, refresh: Refresh, tokens: Tokens) -> None:
        """Settings for every token that is obtained from now on."""
        self._shared.refresh = refresh
        self._shared.tokens = tokens
        self._evict()

    def missing(self) -> list[str]:
        """Start-up tokens that were never obtained, each as a text for people."""
        return [
            f"token of credential {keeper.recipe.name}"
            + (f" ({' '.join(sorted(keeper.recipe.scopes))})" if keeper.recipe.scopes else "")
            for keeper in self._startup()
            if not keeper.rotations
        ]

    def views(self) -> list[TokenView]:
        """Every keeper as it is at this moment."""
        return [keeper.view() for keeper in (*self._application.values(), *self._subjects.values())]

    def _startup(self) -> list[Keeper]:
        return [keeper for keeper in self._application.values() if keeper.startup]

    # -- for sources -------------------------------------------------------------------------------

    def for_application(self, source: Source) -> Keeper:
        keeper = self._application.get(source.recipe.key)
        if keeper is None:
            fixed = fixed_subject(source.recipe.credential)
            subject = None if fixed is None else Secret(fixed)
            keeper = Keeper(self._shared, source.recipe, source.recipe.key, subject)
            self._application[source.recipe.key] = keeper
            self._evict()
        keeper.recipe = source.recipe  # after a reload: the same token, but perhaps another ca_file
        return keeper

    def for_subject(self, source: Source, subject: str) -> Keeper:
        key = subject_key(source.recipe.key, subject)
        keeper = self._subjects.get(key)
        if keeper is None:
            keeper = Keeper(self._shared, source.recipe, key, Secret(subject))
            keeper.check_subject()  # an expired one takes nobody's place
            self._subjects[key] = keeper
            self._evict()
        else:
            self._subjects.move_to_end(key)
            keeper.recipe = source.recipe
        return keeper

    def _evict(self) -> None:
        """Let go of the least recently used subjects' tokens while there are too many of all."""
        room = max(self._shared.tokens.max_cached - len(self._application), 1)
        while len(self._subjects) > room:
            _, keeper = self._subjects.popitem(last=False)
            if keeper.held:
                self._shared.events.dropped(keeper.recipe.name, "capacity")
            keeper.release()

    def _forget(self, keeper: Keeper) -> None:
        for kept in (self._subjects, self._application):
            if kept.get(keeper.key) is keeper:
                del kept[keeper.key]
