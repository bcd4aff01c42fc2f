"""The table of what the API offers: method, path, operationId, and which persona needs which scopes.

Owns the table and how a path is found in it; paths, names and permissions are those of eGain's OpenAPI
documents (an application's `app.` scopes are inferred there: the documents only say `.default`). What the
operations answer is content.py's and utility.py's.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from aiohttp import web

from sidecar.demo.directory import PERSONAS, Persona
from sidecar.demo.seen import ApiRequestSeen
from sidecar.demo.tokens import Claims

PORTALMGR = "/knowledge/portalmgr/v4"
CONTENTMGR = "/knowledge/contentmgr/v4"
AISERVICES = "/core/aiservices/v4"

Scopes = Mapping[Persona, frozenset[str]]


@dataclass(slots=True)
class Asked:
    """A request that may be served."""

    request: web.Request
    seen: ApiRequestSeen
    claims: Claims
    parameters: Mapping[str, str]  # of the path, percent-encoded as received
    query: Mapping[str, str]
    body: bytes  # its first 64 KiB

    @property
    def served_for(self) -> dict[str, object]:
        """Who the caller is to the API: so that a person sees which identity was used."""
        return {
            "subject": self.claims.subject,
            "persona": self.claims.persona,
            "scope": " ".join(sorted(self.claims.scopes)),
            "clientId": self.claims.client_id,
            "tokenId": self.claims.id,
        }


Answer = Callable[[Asked], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Operation:
    method: str  # * for any
    path: str  # /a/{name}; ** as the last segment: this and everything below
    id: str
    scopes: Scopes  # per persona all that its token must have; a persona left out is not allowed
    answer: Answer = field(repr=False)
    language: bool = False  # Accept-Language is required


def scopes(service: str, verbs: str, personas: Iterable[Persona]) -> Scopes:
    """What each persona needs for `read`, `manage` or both of a service."""
    form: dict[Persona, str] = {"app": "app.{s}.{v}", "obo_user": "{s}.onbehalfof.{v}"}
    form["obo_customer"] = form["obo_user"]
    return MappingProxyType(
        {
            persona: frozenset(
                form.get(persona, "{s}.{v}").format(s=service, v=verb) for verb in verbs.split()
            )
            for persona in personas
        }
    )


USERS: tuple[Persona, ...] = ("user", "obo_user")
SIGNED_IN: tuple[Persona, ...] = (*USERS, "customer", "obo_customer")
PEOPLE: tuple[Persona, ...] = (*SIGNED_IN, "anonymous")
NO_OBO: tuple[Persona, ...] = ("user", "customer", "anonymous")
APP: tuple[Persona, ...] = ("app",)
portal = functools.partial(scopes, "knowledge.portalmgr")
content = functools.partial(scopes, "knowledge.contentmgr")
ai = functools.partial(scopes, "core.aiservices")


_Row = tuple[str, str, str, Scopes, bool]


def _activity(one: str) -> list[_Row]:
    """What people do in a portal."""
    article, search = f"{one}/articles/{{articleID}}", f"{one}/search"
    by_users, by_signed_in, by_people = (portal("manage", who) for who in (USERS, SIGNED_IN, PEOPLE))
    reads = portal("read", PEOPLE)
    viewed = f"{one}/view/searchresults/connectors/event"
    return [
        ("GET", f"{one}/populararticles", "getpopulararticles", reads, True),
        ("GET", f"{article}/related", "getRelatedArticles", reads, True),
        ("GET", f"{one}/articles/announcements", "getAnnouncementArticles", reads, True),
        ("GET", f"{one}/articles/subscribed", "getMySubscription", portal("read", SIGNED_IN), True),
        ("PUT", f"{article}/addtoreply", "AddToReply", by_users, True),
        ("PUT", f"{article}/addasreference", "AddAsReference", by_users, True),
        ("PUT", f"{article}/comply", "complyArticle", by_users, True),
        ("PUT", f"{article}/subscribe", "subscribeArticle", by_signed_in, True),
        ("PUT", f"{article}/unsubscribe", "unsubscribeArticle", by_signed_in, True),
        ("PUT", f"{article}/ratings", "rateArticle", by_people, True),
        ("PUT", f"{one}/userprofiles/{{userProfileID}}/select", "selectUserProfile", by_users, True),
        ("DELETE", f"{one}/suggestions/{{suggestionID}}", "deleteSuggestion", by_signed_in, True),
        ("POST", f"{search}/federated/event", "createFederatedSearchResultEvent", by_people, True),
        ("POST", f"{search}/connectors/event", "createSearchResultEventForConnectors", by_people, True),
        ("POST", viewed, "createViewedSearchResultsEventForConnectors", by_people, True),
    ]


def eGain_operations(pages: Mapping[str, Answer]) -> list[Operation]:  # noqa: N802 - the product's name
    """eGain's own; `pages` by operationId."""
    portals, prompts, imports = (
        f"{PORTALMGR}/portals",
        f"{CONTENTMGR}/prompts",
        f"{CONTENTMGR}/import/content",
    )
    one = f"{portals}/{{portalID}}"
    rows: list[_Row] = [
        ("GET", portals, "getAllPortals", portal("read", PEOPLE), True),
        ("GET", f"{PORTALMGR}/myportals", "getMyPortals", portal("read", USERS), True),
        ("GET", f"{portals}/user", "getUserDetails", portal("read", USERS), True),
        ("GET", one, "getPortalDetailsById", portal("read", PERSONAS), True),
        ("GET", f"{one}/articles", "getArticlesInTopic", portal("read", PERSONAS), True),
        ("GET", f"{one}/articles/{{articleID}}", "getArticleById", portal("read", PEOPLE), True),
        ("GET", f"{one}/bookmarks", "getbookmark", portal("read", SIGNED_IN), True),
        ("POST", f"{one}/bookmarks", "addbookmark", portal("manage", SIGNED_IN), True),
        ("DELETE", f"{one}/bookmarks/{{bookmarkID}}", "deletebookmark", portal("manage", SIGNED_IN), True),
        *_activity(one),
        ("POST", f"{PORTALMGR}/content/export", "exportContent", portal("manage", APP), True),
        (
            "GET",
            f"{prompts}/prompttemplates/{{promptID}}",
            "getPromptTemplateById",
            content("read", ("user", "app")),
            True,
        ),
        ("POST", f"{imports}/validate", "createImportValidationJob", content("manage", APP), False),
        ("POST", f"{imports}/{{job_id}}/cancel", "cancelImport", content("manage", APP), False),
        ("GET", f"{prompts}/prompttemplates", "getPromptTemplates", content("read", ("user", "app")), True),
        ("POST", imports, "createImportJob", content("manage", APP), False),
        ("GET", f"{imports}/{{job_id}}/status", "getImportStatus", content("read", APP), False),
        ("POST", f"{AISERVICES}/{{portalID}}/retrieve", "retrieveChunks", ai("read", NO_OBO), False),
        ("POST", f"{AISERVICES}/{{portalID}}/answers", "getBestAnswer", ai("read manage", NO_OBO), False),
    ]
    return [
        Operation(method, path, id, needs, pages[id], language) for method, path, id, needs, language in rows
    ]


def demo_operations(pages: Mapping[str, Answer]) -> list[Operation]:
    """Routes for watching and testing; every persona may, with its read (upload: manage) scope."""
    read, manage = portal("read", PERSONAS), portal("manage", PERSONAS)
    rows: list[tuple[str, str, str, Scopes]] = [
        ("*", "/demo/echo/**", "echo", read),
        ("*", "/demo/slow", "slow", read),
        ("*", "/demo/status/{code}", "status", read),
        ("GET", "/demo/stream", "stream", read),
        ("GET", "/demo/events", "events", read),
        ("GET", "/demo/ws", "ws", read),
        ("GET", "/demo/big", "big", read),
        ("POST", "/demo/upload", "upload", manage),
        ("PUT", "/demo/upload", "upload", manage),
    ]
    return [Operation(method, path, f"demo.{id}", needs, pages[id]) for method, path, id, needs in rows]


class OperationTable:
    """Finds operations. A literal segment beats a parameter; the path decides before the method."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self.operations = sorted(operations, key=lambda operation: _specificity(operation.path))
        self._patterns = [(_pattern(operation.path), operation) for operation in self.operations]

    def find(self, path: str, method: str) -> tuple[Operation | None, dict[str, str], set[str]]:
        """The operation, its path parameters, and the methods of the path (empty: unknown path)."""
        of_path: str | None = None
        allowed: set[str] = set()
        for pattern, operation in self._patterns:
            if of_path not in (None, operation.path) or not (match := pattern.fullmatch(path)):
                continue
            of_path = operation.path
            if operation.method in (method, "*") or (operation.method, method) == ("GET", "HEAD"):
                return operation, match.groupdict(), allowed
            allowed.add(operation.method)
        return None, {}, allowed


def _specificity(path: str) -> list[int]:
    return [2 if s == "**" else 1 if s.startswith("{") else 0 for s in path.split("/")]


def _pattern(path: str) -> re.Pattern[str]:
    escaped = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path.removesuffix("/**"))
    return re.compile(escaped.replace(".", r"\.") + ("(?:/.*)?" if path.endswith("/**") else ""), re.DOTALL)
