"""What the proxy serves by: one configuration, bound to everything a request needs.

Owns the shapes that binding.py fills at start and at every reload; a request takes the `Serving` of its first
moment and keeps it to its last byte.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from sidecar import logs
from sidecar.clock import now
from sidecar.errors import MethodNotAllowed, Refusal, RouteNotMapped
from sidecar.metrics import Metrics, RouteMetrics
from sidecar.proxy.admission import Admission
from sidecar.proxy.headers import RequestFields, RequestHead
from sidecar.proxy.mapgap import Gap
from sidecar.proxy.outbox import Outbox
from sidecar.proxy.page import Asked, Page
from sidecar.proxy.pool import Pool
from sidecar.routing.routes import RouteTable
from sidecar.tokens.keeper import Keeper

# The subject of a request: at once where it can be read, else something to wait for (a key set to fetch).
SubjectOf = Callable[[RequestHead], "str | Coroutine[Any, Any, str]"]
PageOf = Callable[[Asked], "Coroutine[Any, Any, Page]"]


class SubjectSource(Protocol):
    """Where the token of a subject, or of a session, comes from."""

    def keeper(self, subject: str) -> Keeper: ...


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """One route, bound."""

    label: str
    metrics: RouteMetrics
    credential: str | None = None  # None: forward without a token
    keeper: Keeper | None = None  # the one token of an application-level credential
    source: SubjectSource | None = None  # where per-subject tokens come from
    subject_of: SubjectOf | None = None
    links: bool = True  # a link on another site's page may lead here, where people sign in
    page: PageOf | None = None  # the sidecar answers itself


@dataclass(frozen=True, slots=True)
class Serving:
    """One configuration."""

    routes: RouteTable[ServedRoute]
    unmapped: ServedRoute  # what requests without a route are counted under
    forward_unmapped: bool
    admission: Admission
    fields: RequestFields
    pool: Pool
    path_prefix: str  # of upstream.url; empty or `/x`
    host_line: bytes  # ready-made `Host: …` line
    max_in_flight: int
    max_header_bytes: int
    replay_body: int
    idle_timeout: float
    response_timeout: float
    # What a person sees of a refusal, and the request's target; None: as a program does. Where people sign in.
    refusal_page: Callable[[Refusal, str], Page | None] | None = None

    def route_for(self, path: str, method: str) -> ServedRoute:
        """The route of a canonical path. Raises RouteNotMapped, MethodNotAllowed."""
        methods = self.routes.find(path)
        if methods is None:
            if self.forward_unmapped:
                return self.unmapped
            raise RouteNotMapped("no route covers this path; see `auth-sidecar explain`")
        route = methods.find(method)
        if route is None:
            raise MethodNotAllowed("the path is mapped, but not for this method", methods.allowed())
        return route


# One line per finished request: route, method, status, seconds, credential, error code, subject digest.
RequestLine = Callable[[str, str, int, float, "str | None", "str | None", "str | None"], None]


_LACKING = {
    "scope": "give the route the scopes that the API wants",
    "persona": "give the route another credential: the API does not take this kind of token here",
}
_FORBIDDEN_EVERY = 60.0  # seconds between two lines about one route


class Proxy:
    """What all connections of the proxy listener share."""

    def __init__(self, serving: Serving, metrics: Metrics, log_request: RequestLine) -> None:
        self.serving = serving  # replaced as a whole by a reload
        self.metrics = metrics
        self.log_request = log_request
        self.outbox = Outbox(asyncio.get_running_loop())
        self.draining = False
        self.last_arrival = now()  # of a request, monotonic
        self._forbidden: dict[str, float] = {}  # when the next line about a route may be written

    def forbidden(self, route: ServedRoute, scopes: Iterable[str], gap: Gap | None) -> None:
        """The upstream answered 403 to a token of ours. `gap`: what the route map lacks, if the answer tells."""
        if gap is not None:
            route.metrics.gap(gap.reason)
        if now() < self._forbidden.get(route.label, 0.0):
            return
        self._forbidden[route.label] = now() + _FORBIDDEN_EVERY
        log, about = logs.get("proxy"), {"route": route.label, "credential": route.credential}
        if gap is None:
            log.warning("upstream_forbidden", **about, scopes=sorted(scopes))
        else:
            what = _LACKING[gap.reason]
            log.warning(
                "route_map_gap",
                **about,
                lacks=gap.reason,
                wanted=gap.wanted,
                scopes=sorted(scopes),
                remedy=what,
            )

    def report_bug(self, bug: BaseException | None) -> None:
        """Something that must not happen did."""
        logs.get("proxy").error("internal_error", exc_info=bug)
