"""`explain` of generated routes, `explain --all` and `explain --tokens`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import call, write
from tests.map_check import configuration
from tests.openapi import plan
from tests.specs import OURS

BASE = "/knowledge/portalmgr/v4"
BY = plan("agent=obo_user", "app=app", "anonymous=anonymous")
OPTIONS = [word for name, persona in BY.credentials for word in ("--credential", f"{name}={persona}")]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    assert call("routes", *OPTIONS, "--out", tmp_path / "map.yaml", *OURS).exit_code == 0
    return write(tmp_path, configuration(BY))


def why(config: Path, method: str, path: str) -> str:
    result = call("explain", config, method, path)
    assert (result.exit_code, result.stderr) == (0, "")
    return result.stdout


def test_generated_route_says_where_it_comes_from_and_why(config: Path) -> None:
    """Operation, document, alternatives, and the order that decided."""
    told = why(config, "GET", f"{BASE}/portals/user")
    assert "- it is operation getUserDetails of Portals (portal.yaml)\n" in told
    allowed = "user: knowledge.portalmgr.read | obo_user: knowledge.portalmgr.onbehalfof.read"
    assert f"- the document allows {allowed}\n" in told
    order = "obo_user (agent), app (app), anonymous (anonymous)"
    assert f"- of those obo_user is the first in the order of preference: {order}\n" in told


def test_inferred_scopes_are_said_to_be(config: Path) -> None:
    """And which were made of a person's."""
    assert "inferred from path and method" in why(config, "POST", f"{BASE}/content/export")
    told = why(config, "GET", "/knowledge/contentmgr/v4/prompts/prompttemplates")
    assert "app. before those of people" in told
    assert "inferred from" not in told


def test_default_scope_is_not_said_to_be_made_of_a_persons(tmp_path: Path) -> None:
    """The commercial cloud issues an application no other."""
    assert call("routes", *OPTIONS, "--default-scope", "--out", tmp_path / "map.yaml", *OURS).exit_code == 0
    told = why(write(tmp_path, configuration(BY)), "GET", "/knowledge/contentmgr/v4/prompts/prompttemplates")
    assert "- .default is the one scope of an application there (--default-scope)\n" in told
    assert "app. before" not in told


def test_preferred_persona_that_cannot_be_used_is_said_to_be(tmp_path: Path) -> None:
    """The first in the order of preference is not always the one that was taken."""
    security = [{"oAuthOnBehalfOfUser": []}, {"oAuthClient": [".default"]}]
    root = {
        "openapi": "3.0.0",
        "servers": [{"url": "/knowledge/portalmgr/v4"}],
        "paths": {"/a": {"get": {"security": security}}},
    }
    document = write(tmp_path, root, "api.yaml")
    assert call("routes", *OPTIONS, "--out", tmp_path / "map.yaml", document).exit_code == 0
    told = why(write(tmp_path, configuration(BY)), "GET", f"{BASE}/a")
    assert "- obo_user is preferred, but cannot be used: its scopes are missing" in told
    assert told.index("obo_user is preferred") < told.index("of those app is the first")


def test_credential_changed_by_hand_is_noticed(config: Path) -> None:
    """The order of preference did not decide that."""
    path = config.parent / "map.yaml"
    text = path.read_text()
    at = text.index(f"path: {BASE}/portals/user")
    path.write_text(text[:at] + text[at:].replace("credential: agent", "credential: app", 1))
    assert "the credential app was written by hand" in why(config, "GET", f"{BASE}/portals/user")


def test_route_written_by_hand_is_explained_without_a_document(tmp_path: Path) -> None:
    """As before."""
    mapping = {**configuration(BY), "routes": [{"path": "/a", "credential": "app", "scopes": ["app.x"]}]}
    assert "operation" not in why(write(tmp_path, mapping), "GET", "/a")


def test_all_routes_as_text_and_as_json(config: Path) -> None:
    """Method, path, credential, scopes: a line each, under a heading."""
    heading, *lines = call("explain", "--all", config).stdout.splitlines()
    assert heading.split() == ["METHOD", "PATH", "CREDENTIAL", "SCOPES"]
    assert len(lines) == 33
    assert ["POST", "/core/aiservices/v4/{portalID}/answers", "anonymous", "core.aiservices.read",
            "core.aiservices.manage"] in [line.split() for line in lines]  # fmt: skip
    found: dict[str, Any] = json.loads(call("explain", "--all", "--json", config).stdout)
    assert len(found["routes"]) == 33
    assert found["routes"][0].keys() == {"method", "path", "route", "credential", "scopes"}


def test_tokens_are_counted_either_way(config: Path, tmp_path: Path) -> None:
    """A token for each set of scopes, or one for each credential: people choose."""
    found = json.loads(call("explain", "--tokens", "--json", config).stdout)
    assert found["scopes"] == "per_route"
    assert [(one["credential"], len(one["scopes"])) for one in found["union"]] == [
        ("agent", 2), ("anonymous", 2), ("app", 3),
    ]  # fmt: skip
    assert len(found["per_route"]) == 7
    assert (
        sum(one["routes"] for one in found["per_route"]) == sum(one["routes"] for one in found["union"]) == 33
    )
    assert {one["credential"] for one in found["per_route"] if one["per_subject"]} == {"agent"}
    told = call("explain", "--tokens", config).stdout.splitlines()
    assert told[-1].startswith("7 with tokens.scopes: per_route; union would need 3, ")
    union = write(tmp_path, {**configuration(BY), "tokens": {"scopes": "union"}}, "union.yaml")
    told = call("explain", "--tokens", union).stdout.splitlines()
    assert len(told) == 1 + 3 + 1
    assert told[-1].startswith("3 with tokens.scopes: union; per_route would need 7, ")
    line = next(one for one in call("explain", "--all", union).stdout.splitlines() if "/bookmarks " in one)
    assert len(line.split()) == 5, "with union a route's token has all scopes of its credential"


@pytest.mark.parametrize(
    "arguments",
    [[], ["GET"], ["GET", "/a", "--all"], ["--all", "--tokens"], ["GET", "--tokens"]],
    ids=" ".join,
)
def test_one_question_at_a_time(arguments: list[str], config: Path) -> None:
    """Anything else exits 2."""
    assert call("explain", config, *arguments).exit_code == 2
