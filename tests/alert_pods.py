"""Sidecars as Prometheus sees them: one sample a minute of every series that an alert rule reads.

Owns a model of a pod, coarse but whole: tokens are refreshed at half of their life, tried twice a minute while
that fails, and requests fail once there is none. What is normal and looks odd is always in it: exchanged tokens
that run out because nobody renews them. Knows nothing of the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field

END = 150  # minutes that a scenario lasts
HOUR = 3600.0
LABELS = {  # what a scrape adds: with Prometheus Operator's PodMonitor, and with a plain list of addresses
    "operator": 'namespace="shop",job="shop/sidecars",container="auth-sidecar",pod="{0}",instance="{0}:8081"',
    "plain": 'job="sidecars",instance="{0}:8081"',
}
_TRAFFIC = 600.0  # requests a minute
_TRIES = 2  # a minute, while they fail
_OUTCOMES = ("ok", "refused", "throttled", "unavailable", "malformed")
_TRIGGERS = ("startup", "demand", "ahead", "rejected")
_REASONS = ("invalid_client", "invalid_grant", "invalid_scope", "http_4xx", "http_5xx", "http_429", "timeout")

Rate = float | Callable[[int], float]  # growth in a minute
Answer = Callable[[int], str]  # what the token endpoint says in a minute: `ok`, or `OUTCOME REASON`


def always(answer: str) -> Answer:
    return lambda minute: answer


def _tokens(minute: int) -> str:
    return "ok"


def during(minutes: Container[int], answer: str) -> Answer:
    """This answer then, tokens otherwise."""
    return lambda minute: answer if minute in minutes else "ok"


def at(minutes: Container[int], growth: float = 1) -> Rate:
    """So much in each of these minutes."""
    return lambda minute: growth if minute in minutes else 0


@dataclass
class Pod:
    """One pod. `app` is its application's credential, `agent` acts on behalf of users, `okta` exchanges."""

    name: str = "app-1"
    up: range = range(END)
    restarts: Container[int] = ()
    gaps: Container[int] = ()  # the scrape failed
    server: Answer = _tokens
    lifetime: float = HOUR
    patience: int = 0  # Retry-After of the token endpoint, in minutes
    traffic: Rate = _TRAFFIC
    grows: dict[str, Rate] = field(default_factory=dict)  # besides: counter -> growth
    shows: dict[str, Callable[[int], float]] = field(default_factory=dict)  # instead: gauge -> value

    def series(self, style: str) -> Iterator[tuple[str, str]]:
        """Each series with its samples, as promtool wants them."""
        labels = LABELS[style].format(self.name)
        for name, values in self._samples().items():
            family, _, own = name.rstrip("}").partition("{")
            yield f"auth_sidecar_{family}{{{own}{own and ','}{labels}}}", " ".join(self._written(values))

    def _written(self, values: dict[int, float]) -> Iterator[str]:
        """A sample for each minute; a failed scrape and the pod's end make the series stale, as in Prometheus."""
        there = False
        for minute in range(END):
            seen = minute in values and minute not in self.gaps
            yield f"{values[minute]:g}" if seen else "stale" if there else "_"
            there = seen

    def _samples(self) -> dict[str, dict[int, float]]:
        found: defaultdict[str, dict[int, float]] = defaultdict(dict)
        for minute, counters, gauges in self._minutes():
            for name, value in (counters | gauges).items():
                found[name][minute] = value
        return found

    def _minutes(self) -> Iterator[tuple[int, dict[str, float], dict[str, float]]]:
        process = _Process(self, self.up.start)
        for minute in self.up:
            if minute in self.restarts:
                process = _Process(self, minute)
            process.live(minute)
            gauges = process.gauges(minute)
            gauges.update((name, shown(minute)) for name, shown in self.shows.items())
            yield minute, dict(process.counters), gauges


class _Process:
    """One life of the sidecar's process: counters from 0, and its application's token."""

    def __init__(self, pod: Pod, started: int) -> None:
        self._pod, self._started = pod, started
        self._obtained: int | None = None
        self._next_try = started
        self._last_answer = "ok"
        self.counters: dict[str, float] = dict.fromkeys(_all_zero(), 0)

    def live(self, minute: int) -> None:
        pod = self._pod
        self._renew(minute)
        traffic = _growth(pod.traffic, minute)
        if self._left(minute) > 30:
            self._count('requests_total{route="search",method="GET",status="200"}', traffic)
        else:
            code = "token_refused" if self._last_answer.startswith("refused") else "token_unavailable"
            self._count('requests_total{route="search",method="GET",status="503"}', traffic)
            self._count(f'errors_total{{route="search",code="{code}"}}', traffic)
        if traffic:
            self._count(_requests("agent", "demand", "ok"), 3)
            self._count(_requests("agent", "ahead", "ok"), 1)
            self._count(_requests("okta", "demand", "ok"), 1)
        for name, rate in pod.grows.items():
            self._count(name, _growth(rate, minute))

    def gauges(self, minute: int) -> dict[str, float]:
        found = {"config_last_reload_successful": 1.0}
        for credential, left, ago in (
            ("app", self._left(minute), minute - self._obtained if self._obtained is not None else None),
            ("agent", 0.47 * HOUR, 0),
            ("okta", HOUR - 60 * (minute % 90), 0),  # in view for half an hour after its end
        ):
            success = 0.0 if ago is None else 60.0 * (minute - ago) + 1
            found[f'token_last_success_timestamp_seconds{{credential="{credential}"}}'] = success
            if ago is not None:
                found[f'token_expires_in_seconds{{credential="{credential}"}}'] = left
                life = self._pod.lifetime if credential == "app" else HOUR
                found[f'token_lifetime_seconds{{credential="{credential}"}}'] = life
        return found

    def _renew(self, minute: int) -> None:
        pod = self._pod
        due = self._obtained is None or minute >= self._obtained + 0.47 * pod.lifetime / 60
        if not due or minute < self._next_try:
            return
        trigger = "startup" if self._obtained is None else "ahead"
        outcome, _, reason = pod.server(minute).partition(" ")
        self._last_answer = outcome
        if outcome == "ok":
            self._obtained = minute
            self._count(_requests("app", trigger, outcome), 1)
        else:
            tries = 1 if pod.patience else _TRIES
            self._count(_requests("app", trigger, outcome), tries)
            self._count(f'token_failures_total{{credential="app",reason="{reason}"}}', tries)
            self._next_try = minute + pod.patience

    def _left(self, minute: int) -> float:
        return 0.0 if self._obtained is None else self._pod.lifetime - 60 * (minute - self._obtained)

    def _count(self, name: str, growth: float) -> None:
        if growth or name in self.counters:  # a series appears when there is something to count
            self.counters[name] = self.counters.get(name, 0) + growth


def _requests(credential: str, trigger: str, outcome: str) -> str:
    return f'token_requests_total{{credential="{credential}",trigger="{trigger}",outcome="{outcome}"}}'


def _growth(rate: Rate, minute: int) -> float:
    return rate(minute) if callable(rate) else rate


def _all_zero() -> Iterable[str]:
    """The counters that a sidecar shows before there was anything to count."""
    for credential in ("app", "agent", "okta"):
        yield from (_requests(credential, trigger, out) for trigger in _TRIGGERS for out in _OUTCOMES)
        yield from (f'token_failures_total{{credential="{credential}",reason="{why}"}}' for why in _REASONS)
    yield from (f'errors_total{{route="search",code="{c}"}}' for c in ("token_refused", "token_unavailable"))
    yield from (
        f'replays_total{{route="search",outcome="{o}"}}' for o in ("ok", "rejected_again", "not_replayable")
    )
    yield from (f'route_map_gaps_total{{route="search",lacks="{what}"}}' for what in ("scope", "persona"))
