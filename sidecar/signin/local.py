"""The sign-ins of the person at this machine: made by `auth-sidecar login`, used by a `run` on loopback.

Owns where they are - a folder of this user's alone, with a key of its own - and how a `run` finds them. In a pod there
is no such folder, so nothing of this happens there.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sidecar.config.schema import Credential
from sidecar.config.sessions import Sessions
from sidecar.secret import Secret
from sidecar.signin.seal import Seal
from sidecar.signin.session import Session
from sidecar.signin.sqlite import SqliteStore
from sidecar.signin.store import Busy, Store

_FOLDER: Final = "auth-sidecar"
_FILE: Final = "sign-ins"
_KEY: Final = "sign-ins.key"


@dataclass(frozen=True, slots=True)
class SignIns:
    """The folder, opened."""

    folder: Path
    key: Secret

    @property
    def file(self) -> Path:
        return self.folder / _FILE

    def store(self) -> SqliteStore:
        return SqliteStore(self.file, Seal(self.key))

    def cookie(self, name: str, credential: Credential, client_id: str) -> str:
        """What the sign-in of this credential is found by; nobody without the key can tell it."""
        about = [name, str(credential.authorization_url), str(credential.token_url), client_id]
        digest = hmac.digest(self.key.reveal().encode(), json.dumps(about).encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def place(environ: Mapping[str, str]) -> Path | None:
    """The folder of the XDG Base Directory Specification; None for a user without a home."""
    state, home = environ.get("XDG_STATE_HOME", ""), environ.get("HOME", "")
    if os.path.isabs(state):
        return Path(state) / _FOLDER
    return Path(home) / ".local" / "state" / _FOLDER if os.path.isabs(home) else None


def found(environ: Mapping[str, str]) -> SignIns | None:
    """The sign-ins that have been made here, if there are any."""
    folder = place(environ)
    if folder is None or not (folder / _FILE).exists():
        return None
    try:
        return SignIns(folder, Secret((folder / _KEY).read_text("ascii").strip()))
    except (OSError, ValueError):
        return None


def made(environ: Mapping[str, str]) -> SignIns:
    """The folder, made if need be. Raises OSError."""
    folder = place(environ)
    if folder is None:
        raise OSError(None, "there is no home directory to keep a sign-in in; set HOME or XDG_STATE_HOME")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        handle = os.open(folder / _KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
    return SignIns(folder, Secret((folder / _KEY).read_text("ascii").strip()))


class Beside:
    """The usual store, and the sign-ins of the person at this machine beside it (a `Store`)."""

    keeps = True

    def __init__(self, usual: Store, local: Store, digests: frozenset[bytes]) -> None:
        """`digests`: of the sessions that are the local store's."""
        self._usual, self._local, self._digests = usual, local, digests

    def _of(self, digest: bytes) -> Store:
        return self._local if digest in self._digests else self._usual

    async def open(self) -> None:
        await self._local.open()
        try:
            await self._usual.open()
        except BaseException:
            await self._local.close()
            raise

    async def close(self) -> None:
        try:
            await self._usual.close()
        finally:
            await self._local.close()

    async def find(self, digest: bytes) -> Session | None:
        return await self._of(digest).find(digest)

    async def begin(self, session: Session, wall: float, lease: float) -> Session | Busy | None:
        return await self._of(session.digest).begin(session, wall, lease)

    async def add(self, session: Session) -> None:
        await self._of(session.digest).add(session)

    async def save(self, session: Session) -> None:
        await self._of(session.digest).save(session)

    async def give_up(self, session: Session) -> None:
        await self._of(session.digest).give_up(session)

    async def touch(self, used: Sequence[tuple[bytes, float]]) -> None:
        await self._usual.touch([one for one in used if one[0] not in self._digests])

    async def correct(self, sessions: Sequence[Session]) -> None:
        await self._usual.correct([one for one in sessions if one.digest not in self._digests])
        await self._local.correct([one for one in sessions if one.digest in self._digests])

    async def remove(self, digest: bytes) -> None:
        await self._of(digest).remove(digest)

    async def expire(self, digest: bytes, before: float) -> bool:
        return await self._of(digest).expire(digest, before)

    async def clean(self, wall: float, settings: Sessions) -> None:
        await self._usual.clean(wall, settings)
