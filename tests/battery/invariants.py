"""What holds after every case, whatever the case was about.

Owns the judgements: material in, sentences about what is wrong out. Pure; case.py collects the material, and
test_invariants.py shows of each that it catches what it must.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from tests.battery.wire import Answers, Requests

CANARY = "canary"  # whatever a case writes with this word in it must come out nowhere
_LEAST_SECRET = 8  # characters; shorter ones are part of ordinary words
_LEAST_SUBJECT = 4
_STRAY = (
    "Traceback (most recent call last)",
    '"internal_error"',
    '"crashed"',
    '"exc_info"',
    '"exception"',
    '"logger": "asyncio"',
    '"logger": "aiohttp.server"',
    "never retrieved",
    "never awaited",
    "Unclosed ",
    "Task was destroyed",
    "ResourceWarning",
)


class Seen(Protocol):
    """A request as the upstream got it."""

    answered: bool

    @property
    def line(self) -> str: ...

    def all(self, name: str) -> list[str]: ...


def authorization(
    request: Seen, wanted: bool | None, ours: Collection[str], callers: Collection[str]
) -> list[str]:
    """Exactly one where the route has a credential, else none (`wanted` None: not known); never the caller's."""
    values = request.all("Authorization")
    wrong = []
    if len(values) > 1:
        wrong.append(f"{request.line}: {len(values)} Authorization fields at the upstream")
    if wanted is not None and len(values) == 0 and wanted:
        wrong.append(f"{request.line}: no Authorization at the upstream")
    if wanted is False and values:
        wrong.append(f"{request.line}: an Authorization on a route without a credential")
    for value in values:
        scheme, _, token = value.partition(" ")
        if value in callers:
            wrong.append(f"{request.line}: the caller's own Authorization at the upstream")
        elif scheme != "Bearer" or token not in ours:
            wrong.append(f"{request.line}: an Authorization that nobody issued")
    return wrong


def answers(requests: Requests, got: Answers, *, still_open: bool) -> list[str]:
    """As many answers as requests; fewer only where the connection has ended."""
    wrong = []
    if len(got.statuses) > requests.most:
        wrong.append(f"{len(got.statuses)} answers to {requests.most} requests: {got.statuses[-3:]}")
    if got.broken is not None:
        wrong.append(f"the caller got what is no answer: {got.broken}")
    if still_open and not got.ended and got.whole < requests.count:
        wrong.append(f"{got.whole} whole answers to {requests.count} requests, and the connection goes on")
    return wrong


def accounting(sent: int, most: int, answered: int, accounted: int, upstream: int, replays: int) -> list[str]:
    """Over all connections: what the metrics count, what callers sent and got, what the upstream answered."""
    wrong = []
    if answered > accounted:
        wrong.append(f"{answered} answers, {accounted} requests in the metrics")
    if accounted > most:
        wrong.append(f"{accounted} requests in the metrics, {most} were sent")
    if upstream > sent + replays:
        wrong.append(
            f"the upstream answered {upstream} requests, callers sent {sent}, {replays} were replayed"
        )
    return wrong


def secrets(outputs: Mapping[str, str], hidden: Iterable[str], subjects: Iterable[str]) -> list[str]:
    """No secret, token, subject or canary in any output."""
    wanted = {text for text in hidden if len(text) >= _LEAST_SECRET}
    wanted |= {text for text in subjects if len(text) >= _LEAST_SUBJECT} | {CANARY}
    return [
        f"{text[:4]}… shows in {where}: {_around(output, text)}"
        for where, output in outputs.items()
        for text in sorted(wanted)
        if text in output
    ]


def _around(output: str, text: str) -> str:
    at = output.index(text)
    return repr(output[max(0, at - 60) : at] + "***" + output[at + len(text) : at + len(text) + 20])


def stray(outputs: Mapping[str, str], told: Sequence[str]) -> list[str]:
    """No traceback, nothing unawaited, unclosed or unexpected; `told`: what the event loop's handler was told."""
    found = [
        f"{where} has {sign}: {_around(output, sign)}"
        for where, output in outputs.items()
        for sign in _STRAY
        if sign in output
    ]
    return found + [f"the event loop was told: {text}" for text in told]


def own_answers(heads: Iterable[bytes]) -> list[str]:
    """What the sidecar answers itself names no server and allows no other origin."""
    return [
        f"an answer of the sidecar's own has {name.decode()}"
        for head in heads
        for name in (b"server:", b"access-control-allow", b"www-authenticate: basic")
        if b"\r\n" + name in head.lower()
    ]


def remains(kind: str, before: Collection[str], after: Collection[str]) -> list[str]:
    """Descriptors, tasks, objects: as many as before."""
    extra = list(after)
    for name in before:
        if name in extra:
            extra.remove(name)
    return [f"{kind} left behind: {', '.join(sorted(extra)[:5])}"] if extra else []
