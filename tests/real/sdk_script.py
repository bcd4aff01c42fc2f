"""Run by the interpreter that has eGain's SDK: everything through the sidecar, which alone has credentials.

Writes what the SDK's models made of the answers. Imports nothing of this project.
"""

# The SDK and mypy live in different environments.
# mypy: ignore-errors

import json
import sys

from egain_api_python import Egain
from egain_api_python.errors import EgainError
from httpx import Client

PORTAL, LANGUAGE = "PROD-1000", "en-US"


def main(base: str) -> dict[str, object]:
    portals, services, contents = (
        base + path for path in ("/knowledge/portalmgr/v4", "/core/aiservices/v4", "/knowledge/contentmgr/v4")
    )
    told: dict[str, object] = {}
    with (
        Client(headers={"X-On-Behalf-Of": "alice"}) as http,
        Egain(access_token="unused", server_url=portals, client=http) as egain,
    ):
        listed = egain.portal.general.get_all_portals(accept_language=LANGUAGE)
        told["portals"] = [[portal.id, portal.name] for portal in listed.portal]
        found = egain.portal.article.get_articles_in_topic(
            accept_language=LANGUAGE, portal_id=PORTAL, filter_topic_id="PROD-1069", language=LANGUAGE
        )
        told["articles"] = [[article.id, article.name] for article in found.articles]
        told["count"] = found.pagination_info.count
        told["article"] = egain.portal.article.get_article_by_id(
            accept_language=LANGUAGE, portal_id=PORTAL, article_id="PROD-2996"
        ).name
        told["me"] = egain.portal.userdetails.get_user_details(accept_language=LANGUAGE).first_name
        # These two ignore the client's server_url.
        best = egain.aiservices.answers.get_best_answer(
            q="why", portal_id=PORTAL, language=LANGUAGE, server_url=services
        )
        told["best"] = best.answer.answer_type
        prompts = egain.prompt.get_prompt_templates(
            accept_language=LANGUAGE, department="Service", language_code=LANGUAGE, server_url=contents
        )
        told["prompts"] = [prompt.name for prompt in prompts.prompt_templates]
        told["models"] = sorted({type(model).__name__ for model in (listed, found, best, prompts)})
        try:
            egain.portal.bookmark.getbookmark(accept_language=LANGUAGE, portal_id=PORTAL)
        except EgainError as error:
            told["refused"] = [
                type(error).__name__,
                error.status_code,
                dict(error.headers)["x-auth-sidecar-error"],
            ]
    return told


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
