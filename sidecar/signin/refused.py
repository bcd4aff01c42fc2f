"""What a person sees who has opened a page and is refused: words, where a program gets a problem document.

Owns which refusals these are. Only those that people meet without anything being broken: another site's page has sent
them here, or the address is none of the pages under `/.auth`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sidecar.config.signin_checks import PAGES
from sidecar.errors import MethodNotAllowed, OriginNotAllowed, Refusal, RouteNotMapped
from sidecar.proxy.page import Page
from sidecar.signin import html

_SAID: Final[Mapping[type[Refusal], tuple[str, str]]] = {
    OriginNotAllowed: (
        "This was sent by another site",
        "Its page has tried to do something here in your name. Nothing was done.",
    ),
    MethodNotAllowed: (
        "There is nothing to see at this address",
        "It is used by buttons on a page. Nothing was done.",
    ),
    RouteNotMapped: ("There is no such page", "Please check the address."),
}


def page(refusal: Refusal, target: str) -> Page | None:
    """The page; None: it stays a problem document. `target`: of the request, as it came."""
    said = _SAID.get(type(refusal))
    ours = target.startswith(f"{PAGES}/")
    if said is None or not (ours or isinstance(refusal, OriginNotAllowed)):
        return None
    title, sentence = said
    body = html.page(title, [sentence], None, refusal.code)
    return Page(refusal.status, [html.POLICY, *refusal.fields()], body, refusal=type(refusal))
