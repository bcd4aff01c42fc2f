"""Token events as log lines, and one event told to several listeners.

Owns the names of the events. A token's text is in none of them, a subject only as its digest.
"""

from __future__ import annotations

from sidecar.logs.loggers import get
from sidecar.tokens.view import DropReason, Outcome, TokenEvents, Trigger


class TokenLog:
    """Writes what an operator wants to know of tokens (implements `TokenEvents`)."""

    def __init__(self) -> None:
        self._log = get("tokens")

    def requested(self, credential: str, trigger: Trigger, outcome: Outcome, seconds: float) -> None:
        """Not logged: `obtained` or `failed` follows and says more."""

    def obtained(self, credential: str, subject: str | None, scopes: frozenset[str], lifetime: float) -> None:
        self._log.info(
            "token_obtained",
            credential=credential,
            **_whose(subject),
            scopes=sorted(scopes),
            lifetime_s=round(lifetime, 3),
        )

    def failed(
        self,
        credential: str,
        subject: str | None,
        trigger: Trigger,
        reason: str,
        retry_in: float,
        detail: str,
    ) -> None:
        self._log.warning(
            "token_refresh_failed",
            credential=credential,
            **_whose(subject),
            trigger=trigger,
            reason=reason,
            retry_in_s=round(retry_in, 3),
            detail=detail,
        )

    def dropped(self, credential: str, reason: DropReason) -> None:
        self._log.info("token_dropped", credential=credential, reason=reason)

    def waited(self, credential: str, seconds: float) -> None:
        """Not logged: the request's own line has its duration."""


class Tee:
    """Tells every listener, in order (implements `TokenEvents`)."""

    def __init__(self, *listeners: TokenEvents) -> None:
        self._listeners = listeners

    def requested(self, credential: str, trigger: Trigger, outcome: Outcome, seconds: float) -> None:
        for listener in self._listeners:
            listener.requested(credential, trigger, outcome, seconds)

    def obtained(self, credential: str, subject: str | None, scopes: frozenset[str], lifetime: float) -> None:
        for listener in self._listeners:
            listener.obtained(credential, subject, scopes, lifetime)

    def failed(
        self,
        credential: str,
        subject: str | None,
        trigger: Trigger,
        reason: str,
        retry_in: float,
        detail: str,
    ) -> None:
        for listener in self._listeners:
            listener.failed(credential, subject, trigger, reason, retry_in, detail)

    def dropped(self, credential: str, reason: DropReason) -> None:
        for listener in self._listeners:
            listener.dropped(credential, reason)

    def waited(self, credential: str, seconds: float) -> None:
        for listener in self._listeners:
            listener.waited(credential, seconds)


def _whose(subject: str | None) -> dict[str, str]:
    return {} if subject is None else {"subject": subject}
