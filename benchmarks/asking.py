"""What is asked through the sidecar, and what may come back: nothing is right unless all of it is.

Owns the requests of a run - whose each is, with which scopes, which body - and the verdict on each answer. The API
behind (api.py) repeats what it was asked and for whom; a verdict holds that against the question. Pure.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.wire import Cut, Reply
from sidecar.errors import Refusal

READ, MANAGE = "app.knowledge.portalmgr.read", "app.knowledge.portalmgr.manage"
OBO_READ, OBO_MANAGE = "knowledge.portalmgr.onbehalfof.read", "knowledge.portalmgr.onbehalfof.manage"
DELEGATED = "knowledge.portalmgr.read"
_BODY = 4096  # bytes, at most

Kind = Literal["right", "passed", "refused", "cut", "unanswered", "wrong"]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, and for whom with which scopes the API must have been asked."""

    number: int
    subject: str
    scopes: str
    wire: bytes
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`right` and `passed` (the API's own 429, unchanged) are as they should be; `refused`, `cut` and `unanswered`
    are failures that can be seen as such; `wrong` must never be."""

    kind: Kind
    what: str = ""  # the outcome in words: `503 token_unavailable`

    @property
    def good(self) -> bool:
        return self.kind in ("right", "passed")


@dataclass(frozen=True, slots=True)
class Who:
    """A kind of caller: its routes, and the subject its tokens must have."""

    path: str
    subject: str
    scopes: str
    field: str = ""  # a header field

    def ask(self, number: int, *, body: bytes = b"") -> Ask:
        method = "POST" if body else "GET"
        lines = [f"{method} {self.path}?n={number} HTTP/1.1", "Host: localhost"]
        lines += [line for line in (self.field, f"Content-Length: {len(body)}" if body else "") if line]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return Ask(number, self.subject, self.scopes, head + body, method, body)


def application(client_id: str) -> list[Who]:
    """The application itself, with two tokens."""
    return [Who("/app/read", client_id, READ), Who("/app/manage", client_id, MANAGE)]


def agent(name: str) -> list[Who]:
    """A user on whose behalf the application asks, with two tokens."""
    field = f"X-On-Behalf-Of: {name}"
    return [Who("/agent/read", name, OBO_READ, field), Who("/agent/manage", name, OBO_MANAGE, field)]


def mixed(
    groups: Sequence[Sequence[Who]], *, newcomers: float = 0.0, bodies: float = 0.1, seed: int = 1
) -> Iterator[Ask]:
    """Requests without end: each group's callers in turn, group by group.

    `newcomers`: the share of requests for a user nobody has asked for before. `bodies`: the share of POSTs.
    """
    chance = random.Random(seed)
    turns = [0] * len(groups)
    number = 0
    while True:
        for at, group in enumerate(groups):
            number += 1
            who = group[turns[at] % len(group)]
            turns[at] += 1
            if chance.random() < newcomers:
                who = agent(f"newcomer{number}")[0]
            body = chance.randbytes(chance.randint(1, _BODY)) if chance.random() < bodies else b""
            yield who.ask(number, body=body)


# -- verdicts ----------------------------------------------------------------------------------------------------------


def judge(ask: Ask, reply: Reply) -> Verdict:
    """What an answer is worth."""
    if reply.code is not None:
        wrong = _problem(ask, reply)
        return Verdict("wrong", wrong) if wrong else Verdict("refused", reply.outcome)
    if reply.status not in (200, 429):
        return Verdict("wrong", f"{reply.status} without an error code")  # 401: of the API, for its token
    try:
        said = json.loads(reply.body)
        told = {name: said[name] for name in ("n", "method", "subject", "scopes", "sha256")}
    except (ValueError, KeyError, TypeError):
        return Verdict("wrong", "incomplete, taken for complete")
    asked = {
        "n": ask.number,
        "method": ask.method,
        "subject": ask.subject,
        "scopes": ask.scopes,
        "sha256": hashlib.sha256(ask.body).hexdigest(),
    }
    if other := [name for name in asked if asked[name] != told[name]]:
        return Verdict("wrong", f"another {' and '.join(other)}")
    return Verdict("right") if reply.status == 200 else Verdict("passed", "429")


def judge_failure(error: Exception) -> Verdict:
    """What no answer is worth."""
    if isinstance(error, Cut):
        return Verdict("cut", "cut")
    if isinstance(error, TimeoutError):
        return Verdict("wrong", "no answer at all")
    if isinstance(error, OSError | EOFError):
        return Verdict("unanswered", "closed without an answer")
    return Verdict("wrong", f"unreadable: {type(error).__name__}")


def _codes() -> dict[str, type[Refusal]]:
    found: dict[str, type[Refusal]] = {}
    left = [Refusal]
    while left:
        kinds = left.pop().__subclasses__()
        left += kinds
        found |= {kind.code: kind for kind in kinds if "code" in vars(kind)}
    return found


_CODES = _codes()


def _problem(ask: Ask, reply: Reply) -> str | None:
    """What is wrong with an answer the sidecar made itself; None: it is as docs/errors.md has it."""
    kind = _CODES.get(reply.code or "")
    if kind is None or kind.status != reply.status:
        return f"{reply.outcome} is none of the errors"
    if reply.status == 500:
        return "500: a bug"
    if reply.headers.get(b"content-type") != b"application/problem+json":
        return f"{reply.outcome} without problem+json"
    try:
        said = json.loads(reply.body)
        agree = said["code"] == reply.code and said["status"] == reply.status
    except (ValueError, KeyError, TypeError):
        return f"{reply.outcome} with an unreadable body"
    if not agree:
        return f"{reply.outcome} with another code in its body"
    if reply.status == 503 and not reply.headers.get(b"retry-after", b"").isdigit():
        return f"{reply.outcome} without Retry-After"
    if ask.subject.encode() in reply.body:
        return f"{reply.outcome} tells the subject"
    return None
