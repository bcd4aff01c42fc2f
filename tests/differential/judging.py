"""Which of two readings is the more lenient one, and where ours deliberately is.

Owns the table EXCEPTIONS: what the sidecar takes and none of the others does, each with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from tests.differential.asking import Outcome, Request

OURS = "sidecar"
# Name of a case (or its beginning, with a `*`) -> why it is right to take it.
EXCEPTIONS: dict[str, str] = {}


@dataclass(frozen=True)
class Verdict:
    """What a case shows about the sidecar."""

    kind: str  # stricter, as others, more lenient, deliberate
    why: str = ""


def judge(name: str, outcomes: Mapping[str, Outcome]) -> Verdict:
    """More lenient: more whole requests at the upstream than through any other, or one that no other makes of it."""
    ours, others = outcomes[OURS], [outcome for peer, outcome in outcomes.items() if peer != OURS]
    most, least = max(len(o.requests) for o in others), min(len(o.requests) for o in others)
    why = ""
    if ours.odd:
        why = "the upstream was sent something that is no HTTP"
    elif len(ours.requests) > most:
        why = f"{len(ours.requests)} requests at the upstream, {most} at most through the others"
    else:
        unlike = [r for r in ours.requests if not any(_alike(r, o.requests) for o in others)]
        if unlike:
            why = f"no other makes `{unlike[0]}` of it"
    if why:
        reason = _reason(name)
        return Verdict("deliberate", reason) if reason else Verdict("more lenient", why)
    return Verdict("stricter" if len(ours.requests) < least else "as others")


def _alike(ours: Request, theirs: tuple[Request, ...]) -> bool:
    """The same method and body; the target is each proxy's own business (canonical path, dot segments)."""
    return (ours.method, ours.body) in {(one.method, one.body) for one in theirs}


def _reason(name: str) -> str | None:
    for known, reason in EXCEPTIONS.items():
        if name == known or (known.endswith("*") and name.startswith(known[:-1])):
            return reason
    return None


def summary(found: Mapping[str, Mapping[str, Outcome]]) -> list[tuple[str, int, int, int]]:
    """For each proxy: cases of which something whole reached the upstream, requests there in all, and odd ones."""
    rows = []
    for peer in next(iter(found.values())):
        outcomes = [outcomes[peer] for outcomes in found.values()]
        reached = sum(bool(o.requests) for o in outcomes)
        rows.append((peer, reached, sum(len(o.requests) for o in outcomes), sum(o.odd for o in outcomes)))
    return rows


def counted(verdicts: Mapping[str, Verdict]) -> Counter[str]:
    return Counter(verdict.kind for verdict in verdicts.values())
