"""`auth-sidecar check`: everything that is wrong with a configuration, and everything that is doubtful."""

from __future__ import annotations

from pathlib import Path

from sidecar.cli import output
from sidecar.config.loading import Loaded, load
from sidecar.errors import ConfigError, Problem

_FINE, _WRONG = 0, 2


def check(path: Path, *, strict: bool, json: bool) -> int:
    """Print it; the exit status."""
    loaded: Loaded | None = None
    errors: tuple[Problem, ...] = ()
    try:
        loaded = load(path)
    except ConfigError as error:
        errors = error.problems
    warnings = loaded.warnings if loaded is not None else ()
    if json:
        output.as_json({"errors": list(map(_as_json, errors)), "warnings": list(map(_as_json, warnings))})
    else:
        output.problems(errors)
        output.complain(*(warning.as_warning() for warning in warnings))
    if errors or (strict and warnings):
        return _WRONG
    if not json and loaded is not None:
        output.say(_summary(path, loaded))
    return _FINE


def _as_json(problem: Problem) -> dict[str, object]:
    return {"file": problem.file, "line": problem.line, "key": problem.key, "message": problem.message}


def _summary(path: Path, loaded: Loaded) -> str:
    config = loaded.config
    parts = [_count(len(config.routes), "route")]
    if len(loaded.files) > 1:
        parts[0] += f" in {len(loaded.files)} files"
    names = f" ({', '.join(config.credentials)})" if config.credentials else ""
    parts.append(_count(len(config.credentials), "credential") + names)
    if loaded.warnings:
        parts.append(_count(len(loaded.warnings), "warning"))
    return f"{path} is fine: {', '.join(parts)}"


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"
