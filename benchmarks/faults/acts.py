"""What is done to the three processes, one act after the other, and what may come of it.

Owns each fault: how it begins and ends, which failures a caller may see meanwhile, and how one sees that it was there
at all - an act that hit nothing would prove nothing. What is counted is score.py's business.
"""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import yaml

from benchmarks import tokens
from benchmarks.faults.stage import Stage, ask, replace
from benchmarks.processes import Metrics
from benchmarks.wire import Wire

NO_TOKEN, REFUSED = "503 token_unavailable", "502 token_refused"
UNREACHABLE, GARBLED = "502 upstream_unreachable", "502 upstream_protocol_error"
TIMEOUT, OVERLOADED = "504 upstream_timeout", "503 overloaded"
CLOSED, CUT = "closed without an answer", "cut"

Hit = Callable[[Stage], Awaitable[object]]


@dataclass(frozen=True)
class Seen:
    """What there is to see at the end of a fault, before it is lifted."""

    stage: Stage
    before: Metrics
    during: Metrics
    outcomes: frozenset[str]  # of requests, besides the good ones
    median: float  # seconds

    def grown(self, name: str, **labels: str) -> float:
        return self.during.total(name, **labels) - self.before.total(name, **labels)


Proof = Callable[[Seen], bool]


@dataclass(frozen=True)
class Act:
    name: str
    begin: Hit
    end: Hit
    proof: Proof
    may: frozenset[str] = frozenset()  # failures that callers may see; none: nobody notices
    newcomers: frozenset[str] = frozenset()  # failures that only those may see for whom no token is held yet
    seconds: float = 8.0


# -- how it is seen ----------------------------------------------------------------------------------------------------


def token_failed(*reasons: str) -> Proof:
    """Token requests failed for each of these reasons."""
    return lambda seen: all(seen.grown("auth_sidecar_token_failures_total", reason=r) > 0 for r in reasons)


def token_slow(seconds: float) -> Proof:
    """Token requests took so long on average."""
    name = "auth_sidecar_token_request_duration_seconds"
    return lambda seen: seen.grown(f"{name}_sum") > seconds * seen.grown(f"{name}_count") > 0


def came(*outcomes: str) -> Proof:
    """Callers saw one of these."""
    return lambda seen: bool(seen.outcomes & set(outcomes))


def reloaded(outcome: str) -> Proof:
    return lambda seen: seen.grown("auth_sidecar_config_reloads_total", outcome=outcome) > 0


def clock_is_off(seconds: float) -> Proof:
    """The sidecar stamps what it does with another time than ours."""

    def proof(seen: Seen) -> bool:
        stamp = seen.during.total("auth_sidecar_token_last_success_timestamp_seconds", credential="app")
        return abs(stamp - time.time() - seconds) < 60

    return proof


# -- hits --------------------------------------------------------------------------------------------------------------


async def nothing(_: Stage) -> None:
    pass


def tokens_are(**fault: object) -> Hit:
    return lambda stage: stage.tell_tokens(**fault)


def api_is(**mode: object) -> Hit:
    return lambda stage: stage.tell_api(**mode)


async def garble_tokens(stage: Stage) -> None:
    """All the ways in which an answer is none."""
    for kind in ("garbage", "html", "empty", "headers_only", "flood", "drip"):
        await stage.tell_tokens(kind=kind)
        await asyncio.sleep(1.0)


async def rotate_secret(stage: Stage) -> None:
    """The authorization server has it at once, the file a second later, as a mounted Secret would."""
    new = f"rotated-{time.time_ns()}"
    await ask(stage.token_port, tokens.SECRET, new)
    await asyncio.sleep(1.0)
    replace(stage.secret, new)


async def good_config(stage: Stage) -> None:
    """Another route, other limits."""
    new = {"path": "/app/new", "credential": "app", "scopes": ["app.knowledge.portalmgr.read"]}
    stage.configure(routes=[*stage.mapping()["routes"], new], limits={"max_in_flight": 900})


async def broken_config(stage: Stage) -> None:
    """Half a file, which no editor leaves behind for long, and a key nobody knows."""
    text = yaml.safe_dump(stage.mapping(), sort_keys=False)
    stage.write(text[: len(text) // 2])
    await asyncio.sleep(2.0)
    stage.configure(upstreem={"url": "http://127.0.0.1:1"})


@dataclass
class CallersWithoutEnd:
    """The process may have twice the descriptors it has, and somebody opens more connections than that."""

    _before: tuple[int, int] = (0, 0)
    _limit: int = 0
    _held: list[Wire] = field(default_factory=list)

    async def begin(self, stage: Stage) -> None:
        pid = stage.sidecar.child.pid
        self._before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        self._limit = 2 * stage.sidecar.descriptors()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (self._limit, self._before[1]))
        for _ in range(self._limit):
            wire = Wire(stage.sidecar.proxy)
            await wire.connect()  # the kernel accepts, whatever the process does then
            self._held.append(wire)

    async def end(self, stage: Stage) -> None:
        resource.prlimit(stage.sidecar.child.pid, resource.RLIMIT_NOFILE, self._before)
        for wire in self._held:
            wire.close()
        self._held.clear()

    def turned_away(self, seen: Seen) -> bool:
        return seen.stage.sidecar.events["callers_turned_away"] > 0


def clock(seconds: int) -> Hit:
    async def move(stage: Stage) -> None:
        (stage.folder / "faketime").write_text(f"{seconds:+d}\n", encoding="ascii")

    return move


def name_is(known: bool) -> Hit:
    async def hit(stage: Stage) -> None:
        names = f"127.0.0.1 localhost{f' {stage.host}' if known else ''}\n"
        (stage.folder / "hosts").write_text(names, encoding="ascii")  # in its place: it is mounted

    return hit


# -- the acts ----------------------------------------------------------------------------------------------------------


def _off_stage(what: str) -> tuple[tuple[Hit, Hit], tuple[Hit, Hit]]:
    """((kill, start), (freeze, thaw)) of one of the programs."""

    def hit(method: str) -> Hit:
        return lambda stage: asyncio.to_thread(getattr(getattr(stage, what), method))

    return (hit("kill"), hit("start")), (hit("freeze"), hit("thaw"))


_TOKENS_STOP, _TOKENS_FREEZE = _off_stage("token_endpoint")
_API_STOP, _API_FREEZE = _off_stage("api")
_CALLERS = CallersWithoutEnd()
_NONE = frozenset({NO_TOKEN})
_DOWN = frozenset({UNREACHABLE})

PLAIN = (
    Act("token endpoint stopped", *_TOKENS_STOP, token_failed("connect"), _NONE),
    Act("token endpoint frozen", *_TOKENS_FREEZE, token_failed("timeout"), _NONE),
    Act("token endpoint slow", tokens_are(delay=0.7), tokens_are(), token_slow(0.6)),
    Act("token endpoint resets", tokens_are(kind="down"), tokens_are(), token_failed("connect"), _NONE),
    Act("token endpoint garbled", garble_tokens, tokens_are(), token_failed("malformed"), _NONE, seconds=3.0),
    Act(
        "token endpoint throttles",
        tokens_are(kind="throttled", retry_after="2"),
        tokens_are(),
        token_failed("http_429"),
        _NONE,
    ),
    Act("API stopped", *_API_STOP, came(UNREACHABLE), _DOWN | {GARBLED, CUT}),
    Act("API frozen", *_API_FREEZE, came(TIMEOUT), frozenset({TIMEOUT, OVERLOADED, UNREACHABLE})),
    Act("API slow", api_is(mode="slow", ms=250), api_is(), lambda seen: seen.median > 0.2),
    Act("API resets", api_is(mode="reset"), api_is(), came(UNREACHABLE, GARBLED), _DOWN | {GARBLED}),
    Act("API garbled", api_is(mode="garble"), api_is(), came(GARBLED), _DOWN | {GARBLED, CUT}),
    Act("API throttles", api_is(mode="throttle"), api_is(), came("429"), frozenset({"429"})),
    Act(
        "client secret rotated",
        rotate_secret,
        nothing,
        token_failed("invalid_client"),
        newcomers=frozenset({REFUSED}),
        seconds=5.0,
    ),
    Act("configuration changed", good_config, nothing, reloaded("ok"), seconds=4.0),
    Act("configuration broken", broken_config, lambda s: good_config(s), reloaded("failed"), seconds=4.0),
    Act("callers without end", _CALLERS.begin, _CALLERS.end, _CALLERS.turned_away, frozenset({CLOSED})),
)

# Those for which the sidecar runs with a clock of its own and looks its hosts up in a file of its own.
SECLUDED = (
    Act("clock an hour ahead", clock(3600), clock(0), clock_is_off(3600)),
    Act("clock an hour behind", clock(-3600), clock(0), clock_is_off(-3600)),
    Act(
        "names not found", name_is(False), name_is(True), token_failed("connect"), _NONE | _DOWN, seconds=16.0
    ),
)
