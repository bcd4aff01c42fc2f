"""What is kept of sessions beyond the process, as far as the store does its part.

Owns what a store that fails costs - a log line, never a session - and what the file says after the wall clock was set.
Which sessions there are and when they end is sessions.py's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from sidecar import logs
from sidecar.clock import Clock
from sidecar.config.sessions import Sessions as Settings
from sidecar.signin.keeper import SessionKeeper
from sidecar.signin.session import Session
from sidecar.signin.store import Busy, Store

_LOOK_EVERY: Final = 0.1  # seconds between two looks at another process's refresh
_JUMP: Final = 1.0  # seconds; the wall clock was set, rather than drifted


class Kept:
    """A store whose failures end no session."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._unremoved: set[bytes] = set()  # over, and the store could not be told yet
        self._offset = clock.wall() - clock.now()

    @property
    def anything(self) -> bool:
        """Whether anything outlives the process."""
        return self._store.keeps

    async def open(self) -> None:
        await self._store.open()

    async def close(self) -> None:
        await self._store.close()

    # -- one session -----------------------------------------------------------------------------------------------

    async def find(self, digest: bytes) -> Session | None:
        try:
            return None if digest in self._unremoved else await self._store.find(digest)
        except OSError as error:
            _failed(error)
            return None

    async def add(self, session: Session) -> bool:
        """Whether it is kept; else it lives on in this process alone."""
        return await _done(self._store.add(session))

    async def begin(self, keeper: SessionKeeper, lease: float) -> Session | None:
        """A refresh begins: the session as it is kept now. None: it is gone."""
        try:
            while isinstance(
                found := await self._store.begin(keeper.session, self._clock.wall(), lease), Busy
            ):
                await self._pause(_LOOK_EVERY)
        except OSError as error:
            _failed(error)  # what this process knows is all there is
            return keeper.session
        return keeper.session if found is None and not keeper.stored else found

    async def _pause(self, seconds: float) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(seconds, partial(_wake, over))
        try:
            await over
        finally:
            timer.cancel()

    async def renewed(self, keeper: SessionKeeper) -> None:
        if keeper.stored:
            await _done(self._store.save(keeper.session))
        elif not keeper.over:
            keeper.stored = await self.add(keeper.session)

    async def give_up(self, session: Session) -> None:
        await _done(self._store.give_up(session))

    async def remove(self, digest: bytes) -> None:
        """What cannot be removed is not found all the same, and is tried again."""
        if await _done(self._store.remove(digest)):
            self._unremoved.discard(digest)
        else:
            self._unremoved.add(digest)

    async def expire(self, digest: bytes, before: float) -> bool:
        try:
            return await self._store.expire(digest, before)
        except OSError as error:
            _failed(error)
            return True

    # -- all of them -----------------------------------------------------------------------------------------------

    async def note_use(self, keepers: Sequence[SessionKeeper], settings: Settings) -> None:
        """When they were used last; and forget what is over."""
        for digest in list(self._unremoved):
            await self.remove(digest)
        before, self._offset = self._offset, self._clock.wall() - self._clock.now()
        if abs(self._offset - before) > _JUMP:
            # By the wall clock what is kept is older or younger now than it is. Only who has a session in memory knows
            # better, and another process has to have its turn before anything is cleaned away.
            for keeper in keepers:
                keeper.session = replace(keeper.session, created=keeper.created)
            await _done(self._store.correct([replace(k.session, used=k.used) for k in keepers]))
        elif await _done(self._store.touch([(keeper.key, keeper.used) for keeper in keepers])):
            await _done(self._store.clean(self._clock.wall(), settings))


async def _done(work: Awaitable[None]) -> bool:
    try:
        await work
    except OSError as error:
        _failed(error)
        return False
    return True


def _failed(error: OSError) -> None:
    logs.get("sessions").error("session_store_failed", reason=error.strerror or type(error).__name__)


def _wake(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
