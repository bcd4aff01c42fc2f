"""What is counted of people who sign in.

Owns the numbers: sign-ins by how they ended, refreshes, ends of sessions, each per credential. The words are those of
sidecar/signin/, never the network's.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

LOGINS: Final = ("ok", "denied", "forged", "expired", "failed", "refused", "unavailable")
REFRESHES: Final = ("ok", "taken_over", "refused", "throttled", "unavailable", "malformed")
ENDS: Final = (
    *("logout", "idle", "lifetime", "expired", "refused", "interrupted", "rejected"),
    *("replaced", "capacity", "gone", "removed"),
)


class SessionMetrics:
    """Listens to what happens to sessions (implements `SessionEvents` and `LoginEvents`)."""

    def __init__(self) -> None:
        self.logins: Counter[tuple[str, str]] = Counter()
        self.refreshes: Counter[tuple[str, str]] = Counter()
        self.ends: Counter[tuple[str, str]] = Counter()

    def credential(self, name: str) -> None:
        """There from the start: `increase()` cannot see the step from "no series" to 1."""
        for counter, words in ((self.logins, LOGINS), (self.refreshes, REFRESHES), (self.ends, ENDS)):
            counter.update(dict.fromkeys(((name, word) for word in words), 0))

    def login(self, credential: str, outcome: str) -> None:
        self.logins[credential, outcome] += 1

    def refreshed(self, credential: str, outcome: str) -> None:
        self.refreshes[credential, outcome] += 1

    def ended(self, credential: str, reason: str) -> None:
        self.ends[credential, reason] += 1
