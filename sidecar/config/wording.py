"""What is wrong with a configuration, in words for the person who wrote it.

Owns the shape of a complaint and the translation of pydantic's errors, whose own texts speak of models,
inputs and union members. A complaint never repeats a value: it could be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from sidecar.config.document import join

Loc = tuple[str | int, ...]

_GENERAL = "see {page}"


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something wrong at a place in the configuration."""

    loc: Loc
    message: str  # "what is wrong; what to do"
    # Further keys this follows from: when one of them is itself in error, this one goes unsaid.
    because: tuple[Loc, ...] = ()
    # The key whose file and line stand for {there} in the message.
    there: Loc | None = None


def key_path(loc: Iterable[str | int]) -> str:
    """('routes', 2, 'scopes', 0) -> routes[2].scopes[0]"""
    path = ""
    for part in loc:
        path = join(path, part)
    return path


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant."""
    found = difflib.get_close_matches(name.lower().replace("-", "_"), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean ...` or the list of what there is."""
    names = sorted(known)
    if (meant := nearest(name, names)) is not None:
        return f"did you mean {meant}?"
    return f"known here: {', '.join(names)}" if names else "there is none"


# Of unions (schema.py, values.py): pydantic puts them into the path of a key.
_TAGS = frozenset({"~header", "~value", "~claim", "~one", "~many", "~text", "~secret"})


def complaints(
    error: ValidationError, model: type[BaseModel], page: str = "docs/configuration.md"
) -> list[Complaint]:
    """One complaint per wrong key; `page` describes the keys."""
    found: list[Complaint] = []
    misspelt: set[Loc] = set()
    missing: list[Complaint] = []
    for entry in error.errors(include_url=False, include_input=False):
        # An unknown key is the file's own word, also where it looks like a tag of ours.
        end = -1 if entry["type"] == "extra_forbidden" else None
        loc = (*(p for p in entry["loc"][:end] if p not in _TAGS), *(entry["loc"][-1:] if end else ()))
        if entry["type"] == "extra_forbidden":
            known = known_keys(model, loc[:-1])
            if (meant := nearest(str(loc[-1]), known)) is not None:
                misspelt.add((*loc[:-1], meant))
            found.append(Complaint(loc, f"unknown key; {suggestion(str(loc[-1]), known)}"))
        elif entry["type"] == "missing":
            missing.append(Complaint(loc, "is missing; add it"))
        else:
            complaint = _complaint(loc, entry["type"], entry.get("ctx", {}))
            found.append(replace(complaint, message=complaint.message.replace("{page}", page)))
    # A misspelt required key is one mistake, not an unknown key and a missing one.
    return found + [complaint for complaint in missing if complaint.loc not in misspelt]


def _complaint(loc: Loc, kind: str, context: Mapping[str, Any]) -> Complaint:
    if loc[-1:] == ("[key]",):
        if kind == "string_pattern_mismatch":
            return Complaint(
                loc[:-1], "is not a proper name; use letters, digits, dots, dashes and underscores"
            )
        return Complaint(loc[:-1], "is not a proper key; write a plain name")
    say = _WORDS.get(kind)
    return Complaint(loc, say(context) if say else f"is not a value for this key; {_GENERAL}")


def _own_words(context: Mapping[str, Any]) -> str:
    return str(context.get("error", f"is not a value for this key; {_GENERAL}"))


def _one_of(context: Mapping[str, Any]) -> str:
    options = str(context.get("expected", "")).replace("'", "")
    return f"is none of the known values; write {options}"


_MAPPING = f"is not a mapping; write KEY: VALUE lines below it, {_GENERAL}"

_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "value_error": _own_words,
    "literal_error": _one_of,
    "greater_than": lambda c: f"is too small; write more than {c['gt']:g}",
    "greater_than_equal": lambda c: f"is too small; write at least {c['ge']}",
    "less_than": lambda c: f"is too large; write less than {c['lt']:g}",
    "less_than_equal": lambda c: f"is too large; write at most {c['le']}",
    "too_short": lambda c: "is an empty list; write at least one item or take the key out",
    "model_type": lambda c: _MAPPING,
    "model_attributes_type": lambda c: _MAPPING,
    "dict_type": lambda c: _MAPPING,
    "list_type": lambda c: "is not a list; write one item per line, each after a dash",
    "union_tag_not_found": lambda c: "needs exactly one of header, value and claim; write {header: NAME}",
}


def known_keys(model: type[BaseModel], loc: Loc) -> set[str]:
    """The keys that may stand at a place."""
    at: list[Any] = [model]
    for part in loc:
        at = [inner for kind in at for inner in _inside(kind, part)]
    keys = {
        n for kind in at if isinstance(kind, type) and issubclass(kind, BaseModel) for n in kind.model_fields
    }
    return keys | {"include"} if len(loc) == 2 and loc[0] == "routes" else keys


def _inside(kind: Any, part: str | int) -> Iterator[Any]:
    """The models found under a key of a model, dictionary or list."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        yield from _models(field.annotation if field else None)
    elif get_origin(kind) is list:
        yield from _models(get_args(kind)[0])
    else:  # a dictionary: _models gives nothing else
        yield from _models(get_args(kind)[1])


def _models(kind: Any) -> Iterator[Any]:
    """What of an annotation can hold keys or items: models, lists, dictionaries."""
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        for option in get_args(kind):
            yield from _models(option)
    elif origin in (list, dict) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        yield kind
