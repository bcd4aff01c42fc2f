"""What is counted per credential, as token events arrive.

Owns the numbers of the token side. Credentials are named by the configuration; a failure's reason is a word
of our own or an RFC 6749 code, and anything else, however it came here, is counted as `other`.
"""

from __future__ import annotations

import re
from typing import Final, get_args

from sidecar.clock import Clock
from sidecar.metrics.histogram import TOKEN_SECONDS, Histogram
from sidecar.tokens.view import DropReason, Outcome, Trigger

TRIGGERS: Final[tuple[Trigger, ...]] = get_args(Trigger)
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)
DROPS: Final[tuple[DropReason, ...]] = get_args(DropReason)
REASONS = (
    *("invalid_client", "invalid_grant", "invalid_scope", "unauthorized_client"),
    *("http_4xx", "http_5xx", "http_429", "timeout", "connect", "tls", "malformed"),
)
MAX_REASONS = 32  # those and rarer ones; over all credentials
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")


class CredentialMetrics:
    """The numbers of one credential; those an alert compares with zero are there from the start."""

    __slots__ = ("drops", "failures", "last_lifetime", "last_success", "requests", "seconds", "waits")

    def __init__(self) -> None:
        self.requests = {(trigger, outcome): 0 for trigger in TRIGGERS for outcome in OUTCOMES}
        self.failures = dict.fromkeys(REASONS, 0)
        self.drops = dict.fromkeys(DROPS, 0)
        self.seconds = Histogram(TOKEN_SECONDS)
        self.waits = Histogram(TOKEN_SECONDS)
        self.last_lifetime: float | None = None
        self.last_success = 0.0  # never: so that "no success for an hour" also finds what never succeeded


class TokenMetrics:
    """Listens to token events (implements `TokenEvents`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._credentials: dict[str, CredentialMetrics] = {}
        self._reasons = set(REASONS)

    def credential(self, name: str) -> CredentialMetrics:
        """The numbers of one credential of the configuration, made when first named."""
        found = self._credentials.get(name)
        if found is None:
            found = self._credentials[name] = CredentialMetrics()
        return found

    def by_name(self) -> list[tuple[str, CredentialMetrics]]:
        return sorted(self._credentials.items())

    def requested(self, credential: str, trigger: Trigger, outcome: Outcome, seconds: float) -> None:
        mine = self.credential(credential)
        mine.requests[trigger, outcome] += 1
        mine.seconds.observe(seconds)

    def obtained(self, credential: str, subject: str | None, scopes: frozenset[str], lifetime: float) -> None:
        mine = self.credential(credential)
        mine.last_lifetime = lifetime
        mine.last_success = self._clock.wall()

    def failed(
        self,
        credential: str,
        subject: str | None,
        trigger: Trigger,
        reason: str,
        retry_in: float,
        detail: str,
    ) -> None:
        failures, known = self.credential(credential).failures, self._reason(reason)
        failures[known] = failures.get(known, 0) + 1

    def dropped(self, credential: str, reason: DropReason) -> None:
        self.credential(credential).drops[reason] += 1

    def waited(self, credential: str, seconds: float) -> None:
        self.credential(credential).waits.observe(seconds)

    def _reason(self, reason: str) -> str:
        if reason in self._reasons:
            return reason
        if len(self._reasons) >= MAX_REASONS or not _REASON.fullmatch(reason):
            return "other"
        self._reasons.add(reason)
        return reason
