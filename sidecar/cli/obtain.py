"""One token, obtained once.

Owns asking once and what a person may see of the answer. How one asks is the business of tokens/.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import jwt

from sidecar.clock import SystemClock
from sidecar.config.schema import Config
from sidecar.oauth.answer import Failure
from sidecar.oauth.grants import fixed_subject
from sidecar.oauth.hint import times
from sidecar.oauth.keyset import GARBAGE
from sidecar.secret import Secret
from sidecar.tokens.ask import ask, for_subject
from sidecar.tokens.endpoint import TokenEndpoint
from sidecar.tokens.recipe import recipe
from sidecar.tokens.view import DropReason, Outcome, Trigger


@dataclass(frozen=True, slots=True)
class Obtained:
    """A token and what is known of it."""

    token: Secret
    lifetime: float
    scopes: tuple[str, ...]  # without scope_prefix
    withheld: tuple[str, ...]  # requested, and not granted
    claims: dict[str, object] | None = field(repr=False)  # None: not a JWT


class Unheard:
    """Token events of which nobody keeps a record."""

    def requested(self, credential: str, trigger: Trigger, outcome: Outcome, seconds: float) -> None: ...

    def obtained(
        self, credential: str, subject: str | None, scopes: frozenset[str], lifetime: float
    ) -> None: ...

    def failed(
        self,
        credential: str,
        subject: str | None,
        trigger: Trigger,
        reason: str,
        retry_in: float,
        detail: str,
    ) -> None: ...

    def dropped(self, credential: str, reason: DropReason) -> None: ...

    def waited(self, credential: str, seconds: float) -> None: ...


async def obtain(
    config: Config, endpoint: TokenEndpoint, name: str, scopes: Sequence[str], subject: Secret | None
) -> Obtained | Failure:
    """Ask for a token. `subject` exactly for per-subject credentials."""
    credential, clock = config.credentials[name], SystemClock()
    client = config.client_of(credential)
    assert client is not None  # checked at load
    fixed = fixed_subject(credential)
    issued, _ = await ask(
        for_subject(recipe(name, credential, client, scopes), subject if fixed is None else Secret(fixed)),
        "demand",
        clock=clock,
        endpoint=endpoint,
        events=Unheard(),
        tokens=config.tokens,
    )
    if isinstance(issued, Failure):
        return issued
    lifetime = issued.lifetime
    if subject is not None and credential.grant == "token_exchange":
        end = times(subject.reveal()).exp
        lifetime = lifetime if end is None else min(lifetime, end - clock.wall())
        if lifetime <= 0:
            return Failure("unavailable", "timeout", "the subject token has expired")
    granted = issued.scopes if issued.scopes is not None else frozenset(scopes)
    granted = frozenset(scope.removeprefix(credential.scope_prefix) for scope in granted)
    wanted = {scope.removeprefix(credential.scope_prefix) for scope in scopes}
    return Obtained(
        Secret(issued.value),
        lifetime,
        tuple(sorted(granted)),
        tuple(sorted(wanted - granted)),
        _claims(issued.value),
    )


def _claims(token: str) -> dict[str, object] | None:
    try:
        return dict(jwt.decode(token, options={"verify_signature": False}))
    except GARBAGE:
        return None
