"""What the route map lacks, by the API's own word: a 403 that says so.

Owns how such an answer is recognised: eGain's error codes (403-197: a scope is missing, 403-112: the wrong persona) and
RFC 6750 section 3.1 (`insufficient_scope`). The answer crosses untouched; this only reads along, within a bound. What
it says is untrusted: only what has the form of a scope (RFC 6749 section 3.3) is repeated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecar.metrics.routes import Gap as Reason
from sidecar.proxy.answerhead import AnswerHead

_MOST = 4096  # bytes of a body that are looked at: eGain's are a few hundred
_CODES: dict[bytes, Reason] = {b"403-197": "scope", b"403-112": "persona"}
_CODE = re.compile(rb'"code"\s*:\s*"(403-\d{3})"')
_SCOPE = r"[\x21\x23-\x5b\x5d-\x7e]{1,128}"
# eGain: "Logged in actor must have 'knowledge.portalmgr.read' scope to access this URL."
_MUST_HAVE = re.compile(rb"must have '([^']{1,512})' scope")
_CHALLENGE = re.compile(rb'^www-authenticate: .*\berror="?insufficient_scope"?', re.IGNORECASE)
_WANTED = re.compile(rb'\bscope="([^"]{1,512})"')
_SCOPES = re.compile(rf"{_SCOPE}( {_SCOPE})*")


@dataclass(frozen=True, slots=True)
class Gap:
    """What is missing; `wanted`: the scopes the API named, if it did."""

    reason: Reason
    wanted: tuple[str, ...] = ()


class Complaint:
    """Reads one 403 along, from its head to its end."""

    __slots__ = ("_body", "_challenge", "_size")

    def __init__(self, head: AnswerHead) -> None:
        self._challenge = next((line for line in head.lines if _CHALLENGE.match(line)), None)
        self._body: list[bytes] = []
        self._size = 0

    def add(self, data: bytes) -> None:
        """A part of the body."""
        if self._size < _MOST:
            self._body.append(data[: _MOST - self._size])
            self._size += len(self._body[-1])

    def gap(self) -> Gap | None:
        """What the answer says is missing; None when it says nothing of the kind."""
        body = b"".join(self._body)
        code = _CODE.search(body)
        reason = _CODES.get(code[1]) if code is not None else None
        if reason is not None:
            return Gap(reason, _scopes(_MUST_HAVE, body) if reason == "scope" else ())
        if self._challenge is not None:
            return Gap("scope", _scopes(_WANTED, self._challenge))
        return None


def _scopes(pattern: re.Pattern[bytes], text: bytes) -> tuple[str, ...]:
    found = pattern.search(text)
    named = "" if found is None else found[1].decode("ascii", "replace")
    return tuple(named.split(" ")) if _SCOPES.fullmatch(named) else ()
