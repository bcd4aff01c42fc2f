"""What the webhook counts, and how that is scraped.

Owns the metrics auth_sidecar_webhook_*; docs/metrics.md says what they are for.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from functools import partial

from sidecar import __version__
from sidecar.metrics import families
from sidecar.metrics.exposition import Family, render

_OUTCOMES = ("injected", "untouched", "refused", "malformed")
_counter = partial(Family, "counter")
_gauge = partial(Family, "gauge")


class Numbers:
    """All of them, from 0 on: `increase()` cannot see the step from no series to 1."""

    def __init__(self) -> None:
        self.reviews = dict.fromkeys(_OUTCOMES, 0)
        self.reloads = {"ok": 0, "failed": 0}
        self.last_reload_ok = True
        self.not_after = 0.0  # seconds since the epoch

    def reviewed(self, outcome: str) -> None:
        self.reviews[outcome] += 1

    def reloaded(self, ok: bool) -> None:
        self.reloads["ok" if ok else "failed"] += 1
        self.last_reload_ok = ok

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page, and its content type."""
        return render(self._families(), accept)

    def _families(self) -> Iterator[Family]:
        yield from families.of_build(__version__, platform.python_version())
        reviews = _counter("auth_sidecar_webhook_reviews", "Reviews answered, by outcome.", "outcome")
        for outcome, count in self.reviews.items():
            reviews.add([outcome], count)
        ends = _gauge(
            "auth_sidecar_webhook_certificate_not_after_timestamp_seconds",
            "When the certificate in use, or its chain, ends (Unix time).",
        )
        ends.add([], self.not_after)
        reloads = _counter(
            "auth_sidecar_webhook_certificate_reloads",
            "Times changed certificate files were read.",
            "outcome",
        )
        for outcome, count in self.reloads.items():
            reloads.add([outcome], count)
        last = _gauge(
            "auth_sidecar_webhook_certificate_last_reload_successful",
            "1 when the certificate in use is the one in the files, else 0.",
        )
        last.add([], int(self.last_reload_ok))
        yield from (reviews, ends, reloads, last)
