"""Everything about people who sign in, wired together: the sessions, where they are kept, and the pages.

Owns that wiring and its lifetime, nothing else.
"""

from __future__ import annotations

import contextlib
import os
from types import TracebackType
from typing import Protocol, Self

from sidecar.clock import Clock
from sidecar.config.schema import Config, Credential
from sidecar.config.values import SecretFrom, UnixAddress
from sidecar.signin import local
from sidecar.signin.pages import LoginEvents, SignIn
from sidecar.signin.seal import Seal
from sidecar.signin.session import digest_of
from sidecar.signin.sessions import SessionEvents, Sessions
from sidecar.signin.store import Memory, Store
from sidecar.tokens.ask import Endpoint
from sidecar.tokens.view import TokenEvents


class Events(SessionEvents, LoginEvents, Protocol):
    """Told of sign-ins and of what becomes of sessions."""


class People:
    """`async with` it before anybody signs in. Raises OSError, ValueError when key or store cannot be used."""

    def __init__(
        self, config: Config, clock: Clock, endpoint: Endpoint, token_events: TokenEvents, events: Events
    ) -> None:
        settings = self._settings = config.sessions
        seal = Seal(None if settings.key is None else settings.key.read())
        store: Store = Memory()
        if settings.store is not None:
            from sidecar.signin.sqlite import SqliteStore

            store = SqliteStore(settings.store, seal)
        self._local: dict[str, str] = {}
        alone = isinstance(config.listen, UnixAddress) or config.listen.is_loopback
        sign_ins = local.found(os.environ) if alone else None
        if sign_ins is not None:
            self._local = _local_cookies(config, sign_ins)
            digests = frozenset(map(digest_of, self._local.values()))
            store = local.Beside(store, sign_ins.store(), digests)
        self.sessions = Sessions(
            clock, endpoint, token_events, events, config.refresh, config.tokens, settings, store
        )
        self.pages = SignIn(self.sessions, seal, clock, events)

    def needing_restart(self, config: Config) -> list[str]:
        """The keys of the configuration that are not what this was made by, and cannot be changed any more."""
        now, then = config.sessions, self._settings
        return [f"sessions.{key}" for key in ("key", "store") if getattr(now, key) != getattr(then, key)]

    def local(self, name: str, credential: Credential) -> str | None:
        """The cookie of the sign-in that was made at this machine, as the configuration was at start."""
        return self._local.get(name)

    async def __aenter__(self) -> Self:
        await self.sessions.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.sessions.__aexit__(kind, error, traceback)


def _local_cookies(config: Config, sign_ins: local.SignIns) -> dict[str, str]:
    """Of each credential of people. A client id that cannot be read just now has none."""
    found = {}
    for name, credential in config.credentials.items():
        client = config.client_of(credential)
        if credential.grant == "authorization_code" and client is not None:
            with contextlib.suppress(OSError, ValueError):
                client_id = client.id.read().reveal() if isinstance(client.id, SecretFrom) else client.id
                found[name] = sign_ins.cookie(name, credential, client_id)
    return found
