"""Load a configuration: all of its problems at once, each with file and line, or a `Config` that works.

Owns the order of things: read (draft.py), convert (schema.py), check (checks.py), warn (persona.py). One
wrong key does not hide the others: what is wrong is taken out, the rest is checked as well, and a complaint
that only follows from something taken out goes unsaid.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sidecar.config import checks, persona
from sidecar.config.draft import Draft, RoutesDraft, Spot, Stamp
from sidecar.config.environment import expander
from sidecar.config.schema import Config
from sidecar.config.wording import Complaint, Loc, complaints, key_path
from sidecar.errors import ConfigError, Problem

# Stands in for an upstream that is wrong or missing while the rest is checked; never leaves this module.
_ANY_UPSTREAM = {"url": "https://upstream.invalid"}

# What stands in for an address the file does not name: probes and app have to find the sidecar where whoever
# wrote the pod says, whatever file somebody else gave it.
_ADDRESSES = {"listen": "AUTH_SIDECAR_LISTEN", "admin": "AUTH_SIDECAR_ADMIN"}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that works."""

    config: Config
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]  # the file and all it includes, absolute: what a reload watches
    places: Mapping[str, tuple[str, int]]  # key path in the whole (`routes[3]`) -> file, line
    stamps: Mapping[Path, Stamp | None]  # of the same files, as they were when they were read


def load(path: Path, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read and check a configuration file. Raises ConfigError with every problem found."""
    environ = os.environ if environ is None else environ
    draft = RoutesDraft(expander(environ))
    if not draft.read(Path(path)):
        raise ConfigError(draft.in_order(draft.problems), draft.stamps)
    _place(draft, environ)
    flawed = draft.flawed()
    config, wrong = _convert(draft.data, {"base": Path(path).absolute().parent})
    found = [one for one in wrong if one.loc not in flawed]
    if config is not None:
        found += _independent(checks.check(config, environ), [*flawed, *(one.loc for one in wrong)])
    problems = [*draft.problems, *(draft.problem(one) for one in found)]
    if problems or config is None:
        raise ConfigError(draft.in_order(problems), draft.stamps)
    warnings = [draft.problem(one) for one in persona.warnings(config)]
    places = {key_path(loc): (spot.file, spot.line) for loc, spot in draft.spots.items() if loc}
    return Loaded(config, tuple(draft.in_order(warnings)), tuple(draft.files), places, draft.stamps)


def _place(draft: Draft, environ: Mapping[str, str]) -> None:
    """Take from the environment where to listen, if the file does not say."""
    for key, name in _ADDRESSES.items():
        if key not in draft.data and (address := environ.get(name)):
            draft.data[key] = address
            draft.spots[key,] = Spot(draft.spots[()].file, 1, f"{key} (from {name})")


def _convert(data: dict[str, Any], context: dict[str, Any]) -> tuple[Config | None, list[Complaint]]:
    """The models, and what was wrong with the data; with something wrong, the models of the rest of it."""
    wrong: list[Complaint] | None = None
    for _ in range(8):  # each round takes out what the last one left without a required key
        try:
            return Config.model_validate(data, context=context), wrong or []
        except ValidationError as error:
            found = complaints(error, Config)
        wrong = found if wrong is None else wrong
        for cut in {_cut(data, complaint.loc) for complaint in found}:
            _take_out(data, cut)
        data = {"upstream": _ANY_UPSTREAM, **data}
    return None, wrong or []


def _inside(data: Any, loc: Loc) -> tuple[Any, int]:
    """The value at the end of a path, or as far down as it exists, and how far that is."""
    for depth, part in enumerate(loc):
        present = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if not present:
            return data, depth
        data = data[part]
    return data, len(loc)


def _cut(data: Any, loc: Loc) -> Loc:
    """What to take out for a wrong key: itself, or what lacks it; of a list all, so that no index changes."""
    _, depth = _inside(data, loc)
    cut = loc[:depth]
    while cut and isinstance(cut[-1], int) and len(cut) != 2:
        cut = cut[:-1]
    return cut


def _take_out(data: Any, cut: Loc) -> None:
    parent, depth = _inside(data, cut[:-1])
    if depth < len(cut) - 1:
        return  # gone with something larger
    if isinstance(parent, dict):
        parent.pop(cut[-1] if cut else None, None)
    else:
        index = cut[-1]
        assert isinstance(parent, list)
        assert isinstance(index, int)
        # A route that no file can hold keeps the others' numbers as they are.
        parent[index] = {"path": f"/%23/{index}", "credential": "none"}


def _independent(found: Iterable[Complaint], wrong: Iterable[Loc]) -> list[Complaint]:
    """The complaints that do not follow from another one."""
    above = set(wrong)
    related = above | {loc[:end] for loc in above for end in range(len(loc))}

    def follows(one: Complaint) -> bool:
        if any(one.loc[:end] in above for end in range(1, len(one.loc) + 1)):
            return True
        return any(
            loc in related or any(loc[:end] in above for end in range(1, len(loc))) for loc in one.because
        )

    return [one for one in found if not follows(one)]
