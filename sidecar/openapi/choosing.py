"""For each operation the credential that calls it, and exactly the scopes that takes.

Owns the rules of choice: the first preferred persona that an alternative allows, that alternative's scopes, what an
application's scopes are where the document only says `.default`; and in words what an operation would need that no
credential can call. Knows nothing of files.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sidecar.openapi.building import shown
from sidecar.openapi.operations import Operation
from sidecar.openapi.personas import DELEGATED, Persona, misfit
from sidecar.openapi.security import DEFAULT, Alternative, flaw_of

NO_CREDENTIAL = "none"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_ON_BEHALF_OF = ".onbehalfof."


@dataclass(frozen=True, slots=True)
class Plan:
    """What a map is made by."""

    credentials: tuple[tuple[str, Persona], ...]  # (name, whose tokens), in the order given
    prefer: tuple[Persona, ...] = ()
    include_internal: bool = False
    base_path: str | None = None
    superset: bool = False
    default_scope: bool = False

    def order(self) -> list[tuple[Persona, str]]:
        """Personas with their credential, the preferred ones first; of two of the same persona the first."""
        named: dict[Persona, str] = {}
        for name, persona in self.credentials:
            named.setdefault(persona, name)
        return [(p, named[p]) for p in dict.fromkeys((*self.prefer, *named)) if p in named]


@dataclass(frozen=True, slots=True)
class Mapped:
    """An operation that gets a route."""

    operation: Operation
    credential: str  # `none`: it is public
    scopes: tuple[str, ...] = ()
    inferred: bool = False  # no document says these scopes
    keys: tuple[str, ...] = ()  # API keys that the app sends itself
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Unmapped:
    """An operation that gets none."""

    operation: Operation
    reason: str


def choose(operation: Operation, plan: Plan) -> Mapped | Unmapped:
    """The route for an operation, or why there is none."""
    security = operation.security
    if operation.unroutable is not None:
        return Unmapped(operation, operation.unroutable)
    if not security.declared:
        return Unmapped(operation, "needs a decision: the document declares no security for it")
    for persona, credential in plan.order():
        for alternative in security.alternatives:
            if alternative.persona == persona and _why_not(operation, alternative, plan) is None:
                scopes, inferred = _scopes(operation, alternative, plan)
                return Mapped(operation, credential, scopes, inferred, alternative.keys, operation.id)
    if security.open:
        return Mapped(operation, NO_CREDENTIAL, name=operation.id)
    return Unmapped(operation, f"needs {_needed(operation, plan)}")


def _why_not(operation: Operation, alternative: Alternative, plan: Plan) -> str | None:
    """Why an alternative with a known persona cannot be used."""
    if alternative.persona is None or alternative.flaw is not None:
        return alternative.flaw or "no persona is known for it"
    scopes, _ = _scopes(operation, alternative, plan)
    if not scopes:
        return "the document names no scope"
    if (flaw := flaw_of(scopes)) is not None:
        return flaw
    return _misfit(alternative.persona, scopes)


@functools.lru_cache(maxsize=1024)  # operations repeat the same few lists
def _misfit(persona: Persona, scopes: tuple[str, ...]) -> str | None:
    return next((why for one in scopes if (why := misfit(persona, one)) is not None), None)


def _scopes(operation: Operation, alternative: Alternative, plan: Plan) -> tuple[tuple[str, ...], bool]:
    """The scopes of the token, and whether they are inferred."""
    if alternative.persona != "app":
        return alternative.scopes, False
    if plan.default_scope:
        return (DEFAULT,), False
    if operation.permissions:
        every = tuple(dict.fromkeys(map(_application, operation.permissions)))
        reads = (one for one in every if one.endswith(".read"))
        return every if plan.superset else (next(reads, every[0]),), False
    named = tuple(one for one in alternative.scopes if one != DEFAULT)
    if found := named or tuple(dict.fromkeys(_delegated(operation))):
        return tuple(map(_application, found)), False
    return _inferred(operation), True


def _application(scope: str) -> str:
    return scope if scope.startswith("app.") else f"app.{scope}"


def _delegated(operation: Operation) -> Iterator[str]:
    for alternative in operation.security.alternatives:
        if alternative.persona in DELEGATED and alternative.usable:
            yield from (s for s in alternative.scopes if s != DEFAULT and _ON_BEHALF_OF not in s)


def _inferred(operation: Operation) -> tuple[str, ...]:
    """`app.PRODUCT.SERVICE.VERB`, as eGain's application permissions are called."""
    product, service, *_ = (*operation.path[1:].split("/"), "", "")
    if not _PLAIN.fullmatch(product) or not _PLAIN.fullmatch(service):
        return ()
    return (f"app.{product}.{service}.{'read' if operation.method in _READS else 'manage'}",)


def _needed(operation: Operation, plan: Plan) -> str:
    """What would have to be there, one alternative after the other."""
    return shown(
        " or ".join(_one_needed(operation, one, plan) for one in operation.security.alternatives), 1000
    )


def _one_needed(operation: Operation, alternative: Alternative, plan: Plan) -> str:
    who = alternative.persona or "+".join(alternative.schemes)
    why = _why_not(operation, alternative, plan)
    if why is not None:
        return f"{who} ({why})"
    return f"{who} [{shown(' '.join(_scopes(operation, alternative, plan)[0]), 500)}]"


def alternatives(operation: Operation) -> str:
    """All alternatives as the document has them, in one line; personas with the same scopes together."""
    by_scopes: dict[tuple[str, ...], list[str]] = {}
    for one in operation.security.alternatives:
        by_scopes.setdefault(one.scopes, []).append(one.persona or "+".join(one.schemes))
    said = [
        f"{', '.join(dict.fromkeys(who))}: {shown(' '.join(scopes), 500) or '(no scope named)'}"
        for scopes, who in by_scopes.items()
    ]
    if operation.security.open:
        said.append("no token")
    return shown(" | ".join(said), 1000)
