"""A short digest that stands for a subject wherever people look.

Owns the per-process key: the same subject has the same digest in logs and on the status page of one process,
and nobody can tell from a digest who it is by trying names.
"""

from __future__ import annotations

import hashlib
import secrets

_KEY = secrets.token_bytes(32)


def subject_digest(text: str) -> str:
    """16 hexadecimal digits; means nothing in another process."""
    # surrogatepass: any str has a digest, also one that no UTF-8 could have brought
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, key=_KEY).hexdigest()
