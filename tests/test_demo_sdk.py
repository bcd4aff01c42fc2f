"""eGain's own SDK reads the stand-in's answers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.demo.standin import StandIn

# The SDK may be in this interpreter, or in the one of another environment.
PYTHON = os.environ.get("EGAIN_SDK_PYTHON", sys.executable)

SCRIPT = """
import json, sys
from egain_api_python import Egain

base, tokens = sys.argv[1], json.loads(sys.stdin.read())
portal, ai, content = (base + path for path in (
    "/knowledge/portalmgr/v4", "/core/aiservices/v4", "/knowledge/contentmgr/v4"))
told = {}
with Egain(access_token=tokens["user"], server_url=portal) as egain:
    general, articles = egain.portal.general, egain.portal.article
    told["portals"] = [p.id for p in general.get_all_portals(accept_language="en-US").portal]
    told["portal"] = general.get_portal_details_by_id(accept_language="en-US", portal_id="PROD-1000").name
    told["mine"] = [p.id for p in general.get_my_portals(accept_language="en-US", language="en-US").portal]
    listed = articles.get_articles_in_topic(
        accept_language="en-US", portal_id="PROD-1000", filter_topic_id="PROD-1069", language="en-US")
    told["articles"] = [a.name for a in listed.articles]
    told["count"] = listed.pagination_info.count
    told["article"] = articles.get_article_by_id(
        accept_language="en-US", portal_id="PROD-1000", article_id="PROD-2996").name
    told["me"] = egain.portal.userdetails.get_user_details(accept_language="en-US").first_name
    egain.portal.bookmark.addbookmark(
        accept_language="en-US", portal_id="PROD-1000", resource_id="PROD-2996")
    marks = egain.portal.bookmark.getbookmark(accept_language="en-US", portal_id="PROD-1000").bookmarks
    told["bookmarks"] = [b.resource_id for b in marks]
    egain.portal.bookmark.deletebookmark(
        accept_language="en-US", portal_id="PROD-1000", bookmark_id=marks[0].id)
    found = egain.aiservices.retrieve.retrieve_chunks(
        q="why", portal_id="PROD-1000", language="en-US", server_url=ai)
    told["found"] = len(found.search_results)
    best = egain.aiservices.answers.get_best_answer(
        q="why", portal_id="PROD-1000", language="en-US", server_url=ai)
    told["best"] = best.answer.answer_type
    prompts = egain.prompt.get_prompt_templates(
        accept_language="en-US", department="Service", language_code="en-US", server_url=content)
    told["prompts"] = [p.name for p in prompts.prompt_templates]
with Egain(access_token=tokens["expired"], server_url=portal) as egain:
    try:
        egain.portal.general.get_all_portals(accept_language="en-US")
    except Exception as error:
        told["refused"] = [type(error).__name__, error.status_code, error.data.code]
print(json.dumps(told))
"""


def sdk_missing() -> str | None:
    """Why the SDK cannot be used, if it cannot."""
    if not Path(PYTHON).exists():
        return f"{PYTHON} does not exist"
    found = subprocess.run([PYTHON, "-c", "import egain_api_python"], capture_output=True, check=False)
    return (
        None
        if found.returncode == 0
        else "egain-api-python is not installed (EGAIN_SDK_PYTHON names a Python)"
    )


async def test_sdk_reads_portals_articles_and_the_rest() -> None:
    """Lists, details, bookmarks, search results and errors validate in the SDK's models."""
    if reason := sdk_missing():
        pytest.skip(reason)
    async with StandIn() as egain:
        scopes = [f"{s}.{v}" for s in ("knowledge.portalmgr", "knowledge.contentmgr", "core.aiservices")
                  for v in ("read", "manage")]  # fmt: skip
        tokens = {"user": egain.issue("user", *scopes), "expired": egain.issue("user", *scopes, lifetime=0)}
        process = await asyncio.create_subprocess_exec(
            PYTHON, "-c", SCRIPT, egain.base,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate(json.dumps(tokens).encode())
        assert process.returncode == 0, errors.decode()[-2000:]
    told = json.loads(out)
    portals = ["PROD-1000", "PROD-1001", "PROD-1002"]
    assert told == {
        "portals": portals,
        "portal": "Master Portal",
        "mine": portals,
        "articles": ["Fair Lending FAQs", "How to Reset a Password", "Returning a Purchase"],
        "count": 3,
        "article": "Fair Lending FAQs",
        "me": "alice",
        "bookmarks": ["PROD-2996"],
        "found": 3,
        "best": "certified",
        "prompts": ["Summarise"],
        "refused": told["refused"],
    }
    assert told["refused"][1:] == [401, "401-101"]
