"""`auth-sidecar routes`: a route file from OpenAPI documents, or what newer documents would change in one.

Owns reading and writing files and what is said about them; the rules are those of sidecar/openapi.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from sidecar.cli import output, spec
from sidecar.config.document import WHOLE_FILE
from sidecar.config.draft import unreadable
from sidecar.config.names import path_pattern
from sidecar.errors import ConfigError, Problem
from sidecar.openapi.choosing import NO_CREDENTIAL, Plan
from sidecar.openapi.collecting import Section, collect
from sidecar.openapi.mapfile import MapFile, differences, read_map
from sidecar.openapi.personas import PERSONAS, Persona
from sidecar.openapi.rendering import render

_MAX_MAP = 8 << 20  # bytes, as a configuration may have
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_BASE_PATH = re.compile(r"(?:/[A-Za-z0-9_.~%-]+)*/?")


def credential_options(given: Iterable[str]) -> tuple[tuple[str, Persona], ...]:
    """`NAME=PERSONA` of each `--credential`. Raises click.BadParameter."""
    found: dict[str, Persona] = {}
    for text in given:
        name, _, persona = text.partition("=")
        if not _NAME.fullmatch(name) or name == NO_CREDENTIAL:
            raise click.BadParameter("write NAME=PERSONA, such as app=app", param_hint="'--credential'")
        if name in found:
            raise click.BadParameter(f"{name} is given twice; keep one", param_hint="'--credential'")
        found[name] = persona_option(persona, "'--credential'")
    return tuple(found.items())


def prefer_option(given: str | None) -> tuple[Persona, ...]:
    """The personas of `--prefer`. Raises click.BadParameter."""
    names = [name.strip() for name in (given or "").split(",") if name.strip()]
    return tuple(dict.fromkeys(persona_option(name, "'--prefer'") for name in names))


def persona_option(name: str, hint: str) -> Persona:
    for persona in PERSONAS:
        if persona == name:
            return persona
    raise click.BadParameter(
        f"{output.quotable(name)} is no persona; there are {', '.join(PERSONAS)}", param_hint=hint
    )


def base_path_option(given: str | None) -> str | None:
    if given is not None and not _BASE_PATH.fullmatch(given):
        raise click.BadParameter("write a path such as /knowledge/portalmgr/v4", param_hint="'--base-path'")
    try:
        path_pattern((given or "").rstrip("/") or "/")
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--base-path'") from None
    return given


def write_map(specs: Sequence[Path], plan: Plan, out: Path | None, make_folder: bool = False) -> None:
    """The map, to a file or to stdout. SystemExit(2) when a document or the file cannot be used."""
    if out is not None and any(_same(out, spec) for spec in specs):
        _stop([Problem(str(out), 1, WHOLE_FILE, "is one of the documents; write the map to another file")])
    for persona in plan.prefer:
        if persona not in dict(plan.order()):
            output.complain(f"auth-sidecar: --prefer {persona}: no --credential has this persona")
    taken = dict(plan.order())
    for name, persona in plan.credentials:
        if taken[persona] != name:
            output.complain(
                f"auth-sidecar: --credential {name}={persona}: gets no route, {taken[persona]} comes first"
            )
    sections = _collected(specs, plan)
    text = render(sections, plan)
    if out is None:
        click.echo(text, nl=False)
        return
    try:
        if make_folder:
            out.parent.mkdir(parents=True, exist_ok=True)
        replace_file(out, text)
    except OSError as error:
        _stop([Problem(str(out), 1, WHOLE_FILE, f"cannot be written ({error.strerror or 'error'})")])
    output.say(f"{out}: {counted(sections)}")


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return False  # one of them is not there


def counted(sections: Sequence[Section]) -> str:
    """How much of the documents became routes."""
    mapped, unmapped = sum(len(s.mapped) for s in sections), sum(len(s.unmapped) for s in sections)
    internal = sum(s.internal for s in sections)
    said = f"{_plural(mapped, 'route')}; {_plural(unmapped, 'operation')} without one (comments say why)"
    return f"{said}; {_plural(internal, 'internal operation')} left out" if internal else said


def _plural(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def replace_file(path: Path, text: str) -> None:
    """Write a file as a whole: a sidecar that watches it never sees a part. Raises OSError.

    Its mode stays as it was. A pipe or a device is written to, not replaced.
    """
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        path.write_text(text, encoding="utf-8")
        return
    target = path.resolve()
    beside = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        if mode is not None:
            beside.chmod(stat.S_IMODE(mode))
        beside.replace(target)
    except OSError:
        beside.unlink(missing_ok=True)
        raise


def compare(old: Path, specs: Sequence[Path], given: Plan) -> int:
    """Print what the documents would change in a route file; 1 when there is anything, else 0."""
    before = _map(old)
    plan = _overridden(before, given)
    if not plan.credentials:
        _stop([Problem(str(old), 1, WHOLE_FILE, "does not say what it was made with; give --credential")])
    after = read_map(render(_collected(specs, plan), plan).encode())
    found = differences(before, after)
    for what, line in found:
        output.say(f"{what} {line}")
    if not found and sys.stdout.isatty():
        output.say("nothing was added, removed or changed")
    return int(bool(found))


def _overridden(before: MapFile, given: Plan) -> Plan:
    """What the file was made with; options come first."""
    was = before.plan or Plan(())
    return replace(
        was,
        credentials=given.credentials or was.credentials,
        prefer=given.prefer or was.prefer,
        include_internal=given.include_internal or was.include_internal,
        base_path=given.base_path if given.base_path is not None else was.base_path,
        superset=given.superset or was.superset,
        default_scope=given.default_scope or was.default_scope,
    )


def _map(path: Path) -> MapFile:
    try:
        with path.open("rb") as file:
            found = read_map(file.read(_MAX_MAP + 1))
    except (OSError, ValueError) as error:
        _stop([Problem(str(path), 1, WHOLE_FILE, unreadable(error))])
    if found.flaws:
        _stop(Problem(str(path), *flaw) for flaw in found.flaws)
    return found


def _collected(specs: Sequence[Path], plan: Plan) -> list[Section]:
    try:
        documents = spec.documents(specs, plan.base_path)
    except ConfigError as error:
        _stop(error.problems)
    sections = collect(documents, plan)
    output.complain(*(doubt.as_warning() for doubt in spec.doubts(specs, sections)))
    return sections


def _stop(problems: Iterable[Problem]) -> NoReturn:
    output.problems(problems)
    raise SystemExit(2)
