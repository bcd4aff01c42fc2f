"""What tests of route maps share: small documents, and the operations and maps made of them."""

from __future__ import annotations

import json
from typing import Any

from sidecar.openapi.choosing import Mapped, Plan, Unmapped, choose
from sidecar.openapi.collecting import collect
from sidecar.openapi.operations import Document, Operation, document
from sidecar.openapi.personas import PERSONAS, Persona
from sidecar.openapi.reading import read
from sidecar.openapi.rendering import render

EVERYBODY = Plan(tuple((persona.replace("_", "-"), persona) for persona in PERSONAS))
SERVER = {"servers": [{"url": "https://${API_DOMAIN}/knowledge/portalmgr/v4"}]}
READ = {"oAuthUser": ["${SCOPE_PREFIX}knowledge.portalmgr.read"]}
OBO_READ = {"oAuthOnBehalfOfUser": ["${SCOPE_PREFIX}knowledge.portalmgr.onbehalfof.read"]}
ANONYMOUS_READ = {"oAuthAnonymousCustomer": ["${SCOPE_PREFIX}knowledge.portalmgr.read"]}
CLIENT = {"oAuthClient": ["${SCOPE_PREFIX}.default"]}


def doc(paths: dict[str, Any], base_path: str | None = None, **root: Any) -> Document:
    """A document with these paths."""
    whole = {"openapi": "3.0.3", "info": {"title": "Test", "version": "1"}, **SERVER, "paths": paths, **root}
    return document(read(json.dumps(whole).encode()), base_path)


def operation(
    found: dict[str, Any] | None = None, path: str = "/a", method: str = "get", **root: Any
) -> Operation:
    """The one operation of a document."""
    (one,) = doc({path: {method: found or {}}}, **root).operations
    return one


def plan(*credentials: str, **options: Any) -> Plan:
    """`NAME=PERSONA` of each credential."""
    pairs: list[tuple[str, Persona]] = []
    for one in credentials:
        name, _, persona = one.partition("=")
        pairs += [(name, known) for known in PERSONAS if known == persona]
    assert len(pairs) == len(credentials)
    return Plan(tuple(pairs), **options)


def chosen(found: dict[str, Any], by: Plan, **place: Any) -> tuple[str, list[str]] | str:
    """(credential, scopes), or why there is no route."""
    one = choose(operation(found, **place), by)
    if isinstance(one, Unmapped):
        return one.reason
    assert isinstance(one, Mapped)
    return one.credential, list(one.scopes)


def rendered(paths: dict[str, Any], by: Plan, **root: Any) -> str:
    return render(collect([("test.yaml", doc(paths, by.base_path, **root))], by), by)
