"""On whose behalf? The subject of a request, from its header fields.

Owns the rule on what a subject is: text exactly as sent, one field, one value, nothing folded
or trimmed; and which subjects may be named at all. Pure. It knows no tokens; a subject in an error's text would
be a leak, so there is none.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterable, Sequence

from sidecar.errors import (
    SubjectInvalid,
    SubjectMissing,
    SubjectNotAllowed,
    SubjectTokenInvalid,
    SubjectTokenMissing,
)
from sidecar.proxy.headers import folded

_MAX_BYTES = 1024
_TOKEN = frozenset(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
)  # RFC 6750 section 2.1


class Allowed:
    """The subjects a credential may name: glob patterns, case-sensitive."""

    def __init__(self, patterns: Iterable[str], *, default: bool) -> None:
        """`default`: what holds when there are no patterns."""
        patterns = tuple(patterns)
        self._any = "*" in patterns or (default and not patterns)
        self._match = re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)").match

    def check(self, subject: str) -> str:
        """The subject. Raises SubjectNotAllowed."""
        if self._any or self._match(subject):
            return subject
        raise SubjectNotAllowed("this subject is not in the credential's allow_subjects")


def from_header(
    subjects: Sequence[tuple[bytes, bytes]] | None, field: bytes, all_fields: Collection[bytes]
) -> str:
    """The subject in `field` (lower case).

    `subjects` are the request's subject and identity fields with their lower-case names, lookalikes included;
    `all_fields` the folded names of every configured subject field. Raises SubjectMissing when the field is not
    there, SubjectInvalid when there is another candidate beside it or the value is not one visible text.
    """
    found = [value for name, value in subjects or () if name == field]
    if not found:
        raise SubjectMissing("this route acts on behalf of a subject and the request names none")
    if sum(folded(name) in all_fields for name, _ in subjects or ()) > 1:
        raise SubjectInvalid("the request names more than one subject")
    return text(found[0])


def text(raw: bytes) -> str:
    """A subject as text. Raises SubjectInvalid."""
    if len(raw) > _MAX_BYTES:
        raise SubjectInvalid("the subject is longer than 1 KiB")
    try:
        subject = raw.decode()
    except UnicodeDecodeError:
        raise SubjectInvalid("the subject is not valid UTF-8") from None
    if not subject:
        raise SubjectMissing("the subject is empty")
    if not subject.isprintable() or " " in subject:
        raise SubjectInvalid("the subject has a character that is not visible")
    if "," in subject:
        raise SubjectInvalid("the subject is a list; name one")
    return subject


def from_claim(value: object) -> str:
    """The subject in a verified claim. Raises SubjectMissing, SubjectInvalid."""
    if value is None:
        raise SubjectMissing("the caller's token has no such claim")
    if not isinstance(value, str):
        raise SubjectInvalid("the claim is not text")
    return text(value.encode("utf-8", "surrogatepass"))


def bearer(values: Sequence[bytes] | None, *, bare: bool = False) -> str:
    """The caller's bearer token (RFC 6750 section 2.1); `bare`: it may come without the word `Bearer`.

    Raises SubjectTokenMissing when there is none, SubjectTokenInvalid when it is not one.
    """
    if not values:
        raise SubjectTokenMissing("this route needs the caller's bearer token")
    if len(values) > 1:
        raise SubjectTokenInvalid("the request has more than one token")
    scheme, blank, token = values[0].partition(b" ")
    if bare and not blank:
        scheme, token = b"bearer", scheme
    token = token.strip(b" ")
    if scheme.lower() != b"bearer":
        raise SubjectTokenMissing("this route needs the caller's bearer token")
    if not token or not _TOKEN.issuperset(token):
        raise SubjectTokenInvalid("the caller's bearer token is malformed")
    return token.decode("ascii")
