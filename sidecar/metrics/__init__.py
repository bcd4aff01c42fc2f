"""Metrics: numbers kept plain while requests run, put into words when Prometheus asks.

Owns what is bound where. Knows neither requests nor tokens: the proxy counts through the
`RouteMetrics` it was handed, the token side through `tokens`, and what is only worth knowing at a scrape is
asked for through `watch`. Everything runs on one event loop, so there are no locks.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping

from sidecar import __version__
from sidecar.clock import Clock
from sidecar.metrics import families
from sidecar.metrics.exposition import Family, render
from sidecar.metrics.routes import METHODS, UNMAPPED, RouteMetrics, RouteView
from sidecar.metrics.sessions import SessionMetrics
from sidecar.metrics.tokens import TokenMetrics
from sidecar.tokens.view import TokenView

__all__ = ["UNMAPPED", "Metrics", "RouteMetrics", "RouteView", "TokenMetrics"]


class Metrics:
    """All the numbers of one process."""

    def __init__(self, clock: Clock) -> None:
        self.in_flight = 0  # the proxy's: += 1 and -= 1
        self.tokens = TokenMetrics(clock)
        self.sessions = SessionMetrics()
        self._clock = clock
        self._methods = set(METHODS)
        self._routes: dict[str, RouteMetrics] = {}
        self._reloads = {True: 0, False: 0}
        self._last_reload_ok = True  # the configuration the process started with
        self._held: Callable[[], Iterable[TokenView]] = tuple
        self._connections: Callable[[], tuple[int, int]] = lambda: (0, 0)
        self._sessions: Callable[[], Mapping[str, int]] = dict

    def route(self, label: str, methods: Iterable[str] = ()) -> RouteMetrics:
        """The numbers of one route, the same object for the same label.

        `methods` are those the configuration names for it: they become label values besides the usual ones.
        A route that a reload removed keeps its numbers: a counter never goes backwards.
        """
        self._methods.update(methods)
        found = self._routes.get(label)
        if found is None:
            found = self._routes[label] = RouteMetrics(label, self._methods)
        return found

    def watch(
        self,
        tokens: Callable[[], Iterable[TokenView]],
        connections: Callable[[], tuple[int, int]],
        sessions: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        """Where to look when scraped: the tokens as they are, the upstream connections (idle, busy), and how
        many sessions each credential has."""
        self._held = tokens
        self._connections = connections
        self._sessions = sessions

    def connections(self) -> tuple[int, int]:
        """Upstream connections now: (idle, busy)."""
        return self._connections()

    def reloaded(self, ok: bool) -> None:
        """The configuration was read again; a wrong one leaves the old one in force."""
        self._reloads[ok] += 1
        self._last_reload_ok = ok

    def route_views(self) -> list[RouteView]:
        """Every route that was bound, the busiest first."""
        return sorted(
            (route.view() for route in self._routes.values()), key=lambda view: (-view.requests, view.label)
        )

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """What a scrape gets, and its content type."""
        return render(self._families(), accept)

    def _families(self) -> Iterator[Family]:
        held = list(self._held())
        for view in held:
            self.tokens.credential(view.credential)  # also those nothing has happened to yet
        credentials = self.tokens.by_name()
        yield from families.of_build(__version__, platform.python_version())
        yield from families.of_routes(self._routes.values(), self.in_flight)
        yield from families.of_credentials(credentials)
        yield from families.of_held(held, [name for name, _ in credentials], self._clock.now())
        yield from families.of_sessions(self.sessions, self._sessions())
        yield from families.of_connections(*self._connections())
        yield from families.of_reloads(self._reloads[True], self._reloads[False], self._last_reload_ok)
