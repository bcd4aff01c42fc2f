"""Run by the interpreter that has eGain's SDK: many different operations, each through the sidecar.

Writes what each call came to. Imports nothing of this project.
"""

# The SDK and mypy live in different environments.
# mypy: ignore-errors

import json
import sys

from egain_api_python import Egain
from httpx import Client

PORTAL, ARTICLE, LANGUAGE = "PROD-1000", "PROD-2996", "en-US"
JOB = "7A84B875-6F75-4C7B-B137-0632B62DB0BD"
BUCKET = {
    "type": "AWS S3 bucket", "path": "s3://bucket/folder", "region": "us-east-1",
    "credentials": {"accessKey": "stand-in", "secretKey": "stand-in"},
}  # fmt: skip
IN_PORTAL = {"accept_language": LANGUAGE, "portal_id": PORTAL}
OF_ARTICLE = {**IN_PORTAL, "article_id": ARTICLE}
SEARCH = {**IN_PORTAL, "language_code": LANGUAGE, "q": "why"}
PROMPTS = {"accept_language": LANGUAGE, "department": "Service", "language_code": LANGUAGE}
LINK = {**OF_ARTICLE, "version_id": "PROD-2884", "language": {"code": LANGUAGE}}
EXPORT = {
    "accept_language": LANGUAGE, "portal_id": PORTAL, "language": {"code": LANGUAGE}, "resource_types": ["all"],
    "data_destination": {"destination_type": "AWS S3 bucket", "path": "s3://bucket/folder"},
}  # fmt: skip


def in_portals(egain: Egain) -> dict[str, object]:
    """operationId -> call, of the portal API."""
    portal, article, mark = egain.portal, egain.portal.article, egain.portal.bookmark
    connectors = portal.connectorssearchevents
    return {
        "getAllPortals": lambda: portal.general.get_all_portals(accept_language=LANGUAGE),
        "getMyPortals": lambda: portal.general.get_my_portals(accept_language=LANGUAGE, language=LANGUAGE),
        "getPortalDetailsById": lambda: portal.general.get_portal_details_by_id(**IN_PORTAL),
        "getUserDetails": lambda: portal.userdetails.get_user_details(accept_language=LANGUAGE),
        "getArticlesInTopic": lambda: article.get_articles_in_topic(
            **IN_PORTAL, filter_topic_id="PROD-1069", language=LANGUAGE
        ),
        "getArticleById": lambda: article.get_article_by_id(**OF_ARTICLE),
        "getRelatedArticles": lambda: article.get_related_articles(**OF_ARTICLE),
        "getAnnouncementArticles": lambda: article.get_announcement_articles(**IN_PORTAL),
        "getMySubscription": lambda: article.get_my_subscription(**IN_PORTAL),
        "getpopulararticles": lambda: portal.populararticles.getpopulararticles(**IN_PORTAL),
        "AddToReply": lambda: article.add_to_reply(**LINK),
        "AddAsReference": lambda: article.add_as_reference(**LINK),
        "complyArticle": lambda: article.comply_article(**OF_ARTICLE),
        "subscribeArticle": lambda: article.subscribe_article(**OF_ARTICLE),
        "unsubscribeArticle": lambda: article.unsubscribe_article(**OF_ARTICLE),
        "rateArticle": lambda: article.rate_article(**OF_ARTICLE, score=1),
        "addbookmark": lambda: mark.addbookmark(**IN_PORTAL, resource_id=ARTICLE),
        "getbookmark": lambda: mark.getbookmark(**IN_PORTAL),
        "deletebookmark": lambda: mark.deletebookmark(**IN_PORTAL, bookmark_id="5001"),
        "selectUserProfile": lambda: portal.userprofile.select_user_profile(
            **IN_PORTAL, user_profile_id="PROD-3210"
        ),
        "deleteSuggestion": lambda: portal.suggestion.delete_suggestion(
            **IN_PORTAL, suggestion_id="PROD-2998"
        ),
        "createFederatedSearchResultEvent": lambda: (
            portal.federatedsearchevent.create_federated_search_result_event(
                **SEARCH, result_type="internal", url="https://example.com", title="Example"
            )
        ),
        "createSearchResultEventForConnectors": lambda: connectors.create_search_result_event_for_connectors(
            **SEARCH, number_of_search_results=3
        ),
        "createViewedSearchResultsEventForConnectors": lambda: (
            connectors.create_viewed_search_results_event_for_connectors(
                **SEARCH, url="https://example.com", title="Example"
            )
        ),
        "exportContent": lambda: portal.export.export_content(**EXPORT),
    }


def elsewhere(egain: Egain, base: str) -> dict[str, object]:
    """The same of the others, which ignore the client's server_url."""
    services = {"server_url": f"{base}/core/aiservices/v4"}
    contents = {"server_url": f"{base}//knowledge/contentmgr/v4"}  # as the SDK has it by default
    question = {"q": "why", "portal_id": PORTAL, "language": LANGUAGE, **services}
    imports = egain.content.import_
    return {
        "retrieveChunks": lambda: egain.aiservices.retrieve.retrieve_chunks(**question),
        "getBestAnswer": lambda: egain.aiservices.answers.get_best_answer(**question),
        "getPromptTemplates": lambda: egain.prompt.get_prompt_templates(**PROMPTS, **contents),
        "getPromptTemplateById": lambda: egain.prompt.get_prompt_template_by_id(
            **PROMPTS, prompt_id="PROD-4001", **contents
        ),
        "createImportJob": lambda: imports.create_import_job(
            data_source=BUCKET, operation="import", **contents
        ),
        "getImportStatus": lambda: imports.get_import_status(job_id=JOB, **contents),
        "createImportValidationJob": lambda: imports.create_import_validation_job(
            data_source=BUCKET, **contents
        ),
        "cancelImport": lambda: imports.cancel_import(job_id=JOB, **contents),
    }


def outcome(call: object) -> str:
    try:
        return f"fine: {type(call()).__name__}"
    except Exception as error:
        return f"{type(error).__name__}: {getattr(error, 'status_code', '')} {str(error)[:300]}"


if __name__ == "__main__":
    base, subject = sys.argv[1:]
    with (
        Client(headers={"X-On-Behalf-Of": subject}) as http,
        Egain(access_token="unused", server_url=f"{base}/knowledge/portalmgr/v4", client=http) as egain,
    ):
        calls = {**in_portals(egain), **elsewhere(egain, base)}
        print(json.dumps({operation: outcome(call) for operation, call in calls.items()}))
