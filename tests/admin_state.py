"""A stand-in for the running process, for the admin pages' tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sidecar.clock import Timer
from sidecar.metrics import Metrics
from sidecar.tokens.view import TokenView


class StillClock:
    """Time that moves when told to."""

    def __init__(self, now: float = 1000.0, wall: float = 1_800_000_000.0) -> None:
        self.monotonic = now
        self.epoch = wall

    def now(self) -> float:
        return self.monotonic

    def wall(self) -> float:
        return self.epoch

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        raise AssertionError("nothing here waits")


@dataclass
class StubState:
    """Implements `AdminState` with plain attributes."""

    version: str = "1.2.3"
    clock: StillClock = field(default_factory=StillClock)
    draining: bool = False
    missing_tokens: list[str] = field(default_factory=list)
    views: list[TokenView] = field(default_factory=list)
    effective: dict[str, object] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.clock)
        self.metrics.watch(self.tokens, lambda: (3, 2))

    def missing(self) -> Sequence[str]:
        return self.missing_tokens

    def tokens(self) -> Sequence[TokenView]:
        return self.views

    def config(self) -> Mapping[str, object]:
        return self.effective

    def warnings(self) -> Sequence[str]:
        return self.doubts


HELD = TokenView(
    credential="app",
    scopes=("app.read",),
    subject=None,
    startup=True,
    ever_obtained=True,
    state="held",
    in_use=True,
    asked_at=0.0,
    lifetime=3600.0,
    refresh_at=1750.0,
    hard_stop=3570.0,
    expires_at=3600.0,
    next_try=None,
    last_error=None,
    rotations=3,
)
EMPTY = replace(
    HELD,
    ever_obtained=False,
    state="empty",
    asked_at=None,
    lifetime=None,
    refresh_at=None,
    hard_stop=None,
    expires_at=None,
    rotations=0,
)


def view(base: TokenView = HELD, **changes: Any) -> TokenView:
    """`base` with some fields changed."""
    return replace(base, **changes)
