"""`auth-sidecar token`: which token is asked for, and what is shown of it.

Owns the rules for --scope and --subject, and the rendering. A token is shown when asked for, and nothing else that
is secret ever.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import click

from sidecar import binding
from sidecar.cli import remedies
from sidecar.cli.obtain import Obtained, obtain
from sidecar.cli.output import Failed, complain
from sidecar.config.names import scope_token
from sidecar.config.schema import Config, Credential, HeaderSource
from sidecar.config.wording import suggestion
from sidecar.errors import Refusal
from sidecar.oauth.answer import Failure
from sidecar.oauth.grants import per_subject
from sidecar.oauth.hint import moment
from sidecar.proxy import subject as subjects
from sidecar.secret import Secret
from sidecar.tokens.endpoint import TokenEndpoint
from sidecar.tokens.token import planned

_MAX_SUBJECT = 64 * 1024
_STDIN = "-"
_TIMES = ("exp", "iat", "nbf", "auth_time")


def credential_of(config: Config, name: str) -> Credential:
    """Raises click.BadParameter for an unknown name."""
    credential = config.credentials.get(name)
    if credential is None:
        raise click.BadParameter(
            f"there is no such credential; {suggestion(name, config.credentials)}", param_hint="'CREDENTIAL'"
        )
    return credential


def scopes_for(config: Config, name: str, given: Sequence[str]) -> tuple[str, ...]:
    """What was given, else all scopes of the credential's routes. Raises click.BadParameter."""
    try:
        chosen = [scope_token(scope) for scope in given]
    except ValueError as error:
        raise click.BadParameter(f"{error}; give --scope once for each", param_hint="'--scope'") from None
    if not chosen:
        chosen = [s for r in config.routes if r.credential == name for s in binding.scopes_of(config, r)]
    return tuple(sorted(set(chosen)))


def subject_for(credential: Credential, given: str | None) -> Secret | None:
    """The subject of a per-subject credential. Raises click.UsageError."""
    if not per_subject(credential):
        if given is not None:
            raise click.UsageError("the tokens of this credential belong to no caller; leave --subject out")
        return None
    exchange = credential.grant == "token_exchange"
    if credential.grant == "authorization_code":
        raise click.UsageError("people sign in for these tokens; use: auth-sidecar login CONFIG CREDENTIAL")
    if given is None:
        wanted = (
            "--subject - and the subject token on stdin" if exchange else f"--subject {_kind(credential)}"
        )
        raise click.UsageError(f"each subject of this credential has a token of its own; add {wanted}")
    if given == _STDIN:
        given = _read_stdin()
    elif exchange:
        complain("warning: a token among the arguments can be seen by others (ps); better: --subject -")
    raw = given.encode("utf-8", "surrogateescape")
    try:
        return Secret(subjects.bearer([raw.strip()], bare=True) if exchange else subjects.text(raw))
    except Refusal as refusal:
        raise click.UsageError(f"--subject: {refusal.detail}") from None


def warn_if_not_allowed(credential: Credential, subject: Secret | None) -> None:
    """The operator may try anybody; callers of the sidecar may not."""
    if subject is None or credential.subject is None:
        return
    by_header = isinstance(credential.subject.source, HeaderSource)
    try:
        subjects.Allowed(credential.allow_subjects, default=not by_header).check(subject.reveal())
    except Refusal:
        complain(
            "warning: not in allow_subjects: a request that names it is answered 403 subject_not_allowed"
        )


async def obtain_once(config: Config, name: str, scopes: Sequence[str], subject: Secret | None) -> Obtained:
    """Raises Failed with reason and remedy."""
    async with TokenEndpoint(config) as endpoint:
        found = await obtain(config, endpoint, name, scopes, subject)
    if isinstance(found, Failure):
        remedy = remedies.of_token(found, config, name, scopes)
        raise Failed(f"no token of {name}: {found.detail or found.reason}; {remedy}")
    return found


def as_json(name: str, found: Obtained, show: bool) -> dict[str, object]:
    shown = {"access_token": found.token.reveal()} if show else {}
    return {
        "credential": name, "lifetime": _whole(found.lifetime), "scopes": list(found.scopes),
        "claims": found.claims, **shown,
    }  # fmt: skip


def as_facts(config: Config, name: str, found: Obtained) -> Iterator[tuple[str, str | list[str]]]:
    """For people."""
    refresh = config.refresh
    latest, stop = planned(found.lifetime, refresh, 0.0)
    soonest, _ = planned(found.lifetime, refresh, 1.0)
    yield "credential", f"{name} ({config.credentials[name].grant})"
    yield "lifetime", _time(found.lifetime)
    yield (
        "",
        f"refreshed {_time(soonest)} to {_time(latest)} after it was asked for, never sent after {_time(stop)}",
    )
    yield "scopes", list(found.scopes) or "(none)"
    if found.withheld:
        yield "not granted", list(found.withheld)
    if found.claims is None:
        yield "claims", "(the token is opaque: not a JWT)"
    else:
        yield "claims", ["as they stand in the token, not verified:", *_claims(found.claims)]


def _claims(claims: dict[str, object]) -> Iterator[str]:
    for name, value in claims.items():
        when = moment(value) if name in _TIMES else None
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield f"{name}: {text}" + (
            f" ({datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S} UTC)" if when else ""
        )


def _kind(credential: Credential) -> str:
    return credential.subject.kind.upper() if credential.subject is not None else "SUBJECT"


def _read_stdin() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Subject", hide_input=True, err=True))
    raw = sys.stdin.buffer.read(_MAX_SUBJECT + 1)
    if len(raw) > _MAX_SUBJECT:
        raise click.UsageError("--subject: what is on stdin is longer than 64 KiB")
    return raw.rstrip(b"\r\n").decode("utf-8", "surrogateescape")


def _whole(seconds: float) -> float:
    return int(seconds) if seconds == int(seconds) else round(seconds, 3)


def _time(seconds: float) -> str:
    """As a person says it: 1h 30m, 59m 30s, 9.5s."""
    if seconds < 10:
        return f"{round(seconds, 1):g}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count)
