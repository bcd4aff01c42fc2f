"""Encryption of what leaves the process: cookies of an attempt to sign in, sessions on a disk.

Owns the algorithm (AES-256-GCM with a key derived by HKDF) and that what was sealed for one purpose opens for no
other. What cannot be opened - forged, cut, of another key - is None, never an exception.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from sidecar.secret import Secret

_NONCE: Final = 12  # bytes; NIST SP 800-38D section 8.2.2
_INFO: Final = b"auth-sidecar sessions v1"


class Seal:
    """Seals and opens by one key."""

    def __init__(self, key: Secret | None = None) -> None:
        """`key`: of 32 bytes or more; None: one that nobody knows and that is gone with the process."""
        from cryptography.hazmat.primitives.ciphers.aead import (
            AESGCM,
        )  # here: large, and only needed to sign in
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        text = secrets.token_bytes(32) if key is None else key.reveal().encode("utf-8", "surrogatepass")
        self._cipher = AESGCM(HKDF(SHA256(), 32, salt=None, info=_INFO).derive(text))

    def seal(self, purpose: bytes, plain: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE)
        return nonce + self._cipher.encrypt(nonce, plain, purpose)

    def open(self, purpose: bytes, sealed: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], purpose)
        except (InvalidTag, ValueError):
            return None

    def seal_text(self, purpose: bytes, plain: bytes) -> str:
        """The same, as text that may stand in a cookie."""
        return _text(self.seal(purpose, plain))

    def open_text(self, purpose: bytes, sealed: str) -> bytes | None:
        try:
            raw = base64.urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
        except (binascii.Error, ValueError):
            return None
        if (
            _text(raw) != sealed
        ):  # characters that mean nothing: one text for one thing, none that is nearly it
            return None
        return self.open(purpose, raw)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode("ascii").rstrip("=")
