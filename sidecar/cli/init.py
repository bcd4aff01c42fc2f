"""`auth-sidecar init`: a first configuration with its route map, from options and questions.

Owns the questions, what an answer must look like, and writing the files. starter.py has the text, metadata.py the
tenant's own, routes.py the map. Secrets are neither asked for nor seen: only where they are.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import click

from sidecar.cli import output, routes, starter
from sidecar.cli.metadata import Metadata, MetadataError, metadata
from sidecar.config.loading import load
from sidecar.errors import ConfigError
from sidecar.openapi.choosing import Plan
from sidecar.openapi.personas import Persona

_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_SECRET_FILE = "/var/run/secrets/egain/client_secret"  # noqa: S105 - where it is
_TEXT = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class Given:
    """What was given as options; None is asked for."""

    cloud: str | None
    tenant: str | None
    personas: str | None
    client_id: str | None
    secret: Mapping[str, str] | None  # {"file": PATH} or {"env": NAME}
    api_host: str | None
    gateway: str | None
    policy: str | None
    registration_id: str | None
    metadata: str | None
    specs: tuple[Path, ...]
    folder: Path
    force: bool


def init(given: Given) -> None:
    """Ask for what is missing, and write. SystemExit(2) when a document cannot be used."""
    config, route_map = given.folder / "sidecar.yaml", given.folder / starter.MAP_FILE
    for path in (config, route_map):
        if path.exists() and not given.force:
            raise click.UsageError(f"{path} is there already; take --force to overwrite it, or another --out")
    answers = _answers(given, _metadata(given.metadata))
    specs = given.specs or _specs()
    plan = Plan(
        tuple((starter.NAMES[persona], persona) for persona in answers.personas),
        default_scope=answers.default_scope,
    )
    try:
        routes.write_map(specs, plan, route_map, make_folder=True)
        routes.replace_file(config, starter.configuration(answers))
    except OSError as error:
        raise click.UsageError(f"{given.folder} cannot be written to ({error.strerror or 'error'})") from None
    output.say(f"{config}: credentials {', '.join(starter.NAMES[one] for one in answers.personas)}")
    _what_next(config)


def _what_next(config: Path) -> None:
    """The check that anybody would run next, already run."""
    try:
        warnings = load(config).warnings
    except ConfigError as error:
        output.say("still to be put right:")
        for problem in error.problems:
            output.say(f"  {problem}")
    else:
        for warning in warnings:
            output.say(f"  {warning.as_warning()}")
    output.say(f"next: auth-sidecar check {config}; auth-sidecar doctor {config}; auth-sidecar run {config}")


def _metadata(source: str | None) -> Metadata:
    if source is None:
        return Metadata()
    try:
        return metadata(source)
    except MetadataError as error:
        raise click.BadParameter(str(error), param_hint="'--metadata'") from None


def _answers(given: Given, known: Metadata) -> starter.Answers:
    guessed = "ai" if known.api_host is None or ".ai." in known.api_host else "commercial"
    cloud = _ask("cloud", "Cloud: ai (AI Knowledge Hub) or commercial", given.cloud, guessed, _cloud)
    tenant = _ask("tenant", "Tenant id, such as TMPRODB88619984", given.tenant or known.tenant, None, _name)
    personas = _ask(
        "personas", f"Whose tokens, the preferred first ({', '.join(starter.NAMES)})",
        given.personas, "obo_user,app", _personas,
    )  # fmt: skip
    answers = starter.Answers(
        cloud=cast(starter.Cloud, cloud),
        tenant=tenant,
        personas=tuple(cast(Persona, one) for one in personas.split(",")),
        client_id=_ask("client-id", "Client id", given.client_id, "${EGAIN_CLIENT_ID}", _text),
        secret=_secret(given),
        api=_host(given.api_host or known.api_host or ""),
        token_urls=known.token_urls,
        scope_prefix=known.scope_prefix,
    )
    return _the_rest(given, answers)


def _the_rest(given: Given, answers: starter.Answers) -> starter.Answers:
    """What only some clouds and personas need."""
    needs = answers.needs()
    if "gateway" in needs:
        answers = replace(answers, gateway=_ask("gateway", "Gateway id", given.gateway, None, _name))
    if "policy" in needs:
        answers = replace(
            answers, policy=_ask("policy", "Sign-in policy of users", given.policy, None, _name)
        )
    if "user" in answers.personas:
        said = "Registration id of the identity provider"
        answers = replace(
            answers, registration_id=_ask("registration-id", said, given.registration_id, None, _name)
        )
    return answers


def _ask(
    option: str, question: str, given: str | None, default: str | None, check: Callable[[str], str]
) -> str:
    """The option, or what is answered; without anybody to ask, the option's name as an error."""
    if given is not None:
        try:
            return check(given)
        except click.BadParameter as error:
            raise click.BadParameter(error.message, param_hint=f"'--{option}'") from None
    try:
        answer: str = click.prompt(question, default=default, value_proc=check, err=True)
    except click.Abort:
        raise click.UsageError(f"--{option} is missing, and there is nobody to ask") from None
    return answer


def _secret(given: Given) -> Mapping[str, str]:
    """Where the secret is; a relative path, given from here, as it is from the configuration."""
    if given.secret is not None and "env" in given.secret:
        return {"env": _ask("secret-env", "", given.secret["env"], None, _variable)}
    said = given.secret["file"] if given.secret is not None else None
    where = os.path.expanduser(_ask("secret-file", "File with the client secret", said, _SECRET_FILE, _path))
    return {"file": where if Path(where).is_absolute() else os.path.relpath(where, given.folder)}


def _specs() -> tuple[Path, ...]:
    said = "OpenAPI documents, separated by blanks"
    return tuple(_paths(_ask("spec", said, None, None, _existing)))


def _paths(text: str) -> list[Path]:
    """As a shell reads them: names with blanks in quotes, ~ for the home folder."""
    return [Path(os.path.expanduser(word)) for word in shlex.split(text)]


def _existing(text: str) -> str:
    """Asked again right away, not after all the other questions."""
    try:
        wrong = [path for path in _paths(text) if not path.exists() or path.is_dir()]
    except ValueError:
        raise click.BadParameter("a quotation mark is not closed") from None
    if wrong:
        raise click.BadParameter(f"there is no file {output.quotable(str(wrong[0]))}")
    return text


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text.strip()):
            raise click.BadParameter(what)
        return text.strip()

    return check


_name = _matching(_NAME, "write letters, digits, dots, dashes and underscores only")
_text = _matching(_TEXT, "write visible characters without blanks")
_path = _matching(re.compile(r"[^\x00-\x1f\x7f\"]+"), "write the path of a file")
_variable = _matching(re.compile(r"[A-Za-z_][A-Za-z0-9_]*"), "write the name of an environment variable")
_cloud = _matching(re.compile("ai|commercial"), "write ai or commercial")


def _host(text: str) -> str:
    if text and not _HOST.fullmatch(text):
        raise click.BadParameter("write a host name such as api.egain.cloud", param_hint="'--api-host'")
    return text


def _personas(text: str) -> str:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names or not set(names) <= set(starter.NAMES):
        raise click.BadParameter(f"write some of {', '.join(starter.NAMES)}, separated by commas")
    return ",".join(names)
