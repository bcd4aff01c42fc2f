"""What people and jobs do here: ratings, subscriptions, events, exports, prompts - and the lists about them.

Owns answers that depend on nothing that happened before, as eGain's OpenAPI documents have them: mostly 204, 201, or
202 with a `Location`. Holds no state: it is about who may ask. Knows nothing of permissions.
"""

from __future__ import annotations

import uuid

from aiohttp import web

from sidecar.demo.content import ARTICLES, AUTHOR, DATE, PORTALS, Json, answer, article, known, page
from sidecar.demo.operations import CONTENTMGR, PORTALMGR, Answer, Asked

_DONE = (
    "AddToReply",
    "AddAsReference",
    "complyArticle",
    "subscribeArticle",
    "unsubscribeArticle",
    "selectUserProfile",
    "createFederatedSearchResultEvent",
    "createSearchResultEventForConnectors",
    "createViewedSearchResultsEventForConnectors",
    "deleteSuggestion",
    "cancelImport",
)
_LISTS = ("getpopulararticles", "getRelatedArticles", "getAnnouncementArticles", "getMySubscription")


def pages() -> dict[str, Answer]:
    """By operationId."""
    return {
        **dict.fromkeys(_DONE, done),
        **dict.fromkeys(_LISTS, articles),
        "rateArticle": rated,
        "exportContent": export,
        "createImportValidationJob": validation,
        "getPromptTemplates": prompts,
        "getPromptTemplateById": prompt,
    }


async def done(asked: Asked) -> web.Response:
    """204."""
    return web.Response(status=204)


async def rated(asked: Asked) -> web.Response:
    """201, and nothing more to say."""
    return web.Response(status=201)


async def articles(asked: Asked) -> web.Response:
    """All of them: what is popular or new here is not the point."""
    portal_id, language = known(asked, "portalID", PORTALS), asked.query.get("$lang", "en-US")
    items, info = page(asked, [article(id, portal_id, language) for id in ARTICLES])
    return answer(asked, {"articles": items, "paginationInfo": info})


async def prompts(asked: Asked) -> web.Response:
    return answer(asked, {"promptTemplates": [prompt_template("PROD-4001")]})


async def prompt(asked: Asked) -> web.Response:
    return answer(asked, prompt_template(asked.parameters["promptID"]))


def prompt_template(id: str) -> Json:
    return {
        "name": "Summarise",
        "id": id,
        "description": "Summarises an article",
        "active": True,
        "useFor": "knowledge",
        "appliesTo": "article",
        "instruction": "Summarise in three sentences.",
        "outputFormat": "text",
        "createdOn": DATE,
        "modifiedDate": DATE,
        "createdBy": AUTHOR,
        "reviewStatus": "published",
        "isSystemCreated": True,
        "fieldToUpdate": "summary",
    }


async def export(asked: Asked) -> web.Response:
    return _started(asked, f"{PORTALMGR}/content/export")


async def validation(asked: Asked) -> web.Response:
    return _started(asked, f"{CONTENTMGR}/import/content")


def _started(asked: Asked, jobs: str) -> web.Response:
    """202; where the job's status is, as a path only, like eGain's."""
    return answer(asked, {}, status=202, headers={"Location": f"{jobs}/{uuid.uuid4()}/status"})
