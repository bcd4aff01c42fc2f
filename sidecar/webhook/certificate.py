"""The server's certificate: read, judged, and taken up anew when its files change.

Owns the TLS context of the listener, which hands each handshake to the context of the moment. A pair is loaded into a
context of its own, and only one that is whole is ever used: loading a wrong key into the one in use would leave it
with a new certificate and no key.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sidecar import logs
from sidecar.config.draft import Stamp, stamp_of, unreadable
from sidecar.webhook.numbers import Numbers

_LOOK = 1.0  # seconds between looks at the files
_MAX_PEM = 1 << 20


class Unusable(Exception):
    """The pair cannot be served with; says which file, and why."""

    def __init__(self, part: Literal["certificate", "key"], reason: str) -> None:
        super().__init__(f"{part}: {reason}")
        self.part = part
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, ready to be served with."""

    context: ssl.SSLContext
    not_after: datetime  # of that certificate of the chain which ends first

    @property
    def until(self) -> str:
        return self.not_after.isoformat()


def load_pair(certificate: Path, key: Path) -> Pair:
    """Raises Unusable."""
    not_after = _earliest_end(_read(certificate, "certificate"))
    _read(key, "key")  # for the reason: OpenSSL's would be about either file
    context = _server_context()
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")  # else it would ask at the terminal
    except (ssl.SSLError, ValueError):
        raise Unusable(
            "key", "is not the certificate's private key in PEM, without a passphrase; write the one that is"
        ) from None
    except OSError as error:
        raise Unusable("key", unreadable(error)) from None
    return Pair(context, not_after)


class Certificate:
    """What the listener shows its clients, kept up to date with the files."""

    def __init__(self, certificate: Path, key: Path, numbers: Numbers) -> None:
        """Raises Unusable."""
        self._files = certificate, key
        self._numbers = numbers
        self._stamps = self._look()
        self._take(load_pair(certificate, key))
        self.context = _server_context()
        self.context.sni_callback = self._choose  # called for every client, also one that names no server

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self.pair.context

    async def watch(self) -> None:
        """Take up what the files hold when they changed; a wrong pair is logged and the old one stays."""
        log = logs.get("certificate")
        while True:
            await asyncio.sleep(_LOOK)
            if (found := self._look()) == self._stamps:
                continue
            self._stamps = found  # of before a byte is read: what changes meanwhile is seen the next time
            try:
                self._take(await asyncio.to_thread(load_pair, *self._files))
            except Unusable as error:
                self._numbers.reloaded(False)
                log.error("certificate_reload_failed", problem=f"tls.{error.part}", reason=error.reason)
            else:
                self._numbers.reloaded(True)
                log.info("certificate_reloaded", not_after=self.pair.until)

    def _take(self, pair: Pair) -> None:
        self.pair = pair
        self._numbers.not_after = pair.not_after.timestamp()

    def _look(self) -> list[Stamp | None]:
        return [_stamp(file) for file in self._files]


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _stamp(file: Path) -> Stamp | None:
    try:
        return stamp_of(file.stat())  # follows links: the kubelet swaps one, and the inode is another
    except OSError:
        return None


def _read(file: Path, part: Literal["certificate", "key"]) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_MAX_PEM)
    except (OSError, ValueError) as error:
        raise Unusable(part, unreadable(error)) from None


def _earliest_end(pem: bytes) -> datetime:
    from cryptography import x509  # here: large, and `--help` does without

    try:
        return min(one.not_valid_after_utc for one in x509.load_pem_x509_certificates(pem)).astimezone(UTC)
    except ValueError:
        raise Unusable(
            "certificate",
            "has no certificate that can be read; write the certificate and its chain in PEM into it",
        ) from None
