"""Why a route of a generated map is as it is: the operation, the document, the alternatives, the choice.

Owns these reasons in words. The map's own comments are asked (sidecar/openapi/mapfile.py), so the documents are
not needed any more when somebody wonders.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from sidecar.config.schema import Route
from sidecar.openapi.mapfile import Origin, origin_at
from sidecar.openapi.security import DEFAULT


def provenance(place: tuple[str, int], route: Route) -> Iterator[str]:
    """Reasons for the route at FILE, LINE; none for one that was written by hand."""
    file, line = place
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except (OSError, ValueError):
        return  # it could be read a moment ago: changed meanwhile, and nothing reliable to say
    origin = origin_at(text, line)
    if origin is None:
        return
    yield f"it is operation {route.name or 'without a name'} of {origin.document}"
    yield f"the document allows {origin.alternatives}"
    yield from _why_this_one(origin, route)
    yield from _why_these(origin, route)


def _why_this_one(origin: Origin, route: Route) -> Iterator[str]:
    personas = dict(origin.plan.credentials)
    persona = personas.get(route.credential)
    if persona is None and route.credential == "none":
        yield "no token is needed, so none is sent"
    elif persona is None or not _allowed(persona, origin):
        yield f"the credential {route.credential} was written by hand: the map was made with others"
    else:
        order = ", ".join(f"{who} ({name})" for who, name in origin.plan.order())
        before = itertools.takewhile(lambda who: who != persona, (who for who, _ in origin.plan.order()))
        for who in before:
            if _allowed(who, origin):
                yield f"{who} is preferred, but cannot be used: its scopes are missing, malformed or another persona's"
        yield f"of those {persona} is the first in the order of preference: {order}"


def _allowed(persona: str, origin: Origin) -> bool:
    return re.search(rf"\b{persona}[,:]", origin.alternatives) is not None


def _why_these(origin: Origin, route: Route) -> Iterator[str]:
    if origin.inferred:
        yield "the scopes are inferred from path and method: the document names none"
    elif route.scopes == [DEFAULT]:
        yield ".default is the one scope of an application there (--default-scope)"
    elif dict(origin.plan.credentials).get(route.credential) == "app" and route.scopes:
        yield "an application's scopes: app. before those of people, or x-egain-app-permissions"
