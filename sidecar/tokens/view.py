"""What the rest of the program may see of tokens: events as they happen and views of what is held.

Owns the two shapes that metrics, logs and the status page are made from. Nothing here holds a token's text, a
subject or a key: `subject` is a short keyed digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Trigger = Literal["startup", "demand", "ahead", "rejected"]
Outcome = Literal["ok", "refused", "throttled", "unavailable", "malformed"]
DropReason = Literal["expired", "idle", "capacity", "rejected"]


class TokenEvents(Protocol):
    """Told of every token event; never raises, never blocks."""

    def requested(self, credential: str, trigger: Trigger, outcome: Outcome, seconds: float) -> None:
        """A token request ended, after `seconds`."""

    def obtained(self, credential: str, subject: str | None, scopes: frozenset[str], lifetime: float) -> None:
        """A token was obtained; `lifetime` in seconds as issued (after the caps)."""

    def failed(
        self,
        credential: str,
        subject: str | None,
        trigger: Trigger,
        reason: str,
        retry_in: float,
        detail: str,
    ) -> None:
        """A token request failed. `reason` is a metric label (docs/metrics.md), `detail` is for the log:
        bounded, one line, nothing secret."""

    def dropped(self, credential: str, reason: DropReason) -> None:
        """A held token was let go."""

    def waited(self, credential: str, seconds: float) -> None:
        """A request had to wait so long for a token."""


@dataclass(slots=True)  # not frozen: ten thousand are made for each scrape, and freezing costs the most of it
class TokenView:
    """One keeper as it is at this moment; times are monotonic seconds, None while there is no token."""

    credential: str
    scopes: tuple[str, ...]
    subject: str | None  # short digest, None for application-level tokens
    startup: bool  # fetched at start, part of readiness
    ever_obtained: bool
    state: Literal["fetching", "held", "backing_off", "empty"]
    in_use: bool  # application-level, or used by a request within idle_after
    asked_at: float | None
    lifetime: float | None
    refresh_at: float | None
    hard_stop: float | None
    expires_at: float | None
    next_try: float | None  # when the next token request is due after a failure
    last_error: str | None  # the reason of the last failure since the last success
    rotations: int  # tokens obtained so far
