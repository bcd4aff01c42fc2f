"""The state of the process at one moment, in relative seconds: what /status.json says and /status shows.

Owns how a token's condition is judged and which tokens are listed when there are too many. Pure: `now` is a
parameter; knows neither HTTP nor HTML.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sidecar.admin.state import AdminState
from sidecar.metrics import RouteView
from sidecar.tokens.view import TokenView

MAX_TOKENS = 200
MAX_ROUTES = 200
MAX_NOTES = 50
MAX_TEXT = 300

Condition = Literal["fresh", "refreshing", "failing", "missing", "idle"]
# Worst first: the order in which tokens are listed.
_SEVERITY: dict[Condition, int] = {"missing": 0, "failing": 1, "refreshing": 2, "fresh": 3, "idle": 4}


@dataclass(frozen=True, slots=True)
class TokenStatus:
    """One token; times in seconds from now (negative: past), None while there is no token."""

    credential: str
    scopes: tuple[str, ...]
    subject: str | None
    condition: Condition
    state: str
    startup: bool
    in_use: bool
    age_s: float | None
    lifetime_s: float | None
    refresh_in_s: float | None
    hard_stop_in_s: float | None
    expires_in_s: float | None
    next_try_in_s: float | None
    last_error: str | None
    rotations: int


@dataclass(frozen=True, slots=True)
class Status:
    """Everything, as /status.json writes it."""

    version: str
    ready: bool
    draining: bool
    uptime_s: float
    missing: list[str]
    warnings: list[str]
    requests_in_flight: int
    requests_total: int
    upstream_connections: dict[str, int]
    tokens_total: int
    tokens_held: int
    tokens: list[TokenStatus]
    routes_total: int
    routes: list[RouteView]

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def condition(view: TokenView, now: float) -> Condition:
    """What a person wants to know: will the next request get a token, and is somebody seeing to it?"""
    usable = view.hard_stop is not None and now < view.hard_stop
    if usable and view.last_error is not None:
        return "failing"
    if usable:
        return "refreshing" if view.state == "fetching" else "fresh"
    if view.last_error is not None or view.startup or view.expires_at is not None:
        return "missing"
    return "refreshing" if view.state == "fetching" else "idle"


def of(state: AdminState, started: float) -> Status:
    """Look at everything once."""
    now = state.clock.now()
    views = state.tokens()
    routes = state.metrics.route_views()
    missing = [_short(text) for text in state.missing()[:MAX_NOTES]]
    idle, busy = state.metrics.connections()
    return Status(
        version=state.version,
        ready=not missing and not state.draining,
        draining=state.draining,
        uptime_s=round(now - started, 3),
        missing=missing,
        warnings=[_short(text) for text in state.warnings()[:MAX_NOTES]],
        requests_in_flight=state.metrics.in_flight,
        requests_total=sum(route.requests for route in routes),
        upstream_connections={"idle": idle, "busy": busy},
        tokens_total=len(views),
        tokens_held=sum(view.expires_at is not None for view in views),
        tokens=[_token(view, now) for view in _most_telling(views, now)],
        routes_total=len(routes),
        routes=routes[:MAX_ROUTES],
    )


def _most_telling(views: Sequence[TokenView], now: float) -> list[TokenView]:
    """At most MAX_TOKENS: trouble first, then what is part of readiness, then what ends soonest."""

    def rank(view: TokenView) -> tuple[object, ...]:
        ends = math.inf if view.expires_at is None else view.expires_at
        return _SEVERITY[condition(view, now)], not view.startup, ends, view.credential, view.scopes

    return heapq.nsmallest(MAX_TOKENS, views, key=rank)


def _token(view: TokenView, now: float) -> TokenStatus:
    def until(moment: float | None) -> float | None:
        return None if moment is None else round(moment - now, 3)

    return TokenStatus(
        credential=view.credential,
        scopes=view.scopes,
        subject=view.subject,
        condition=condition(view, now),
        state=view.state,
        startup=view.startup,
        in_use=view.in_use,
        age_s=None if view.asked_at is None else round(now - view.asked_at, 3),
        lifetime_s=view.lifetime,
        refresh_in_s=until(view.refresh_at),
        hard_stop_in_s=until(view.hard_stop),
        expires_in_s=until(view.expires_at),
        next_try_in_s=until(view.next_try),
        last_error=None if view.last_error is None else _short(view.last_error),
        rotations=view.rotations,
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
