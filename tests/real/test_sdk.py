"""eGain's own SDK, with no credential worth the name, works through the sidecar."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.app import running
from sidecar.config.loading import load
from sidecar.demo.config import demo_config, write_config
from sidecar.demo.standin import StandIn
from tests.real.servers import HERE, SDK_PYTHON

pytestmark = pytest.mark.real

READ = "knowledge.portalmgr.read"
ON_BEHALF_OF = "knowledge.portalmgr.onbehalfof.read"
# Each call the script makes: whom the API must have taken the caller for, and with which scopes.
CALLS: dict[str, tuple[str, str, set[str]]] = {
    "getAllPortals": ("anonymous", "anonymous", {READ}),
    "getArticlesInTopic": ("obo_user", "alice", {ON_BEHALF_OF}),
    "getArticleById": ("anonymous", "anonymous", {READ}),
    "getUserDetails": ("obo_user", "alice", {ON_BEHALF_OF}),
    "getBestAnswer": ("anonymous", "anonymous", {"core.aiservices.read", "core.aiservices.manage"}),
    "getPromptTemplates": ("app", "", {"app.knowledge.contentmgr.read"}),
}


async def through_the_sidecar(egain: StandIn, folder: Path) -> dict[str, Any]:
    """What the SDK's models made of the stand-in's answers."""
    mapping = demo_config(egain)
    for route in mapping["routes"]:
        # The SDK puts its own access token in Authorization: nothing there could be exchanged.
        if route.get("name") == "get-portals":
            route["credential"] = "anonymous"
    async with running(load(write_config(folder, mapping, egain.client_secret))) as sidecar:
        process = await asyncio.create_subprocess_exec(
            SDK_PYTHON, HERE / "sdk_script.py", f"http://{sidecar.proxy_address}",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-2000:]
    told: dict[str, Any] = json.loads(out)
    return told


async def test_sdk_lists_portals_and_articles_with_each_routes_own_token(tmp_path: Path) -> None:
    """The SDK's models are filled, each call had its route's credential and scopes, an error keeps its code."""
    if not SDK_PYTHON.exists():
        pytest.skip("egain-api-python is not installed; tests/real/install does that")
    async with StandIn() as egain:
        told = await through_the_sidecar(egain, tmp_path)
        seen = {request.operation: request for request in egain.api_requests}
    models = told.pop("models")
    assert told == {
        "portals": [
            ["PROD-1000", "Master Portal"],
            ["PROD-1001", "Help Center"],
            ["PROD-1002", "Agent Desktop"],
        ],
        "articles": [
            ["PROD-2996", "Fair Lending FAQs"],
            ["PROD-2997", "How to Reset a Password"],
            ["PROD-2998", "Returning a Purchase"],
        ],
        "count": 3,
        "article": "Fair Lending FAQs",
        "me": "alice",
        "best": "certified",
        "prompts": ["Summarise"],
        "refused": ["EgainDefaultError", 403, "subject_not_allowed"],
    }
    assert len(models) == 4, "each kind of answer was read into a model of its own"
    assert seen.keys() == CALLS.keys()
    for operation, (persona, subject, scopes) in CALLS.items():
        claims = seen[operation].claims
        assert claims is not None, operation
        assert (claims.persona, set(claims.scopes)) == (persona, scopes), operation
        assert not subject or claims.subject == subject
        (authorization,) = seen[operation].all("Authorization")
        assert b"unused" not in authorization
        assert not seen[operation].all("X-On-Behalf-Of")
