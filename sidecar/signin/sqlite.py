"""Sessions in an SQLite file: they survive a restart, and two processes may share them.

Owns the file, its one table and who may refresh when. What stands in it is sealed, and found by a digest: neither a
cookie nor a token can be read from it. SQLite blocks, so it has a thread of its own, and every call is one short
transaction.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from sidecar.config.sessions import Sessions
from sidecar.signin.seal import Seal
from sidecar.signin.session import Session, dump, load
from sidecar.signin.store import Busy

T = TypeVar("T")

_BUSY: Final = 5.0  # seconds to wait for another process's transaction
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    digest BLOB PRIMARY KEY, credential TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL,
    generation INTEGER NOT NULL, refreshing REAL, refresher TEXT, lasting INTEGER NOT NULL, sealed BLOB NOT NULL
) WITHOUT ROWID
"""
# The others are for SQL alone: what they say is sealed, too, and believed from there.
_READ: Final = "SELECT digest, used, generation, refreshing, sealed FROM sessions WHERE digest = ?"
_Row = tuple[bytes, float, int, "float | None", bytes]


class SqliteStore:
    """Keeps sessions in a file."""

    keeps = True

    def __init__(self, path: Path, seal: Seal) -> None:
        self._path = path
        self._seal = seal
        self._me = secrets.token_hex(8)  # tells our refreshes from other processes'
        self._thread = ThreadPoolExecutor(1, "sessions")
        self._base: sqlite3.Connection

    async def open(self) -> None:
        try:
            await self._run(self._connect)
        except BaseException:
            self._thread.shutdown()
            raise

    async def close(self) -> None:
        await self._run(lambda: self._base.close())
        self._thread.shutdown()

    async def find(self, digest: bytes) -> Session | None:
        return await self._run(lambda: self._find(digest))

    async def begin(self, session: Session, wall: float, lease: float) -> Session | Busy | None:
        return await self._run(lambda: self._claim(session, wall, lease))

    async def add(self, session: Session) -> None:
        await self._do(
            "INSERT OR REPLACE INTO sessions"
            " (digest, credential, created, used, generation, lasting, sealed) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                *(session.digest, session.credential, session.created, session.used, session.generation),
                *(session.lasting, self._sealed(session)),
            ),
        )

    async def save(self, session: Session) -> None:
        # Not there: it was ended meanwhile. Newer: another process was faster.
        await self._do(
            "UPDATE sessions SET generation = ?1, refreshing = NULL, sealed = ?2"
            " WHERE digest = ?3 AND generation < ?1",
            (session.generation, self._sealed(session), session.digest),
        )

    async def give_up(self, session: Session) -> None:
        await self._do(
            "UPDATE sessions SET refreshing = NULL WHERE digest = ? AND generation = ?",
            (session.digest, session.generation),
        )

    async def touch(self, used: Sequence[tuple[bytes, float]]) -> None:
        await self._do_all("UPDATE sessions SET used = max(used, ?2) WHERE digest = ?1", used)

    async def correct(self, sessions: Sequence[Session]) -> None:
        await self._do_all(
            "UPDATE sessions SET created = ?, used = ?, sealed = ? WHERE digest = ? AND generation = ?",
            [(s.created, s.used, self._sealed(s), s.digest, s.generation) for s in sessions],
        )

    async def remove(self, digest: bytes) -> None:
        await self._do("DELETE FROM sessions WHERE digest = ?", (digest,))

    async def expire(self, digest: bytes, before: float) -> bool:
        def write() -> bool:
            with self._transaction() as base:
                base.execute("DELETE FROM sessions WHERE digest = ? AND used <= ?", (digest, before))
                found = base.execute("SELECT count(*) FROM sessions WHERE digest = ?", (digest,)).fetchone()
            return bool(found == (0,))

        return await self._run(write)

    async def clean(self, wall: float, settings: Sessions) -> None:
        await self._do(
            "DELETE FROM sessions WHERE (used < ? AND NOT lasting) OR created < ? OR digest IN"
            " (SELECT digest FROM sessions ORDER BY used DESC LIMIT -1 OFFSET ?)",
            (wall - settings.idle_timeout, wall - settings.max_lifetime, settings.max_sessions),
        )

    # -- in the thread ---------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        # Made before SQLite makes it, so that it never is for anybody else to read, not for a moment.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        base = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            base.execute("PRAGMA journal_mode = WAL")
            base.execute("PRAGMA synchronous = FULL")  # what was saved stays saved when the power goes
            base.execute("PRAGMA secure_delete = ON")
            base.execute(_TABLE)
        except BaseException:
            base.close()
            raise
        self._base = base

    def _find(self, digest: bytes) -> Session | None:
        with closing(self._base.execute(_READ, (digest,))) as found:
            row: _Row | None = found.fetchone()
        return None if row is None else self._session(row)

    def _claim(self, session: Session, wall: float, lease: float) -> Session | Busy | None:
        with self._transaction() as base:
            found = self._find(session.digest)
            if found is None or found.generation > session.generation:
                return found
            if found.refreshing is not None and 0 <= wall - found.refreshing < lease:
                (who,) = base.execute(
                    "SELECT refresher FROM sessions WHERE digest = ?", (found.digest,)
                ).fetchone()
                if who != self._me:
                    return Busy()
            base.execute(
                "UPDATE sessions SET refreshing = ?, refresher = ? WHERE digest = ?",
                (wall, self._me, found.digest),
            )
            if found.generation < session.generation:
                # It could not be saved at the time: the refresh token that is kept is used up, ours is not.
                return replace(session, refreshing=found.refreshing)
            return found

    def _sealed(self, session: Session) -> bytes:
        return self._seal.seal(_purpose(session.digest, session.generation), dump(session))

    def _session(self, row: _Row) -> Session | None:
        digest, used, generation, refreshing, sealed = row
        raw = self._seal.open(_purpose(digest, generation), sealed)
        if raw is None:  # of another key, or tampered with
            return None
        try:
            return load(raw, digest, used, generation, refreshing)
        except (KeyError, TypeError, ValueError):  # another version of the sidecar shares the file
            return None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._base.execute("BEGIN IMMEDIATE")
        try:
            yield self._base
        except BaseException:
            self._base.execute("ROLLBACK")
            raise
        self._base.execute("COMMIT")

    async def _do(self, statement: str, values: tuple[object, ...]) -> None:
        def write() -> None:
            with self._transaction() as base:
                base.execute(statement, values)

        await self._run(write)

    async def _do_all(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        def write() -> None:
            with self._transaction() as base:
                base.executemany(statement, rows)

        if rows:
            await self._run(write)

    async def _run(self, work: Callable[[], T]) -> T:
        """In the thread; whatever SQLite has to complain about is an OSError."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise OSError(None, f"SQLite: {error}") from error


def _purpose(digest: bytes, generation: int) -> bytes:
    """A sealed record fits into no other place, and no older one into this."""
    return b"session %b %d" % (digest, generation)
