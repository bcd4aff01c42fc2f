"""What eGain's API answers here: portals, articles, bookmarks, import jobs, answers.

Owns made-up content in the shapes of eGain's OpenAPI documents (its SDK reads them), plus `servedFor`. Holds
the little state there is: bookmarks per person, import jobs. Knows nothing of permissions.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from sidecar.demo.apierrors import ApiRefusal
from sidecar.demo.operations import CONTENTMGR, PORTALMGR, Answer, Asked

Json = dict[str, Any]

DATE = "2025-01-28T19:53:58Z"
AUTHOR = {"id": "1013", "userName": "jdoe", "firstName": "John", "middleName": "", "lastName": "Doe"}
PORTALS = {"PROD-1000": "Master Portal", "PROD-1001": "Help Center", "PROD-1002": "Agent Desktop"}
ARTICLES = {
    "PROD-2996": "Fair Lending FAQs",
    "PROD-2997": "How to Reset a Password",
    "PROD-2998": "Returning a Purchase",
}
_BREADCRUMB = [{"topicSummary": [{"id": "PROD-1069", "name": "Banking Regulations"}]}]


def _number(query: Mapping[str, str], name: str, default: int, highest: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:9]) <= highest:
        raise ApiRefusal(400, "400-101", f"Invalid value of query parameter '{name}'.")
    return int(text)


def page(asked: Asked, items: list[Json], default_size: int = 10) -> tuple[list[Json], Json]:
    number = _number(asked.query, "$pagenum", 1, 999)
    size = _number(asked.query, "$pagesize", default_size, 75)
    return items[(number - 1) * size : number * size], {
        "count": len(items),
        "pagenum": number,
        "pagesize": size,
    }


def known(asked: Asked, name: str, ids: Mapping[str, object]) -> str:
    value = asked.parameters[name]
    if value not in ids:
        raise ApiRefusal(
            404, "404-101", f"The following IDs provided in the URI path were not found: {value[:64]}"
        )
    return value


def portal(id: str) -> Json:
    return {
        "id": id,
        "name": PORTALS[id],
        "departmentId": "999",
        "description": f"{PORTALS[id]} of the demo",
        "defaultContentLanguageId": "1",
        "defaultContentLanguageCode": "en-US",
        "createdBy": AUTHOR,
        "createdDate": DATE,
        "modifiedBy": AUTHOR,
        "modifiedDate": DATE,
        "isStructuredAuthoringEnabled": False,
        "link": {"rel": "self", "href": f"{PORTALMGR}/portals/{id}"},
    }


def article(id: str, portal_id: str, language: str) -> Json:
    return {
        "id": id,
        "name": ARTICLES[id],
        "articleType": {
            "articleCategoryId": 0,
            "typeName": "General",
            "useStructuredAuthoring": False,
            "articleTypeId": "999200000002020",
        },
        "createdBy": AUTHOR,
        "createdDate": DATE,
        "modifiedBy": AUTHOR,
        "modifiedDate": DATE,
        "hasAttachments": False,
        "languageCode": language,
        "link": {"rel": "self", "href": f"{PORTALMGR}/portals/{portal_id}/articles/{id}"},
        "topicBreadcrumb": _BREADCRUMB,
        "versionId": "PROD-2884",
    }


def _search_results() -> list[Json]:
    return [
        {
            "id": id,
            "name": name,
            "docType": "HTML",
            "source": "eGain Article",
            "snippet": f"What the demo knows about: {name}.",
            "normalizedScore": round(0.9 - 0.1 * n, 1),
        }
        for n, (id, name) in enumerate(ARTICLES.items())
    ]


@dataclass(slots=True)
class Content:
    """The content of one stand-in."""

    _bookmarks: defaultdict[str, dict[str, Json]] = field(default_factory=lambda: defaultdict(dict))
    _bookmark_ids: itertools.count[int] = field(default_factory=lambda: itertools.count(5001))
    _polls: dict[str, int] = field(default_factory=dict)  # import job -> status requests so far

    def pages(self) -> dict[str, Answer]:
        """By operationId."""
        return {
            "getAllPortals": self._all_portals,
            "getMyPortals": self._my_portals,
            "getUserDetails": self._user_details,
            "getPortalDetailsById": self._portal,
            "getArticlesInTopic": self._articles,
            "getArticleById": self._article,
            "getbookmark": self._get_bookmarks,
            "addbookmark": self._add_bookmark,
            "deletebookmark": self._delete_bookmark,
            "createImportJob": self._start_import,
            "getImportStatus": self._import_status,
            "retrieveChunks": self._retrieve,
            "getBestAnswer": self._best_answer,
        }

    async def _all_portals(self, asked: Asked) -> web.Response:
        items, info = page(asked, [portal(id) for id in PORTALS])
        return answer(asked, {"portal": items, "paginationInfo": info})

    async def _my_portals(self, asked: Asked) -> web.Response:
        department = {"id": "999", "name": "Service"}
        mine = [{"id": id, "name": name, "department": department} for id, name in PORTALS.items()]
        items, info = page(asked, mine, 25)
        return answer(asked, {"portal": items, "paginationInfo": info})

    async def _user_details(self, asked: Asked) -> web.Response:
        role = {"id": "1", "name": "Agent", "template": {"value": "agent", "displayValue": "Agent"}}
        names = {"firstName": asked.claims.subject, "lastName": "Demo"}
        return answer(asked, {"id": "1013", "roles": [role], **names, "hasEmailConfigured": True})

    async def _portal(self, asked: Asked) -> web.Response:
        return answer(asked, portal(known(asked, "portalID", PORTALS)))

    async def _articles(self, asked: Asked) -> web.Response:
        portal_id, language = known(asked, "portalID", PORTALS), asked.query.get("$lang", "en-US")
        items, info = page(asked, [article(id, portal_id, language) for id in ARTICLES])
        return answer(asked, {"articles": items, "paginationInfo": info})

    async def _article(self, asked: Asked) -> web.Response:
        portal_id, id = known(asked, "portalID", PORTALS), known(asked, "articleID", ARTICLES)
        text = f"<p>{ARTICLES[id]}: the demo's own words.</p>"
        return answer(asked, {**article(id, portal_id, asked.query.get("$lang", "en-US")), "content": text})

    async def _get_bookmarks(self, asked: Asked) -> web.Response:
        portal_id = known(asked, "portalID", PORTALS)
        mine = [b for b in self._bookmarks[asked.claims.subject].values() if b["portalId"] == portal_id]
        items, info = page(asked, mine)
        return answer(asked, {"bookmarks": items, "paginationInfo": info})

    async def _add_bookmark(self, asked: Asked) -> web.Response:
        portal_id = known(asked, "portalID", PORTALS)
        try:
            wanted = json.loads(asked.body)
            bookmark = {"resourceId": wanted["resourceId"], "bookmarkName": wanted.get("bookmarkName", "")}
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            message = (
                "Invalid value is provided in the request body for the following attribute:'resourceId'."
            )
            raise ApiRefusal(400, "400-152", message) from None
        id = str(next(self._bookmark_ids))
        self._bookmarks[asked.claims.subject][id] = {"id": id, "portalId": portal_id, **bookmark}
        location = f"{PORTALMGR}/portals/{portal_id}/bookmarks/{id}"
        return answer(asked, {}, status=201, headers={"Location": location})

    async def _delete_bookmark(self, asked: Asked) -> web.Response:
        mine = self._bookmarks[asked.claims.subject]
        del mine[known(asked, "bookmarkID", mine)]
        return web.Response(status=204)

    async def _start_import(self, asked: Asked) -> web.Response:
        id = str(uuid.uuid4())
        self._polls[id] = 0
        location = f"{CONTENTMGR}/import/content/{id}/status"  # path only, as eGain's
        return answer(asked, {}, status=202, headers={"Location": location})

    async def _import_status(self, asked: Asked) -> web.Response:
        """Done at the third question: progress by asking, not by the clock."""
        id = known(asked, "job_id", self._polls)
        self._polls[id] += 1
        done = min(self._polls[id], 3)
        progress = {"processed": done, "total": 3, "percentage": round(done / 3 * 100)}
        status = "Successful" if done == 3 else "In Progress"
        return answer(asked, {"status": status, "jobType": "Import", "progress": progress})

    async def _retrieve(self, asked: Asked) -> web.Response:
        known(asked, "portalID", PORTALS)
        return answer(asked, {"searchResults": _search_results(), "sessionId": str(uuid.UUID(int=1))})

    async def _best_answer(self, asked: Asked) -> web.Response:
        known(asked, "portalID", PORTALS)
        results = _search_results()
        reference = {key: results[0][key] for key in ("id", "name", "docType", "source")}
        best = {
            "answerValue": results[0]["snippet"],
            "references": [reference],
            "answerType": "certified",
            "relevanceScore": 0.9,
        }
        return answer(asked, {"answer": best, "searchResults": results, "sessionId": str(uuid.UUID(int=1))})


def answer(
    asked: Asked, members: Json, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """JSON, with the who-am-I block at its end."""
    return web.json_response({**members, "servedFor": asked.served_for}, status=status, headers=headers)
