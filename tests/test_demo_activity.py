"""What people and jobs do at the stand-in: each operation answers, to its persona with its scopes only."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest

from sidecar.demo import activity
from sidecar.demo.content import Content
from sidecar.demo.directory import PERSONAS, Persona
from sidecar.demo.operations import Operation, eGain_operations
from sidecar.demo.standin import StandIn

OPERATIONS = [
    one for one in eGain_operations({**Content().pages(), **activity.pages()}) if one.id in activity.pages()
]
IDS = {"portalID": "PROD-1000", "articleID": "PROD-2996", "promptID": "PROD-4001"}
each = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: str(one.id))


@pytest.fixture
async def egain() -> AsyncIterator[StandIn]:
    async with StandIn(exact=True) as standin:
        yield standin


async def asked(egain: StandIn, operation: Operation, persona: Persona, *scopes: str) -> tuple[int, str]:
    """Status and eGain's code of an answer."""
    path = re.sub(r"\{(\w+)\}", lambda found: IDS.get(found[1], "PROD-1"), operation.path)
    headers = {"Authorization": f"Bearer {egain.issue(persona, *scopes)}", "Accept-Language": "en-US"}
    async with (
        aiohttp.ClientSession() as http,
        http.request(operation.method, egain.base + path, headers=headers) as answer,
    ):
        body = await answer.json() if answer.content_type == "application/json" else {}
        return answer.status, body.get("code", "")


def test_every_answer_has_an_operation() -> None:
    """And each operation its answer."""
    assert {one.id for one in OPERATIONS} == activity.pages().keys()


@each
async def test_operation_serves_its_personas_and_no_other(egain: StandIn, operation: Operation) -> None:
    """With exactly the scopes it needs; 403-112 for anybody else."""
    for persona in PERSONAS:
        scopes = operation.scopes.get(persona)
        status, code = await asked(egain, operation, persona, *(scopes or ["knowledge.portalmgr.read"]))
        if scopes is None:
            assert (status, code) == (403, "403-112")
        else:
            assert status in (200, 201, 202, 204), persona


@each
async def test_exact_stand_in_wants_neither_less_nor_more(egain: StandIn, operation: Operation) -> None:
    """403-197 for a scope that is missing, and for one too many."""
    persona, scopes = next(iter(operation.scopes.items()))
    assert await asked(egain, operation, persona, "other") == (403, "403-197")
    assert await asked(egain, operation, persona, *scopes, "other") == (403, "403-197")


async def test_stand_in_is_not_exact_unless_told_so() -> None:
    """eGain's API takes a token that may do more."""
    async with StandIn() as egain:
        operation = OPERATIONS[0]
        persona, scopes = next(iter(operation.scopes.items()))
        status, _ = await asked(egain, operation, persona, *scopes, "other")
        assert status == 200
