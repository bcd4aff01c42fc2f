"""One try to get a token: secrets read, request written, sent, its answer read.

Owns what a try is, and the one case in which a try is two requests: the client was refused, and its secret
has been replaced in the meantime. When to try is the keeper's business, how it travels the endpoint's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from sidecar.clock import Clock
from sidecar.config.schema import Credential, Tokens
from sidecar.config.values import SecretFrom
from sidecar.oauth.answer import Failure, Issued, Reply, read
from sidecar.oauth.client import Identification, prove
from sidecar.oauth.grants import Fields, form
from sidecar.oauth.request import TokenRequest, token_request
from sidecar.oauth.untrusted import one_line
from sidecar.secret import Secret
from sidecar.tokens.recipe import Recipe
from sidecar.tokens.view import TokenEvents, Trigger


class Endpoint(Protocol):
    """Sends token requests; a network failure is a `Failure`, never an exception."""

    async def post(self, name: str, credential: Credential, request: TokenRequest) -> Reply | Failure: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for: the flow's form fields, round those of the client, and what is secret in them."""

    recipe: Recipe
    form: Callable[[Fields], Fields] = field(repr=False)
    secrets: tuple[Secret, ...] = ()


def for_subject(recipe: Recipe, subject: Secret | None) -> Wish:
    """A token of one of the flows without a person: for the application, or for this subject."""
    known = None if subject is None else subject.reveal()
    fields = partial(form, recipe.credential, scopes=recipe.scopes, subject=known)
    return Wish(recipe, fields, () if subject is None else (subject,))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request, with what it was made from."""

    request: TokenRequest
    shown: Identification = field(repr=False)


async def ask(
    wish: Wish,
    trigger: Trigger,
    *,
    clock: Clock,
    endpoint: Endpoint,
    events: TokenEvents,
    tokens: Tokens,
) -> tuple[Issued | Failure, float]:
    """The outcome, and the moment (monotonic) before the request that brought it was sent."""
    recipe = wish.recipe
    used: Secret | None = None
    result: Issued | Failure | None = None
    while True:
        asked_at = clock.now()
        prepared = prepare(wish, clock.wall())
        if isinstance(prepared, Failure):
            return result or prepared, asked_at
        if result is not None and prepared.shown.secret == used:
            return result, asked_at
        reply = await endpoint.post(recipe.name, recipe.credential, prepared.request)
        again = result is not None
        result = _read(reply, clock.wall(), tokens, prepared, wish)
        outcome = result.outcome if isinstance(result, Failure) else "ok"
        events.requested(recipe.name, trigger, outcome, clock.now() - asked_at)
        if again or isinstance(result, Issued) or result.reason != "invalid_client":
            return result, asked_at
        used = prepared.shown.secret  # refused: has the secret been rotated since it was read?


def prepare(wish: Wish, wall: float) -> Prepared | Failure:
    """The request by the secrets as they are in their files now."""
    client, credential = wish.recipe.client, wish.recipe.credential
    source = {"none": None, "private_key_jwt": client.private_key}.get(client.auth, client.secret)
    try:
        shown = Identification(
            id=client.id.read().reveal() if isinstance(client.id, SecretFrom) else client.id,
            secret=None if source is None else source.read(),
            key_id=client.key_id,
            algorithm=client.algorithm,
            audience=str(credential.token_url),
            wall=wall,
            jti=secrets.token_urlsafe(24),
        )
        proof = prove(client, shown)
    except (OSError, ValueError) as error:
        # Half-written or gone for a moment: a failed try like any other. It is ours to mend, not the
        # authorization server's refusal, so no request was sent and callers are told to come back.
        detail = one_line(f"the client's secret is not usable: {error}")
        return Failure("unavailable", "invalid_client", detail, unsent=True)
    return Prepared(token_request(credential, proof, wish.form), shown)


def _read(
    reply: Reply | Failure, wall: float, tokens: Tokens, prepared: Prepared, wish: Wish
) -> Issued | Failure:
    if isinstance(reply, Failure):
        return reply
    # Servers quote what they got: a subject or a secret must not come back through an error's text.
    hide = [secret.reveal() for secret in (prepared.shown.secret, *wish.secrets) if secret is not None]
    return read(reply, wall=wall, tokens=tokens, hide=hide)
