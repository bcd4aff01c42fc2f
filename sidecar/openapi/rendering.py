"""The route file as text: for people to read and commit, and for `--diff` and `explain` to read back.

Owns the form of the file; mapfile.py reads what is written here. Nothing of a document can begin a line of its own
or be replaced from the environment when the map is loaded.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Sequence

from sidecar.openapi.choosing import Mapped, Plan, alternatives
from sidecar.openapi.collecting import Section

# Text that YAML takes as it stands, in a mapping and in [ ]; a path stands in a mapping only, where {} is plain.
_BARE = re.compile(r"(?:[A-Za-z]|\.(?=[A-Za-z]))[A-Za-z0-9_.-]*(?:/[A-Za-z0-9_.-]+)*")
_BARE_PATH = re.compile(r"(?:/[A-Za-z0-9_.~{}-]*)+")
_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})

CREDENTIALS, PREFER, OPTIONS, SOURCE, SECTION = "credentials:", "prefer:", "options:", "source:", "=="
INFERRED, UNMAPPED = "# inferred", "# Without a route:"


def render(sections: Sequence[Section], plan: Plan) -> str:
    """The whole file."""
    lines = list(_header(sections, plan))
    for section in sections:
        lines += _section(section)
    if not any(section.mapped for section in sections):
        lines += ["", "[]"]  # a list all the same: the file can be included
    return "\n".join(lines) + "\n"


def _header(sections: Sequence[Section], plan: Plan) -> Iterator[str]:
    yield "# Routes for `include:`, from OpenAPI documents. `auth-sidecar routes --diff` compares this file with newer"
    yield "# documents; `auth-sidecar explain` says why a route is as it is."
    yield "#"
    yield f"# {CREDENTIALS} {' '.join(f'{name}={persona}' for name, persona in plan.credentials)}".rstrip()
    yield f"# {PREFER} {' '.join(persona for persona, _ in plan.order())}".rstrip()
    if options := list(_options(plan)):
        yield f"# {OPTIONS} {' '.join(options)}"
    for section in sections:
        document = section.document
        version = document.version or "none given"
        title = document.title or "untitled"
        yield f"# {SOURCE} {section.file} | {title} | version {version} | sha256 {document.sha256}"


def _options(plan: Plan) -> Iterator[str]:
    flags = {
        "--include-internal": plan.include_internal,
        "--superset": plan.superset,
        "--default-scope": plan.default_scope,
    }
    yield from (flag for flag, given in flags.items() if given)
    if plan.base_path is not None:
        yield f"--base-path={plan.base_path}"


def _section(section: Section) -> Iterator[str]:
    yield ""
    yield f"# {SECTION} {section.document.title or 'untitled'} ({section.file}) {SECTION}"
    for _, of_path in itertools.groupby(section.mapped, key=lambda one: one.operation.path):
        yield ""
        for mapped in of_path:
            yield from _route(mapped)
    if section.unmapped:
        yield ""
        yield UNMAPPED
        for one in section.unmapped:
            name = f" ({one.operation.id})" if one.operation.id else ""
            yield f"# {one.operation.method} {one.operation.path}{name}: {one.reason}"


def _route(mapped: Mapped) -> Iterator[str]:
    operation = mapped.operation
    yield f"# {alternatives(operation) or 'no token'}"
    if mapped.keys:
        yield f"# besides, the app sends {' and '.join(mapped.keys)} itself"
    path = operation.path
    yield f"- path: {path if _BARE_PATH.fullmatch(path) else quoted(path)}"
    yield f"  methods: [{operation.method}]"
    yield f"  credential: {quoted(mapped.credential)}"
    if mapped.scopes:
        said = f"  {INFERRED}" if mapped.inferred else ""
        yield f"  scopes: [{', '.join(map(quoted, mapped.scopes))}]{said}"
    if mapped.name is not None:
        yield f"  name: {quoted(mapped.name)}"


def quoted(text: str) -> str:
    """A YAML scalar that is this text, whatever is in it."""
    if _BARE.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
