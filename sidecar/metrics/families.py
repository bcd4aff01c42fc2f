"""The metric table: every name, help text and label, filled from the numbers when scraped.

Owns what `/metrics` says, in the order it says it; the numbers themselves live in routes.py and tokens.py.
Each function makes the families of one subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from sidecar.errors import TokenRefused, TokenUnavailable
from sidecar.metrics.exposition import Family
from sidecar.metrics.routes import RouteMetrics
from sidecar.metrics.sessions import SessionMetrics
from sidecar.metrics.tokens import CredentialMetrics
from sidecar.tokens.view import TokenView

# There from a route's first request on: `increase()` cannot see the step from "no series" to 1.
_AWAITED_ERRORS = (TokenRefused.code, TokenUnavailable.code)

_counter = partial(Family, "counter")
_gauge = partial(Family, "gauge")
_histogram = partial(Family, "histogram")


def of_build(version: str, python: str) -> Iterator[Family]:
    build = _gauge("auth_sidecar_build_info", "1; which build this is.", "version", "python")
    build.add([version, python], 1)
    yield build


def of_routes(routes: Iterable[RouteMetrics], in_flight: int) -> Iterator[Family]:
    requests = _counter(
        "auth_sidecar_requests",
        "Requests answered, by status as sent to the caller.",
        "route",
        "method",
        "status",
    )
    durations = _histogram(
        "auth_sidecar_request_duration_seconds",
        "Request head read to last byte answered, in seconds.",
        "route",
    )
    errors = _counter(
        "auth_sidecar_errors", "Requests the sidecar answered itself, by error code.", "route", "code"
    )
    rejections = _counter(
        "auth_sidecar_upstream_rejections", "Each 401 and 403 the upstream gave.", "route", "status"
    )
    gaps = _counter(
        "auth_sidecar_route_map_gaps",
        "403 answers that say what the token of a route lacks: a scope, or another persona.",
        "route",
        "lacks",
    )
    replays = _counter(
        "auth_sidecar_replays", "What became of requests the upstream rejected with 401.", "route", "outcome"
    )
    for route in routes:
        if not (route.requests or route.errors):
            continue  # hundreds of mapped but unused routes would be thousands of zeros
        label = route.label
        for (method, status), count in route.requests.items():
            requests.add([label, method, str(status)], count)
        durations.add_histogram([label], route.durations)
        for code in dict.fromkeys((*_AWAITED_ERRORS, *route.errors)):
            errors.add([label, code], route.errors.get(code, 0))
        for status, count in route.rejections.items():
            rejections.add([label, str(status)], count)
        for lacks, count in route.gaps.items():
            gaps.add([label, lacks], count)
        for outcome, count in route.replays.items():
            replays.add([label, outcome], count)
    flying = _gauge("auth_sidecar_requests_in_flight", "Requests read but not yet answered to the last byte.")
    flying.add([], in_flight)
    yield from (requests, durations, flying, errors, rejections, gaps, replays)


def of_credentials(credentials: Iterable[tuple[str, CredentialMetrics]]) -> Iterator[Family]:
    requests = _counter(
        "auth_sidecar_token_requests", "Token requests that ended.", "credential", "trigger", "outcome"
    )
    failures = _counter(
        "auth_sidecar_token_failures", "Token requests that failed, by reason.", "credential", "reason"
    )
    durations = _histogram(
        "auth_sidecar_token_request_duration_seconds",
        "How long token requests took, in seconds.",
        "credential",
    )
    lifetimes = _gauge(
        "auth_sidecar_token_lifetime_seconds", "Lifetime the last token was issued with.", "credential"
    )
    successes = _gauge(
        "auth_sidecar_token_last_success_timestamp_seconds",
        "When a token was last obtained (Unix time); 0: never.",
        "credential",
    )
    waits = _histogram(
        "auth_sidecar_token_wait_seconds", "How long requests waited for a token, in seconds.", "credential"
    )
    drops = _counter(
        "auth_sidecar_tokens_dropped", "Held tokens that were let go, by reason.", "credential", "reason"
    )
    for name, mine in credentials:
        for (trigger, outcome), count in mine.requests.items():
            requests.add([name, trigger, outcome], count)
        for reason, count in mine.failures.items():
            failures.add([name, reason], count)
        for cause, count in mine.drops.items():
            drops.add([name, cause], count)
        durations.add_histogram([name], mine.seconds)
        waits.add_histogram([name], mine.waits)
        successes.add([name], mine.last_success)
        if mine.last_lifetime is not None:
            lifetimes.add([name], mine.last_lifetime)
    yield from (requests, failures, durations, lifetimes, successes, waits, drops)


def of_held(views: Iterable[TokenView], credentials: Iterable[str], now: float) -> Iterator[Family]:
    left: dict[str, float] = {}
    held = dict.fromkeys(credentials, 0)
    for view in views:
        held.setdefault(view.credential, 0)
        if view.expires_at is None:
            continue
        held[view.credential] += view.state == "held"  # one that is over stays in view, for the gauge below
        if view.in_use:
            left[view.credential] = min(
                left.get(view.credential, view.expires_at - now), view.expires_at - now
            )
    expires = _gauge(
        "auth_sidecar_token_expires_in_seconds",
        "Least time left among the tokens in use; negative once past.",
        "credential",
    )
    cached = _gauge("auth_sidecar_tokens_cached", "Tokens held.", "credential")
    for name, seconds in sorted(left.items()):
        expires.add([name], seconds)
    for name, count in sorted(held.items()):
        cached.add([name], count)
    yield from (expires, cached)


def of_sessions(numbers: SessionMetrics, counts: Mapping[str, int]) -> Iterator[Family]:
    """Nothing where nobody signs in."""
    if not numbers.logins:
        return
    sessions = _gauge("auth_sidecar_sessions", "Sessions of people who have signed in.", "credential")
    for name in sorted({name for name, _ in numbers.logins}):
        sessions.add([name], counts.get(name, 0))
    logins = _counter("auth_sidecar_logins", "Sign-ins that ended, by outcome.", "credential", "outcome")
    refreshes = _counter(
        "auth_sidecar_session_refreshes",
        "Refreshes of sessions' tokens, by outcome.",
        "credential",
        "outcome",
    )
    ends = _counter("auth_sidecar_sessions_ended", "Sessions that ended, by reason.", "credential", "reason")
    for family, counter in ((logins, numbers.logins), (refreshes, numbers.refreshes), (ends, numbers.ends)):
        for labels, count in sorted(counter.items()):
            family.add(list(labels), count)
    yield from (sessions, logins, refreshes, ends)


def of_connections(idle: int, busy: int) -> Iterator[Family]:
    connections = _gauge("auth_sidecar_upstream_connections", "Open connections to the upstream.", "state")
    connections.add(["idle"], idle)
    connections.add(["busy"], busy)
    yield connections


def of_reloads(ok: int, failed: int, last_ok: bool) -> Iterator[Family]:
    reloads = _counter("auth_sidecar_config_reloads", "Times the configuration was read again.", "outcome")
    reloads.add(["ok"], ok)
    reloads.add(["failed"], failed)
    last = _gauge(
        "auth_sidecar_config_last_reload_successful",
        "1 when the running configuration is the one in the file, else 0.",
    )
    last.add([], int(last_ok))
    yield from (reloads, last)
