"""Where sessions are kept beyond the process: what every store can do, and the one that keeps nothing.

Owns the protocol. The order of a refresh is its point: `begin` before the authorization server hears of it, `save`
before the new token is used, so that whoever finds a record knows whether its refresh token may be dead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sidecar.config.sessions import Sessions
from sidecar.signin.session import Session


class Busy:
    """Another process is refreshing this session."""


class Store(Protocol):
    """Keeps sessions. A store that fails raises OSError; what it has lost is None."""

    keeps: bool  # whether anything outlives the process

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def find(self, digest: bytes) -> Session | None:
        """The session as it was saved last."""
        ...

    async def begin(self, session: Session, wall: float, lease: float) -> Session | Busy | None:
        """A refresh begins. The session as it is now: with a higher `generation`, somebody else has refreshed it.

        Busy: somebody else is at it, and began less than `lease` seconds ago. None: the session is gone.
        """
        ...

    async def add(self, session: Session) -> None:
        """A new session."""
        ...

    async def save(self, session: Session) -> None:
        """One that has been refreshed. One that has been removed in the meantime stays so."""
        ...

    async def give_up(self, session: Session) -> None:
        """A refresh has failed without the refresh token being used up."""
        ...

    async def touch(self, used: Sequence[tuple[bytes, float]]) -> None:
        """When sessions were used last."""
        ...

    async def correct(self, sessions: Sequence[Session]) -> None:
        """When these were made and used, after the wall clock was set."""
        ...

    async def remove(self, digest: bytes) -> None: ...

    async def expire(self, digest: bytes, before: float) -> bool:
        """Remove it unless it was used after `before`, by whatever process. Whether it is gone."""
        ...

    async def clean(self, wall: float, settings: Sessions) -> None:
        """Forget what is over, and the least recently used of too many."""
        ...


class Memory:
    """Keeps nothing: sessions live in the process alone."""

    keeps = False

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def find(self, digest: bytes) -> Session | None:
        return None

    async def begin(self, session: Session, wall: float, lease: float) -> Session | Busy | None:
        return session

    async def add(self, session: Session) -> None: ...

    async def save(self, session: Session) -> None: ...

    async def give_up(self, session: Session) -> None: ...

    async def touch(self, used: Sequence[tuple[bytes, float]]) -> None: ...

    async def correct(self, sessions: Sequence[Session]) -> None: ...

    async def remove(self, digest: bytes) -> None: ...

    async def expire(self, digest: bytes, before: float) -> bool:
        return True

    async def clean(self, wall: float, settings: Sessions) -> None: ...
