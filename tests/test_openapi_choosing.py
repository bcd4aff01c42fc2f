"""The credential and the scopes that each operation gets."""

from __future__ import annotations

from typing import Any

import pytest

from tests.openapi import ANONYMOUS_READ, CLIENT, EVERYBODY, OBO_READ, READ, chosen, plan

ALL = {"security": [READ, OBO_READ, ANONYMOUS_READ, CLIENT]}
APP = plan("app=app")


@pytest.mark.parametrize(
    ("credentials", "prefer", "credential"),
    [
        (["agent=obo_user", "app=app"], (), "agent"),
        (["app=app", "agent=obo_user"], (), "app"),
        (["agent=obo_user", "app=app"], ("app",), "app"),
        (["agent=obo_user", "app=app"], ("anonymous", "app"), "app"),
        (["a=app", "b=app"], (), "a"),
        (["x=customer", "y=anonymous"], ("customer",), "y"),
    ],
)
def test_first_preferred_persona_that_is_allowed(
    credentials: list[str], prefer: Any, credential: str
) -> None:
    """Preferred ones first, then in the order given; of two credentials of a persona the first."""
    assert chosen(ALL, plan(*credentials, prefer=prefer))[0] == credential


def test_scopes_are_exactly_the_alternatives() -> None:
    """All of that alternative, none of another; never by the method."""
    both = {"oAuthUser": ["${SCOPE_PREFIX}core.aiservices.read", "${SCOPE_PREFIX}core.aiservices.manage"]}
    assert chosen({"security": [ANONYMOUS_READ, both]}, plan("u=user")) == (
        "u", ["core.aiservices.read", "core.aiservices.manage"],
    )  # fmt: skip
    manage = {"oAuthUser": ["knowledge.portalmgr.manage"]}
    assert chosen({"security": [manage]}, plan("u=user")) == ("u", ["knowledge.portalmgr.manage"])
    assert chosen({"security": [READ]}, plan("u=user"), method="delete") == (
        "u",
        ["knowledge.portalmgr.read"],
    )


PERMISSIONS = ["app.knowledge.portalmgr.manage", "${SCOPE_PREFIX}app.knowledge.portalmgr.read"]


@pytest.mark.parametrize(
    ("found", "options", "scopes"),
    [
        ({"security": [CLIENT], "x-egain-app-permissions": PERMISSIONS}, {}, ["app.knowledge.portalmgr.read"]),
        (
            {"security": [CLIENT], "x-egain-app-permissions": PERMISSIONS}, {"superset": True},
            ["app.knowledge.portalmgr.manage", "app.knowledge.portalmgr.read"],
        ),
        ({"security": [CLIENT], "x-egain-app-permissions": "app.x.manage, app.y.write"}, {}, ["app.x.manage"]),
        ({"security": [READ, CLIENT]}, {}, ["app.knowledge.portalmgr.read"]),
        ({"security": [{"oAuthClient": ["app.a.b"]}, READ]}, {}, ["app.a.b"]),
        ({"security": [OBO_READ, CLIENT]}, {}, ["app.knowledge.portalmgr.read"]),
        ({"security": [CLIENT]}, {}, ["app.knowledge.portalmgr.read"]),
        ({"security": [{"oAuthClient": []}]}, {}, ["app.knowledge.portalmgr.read"]),
        ({"security": [CLIENT]}, {"default_scope": True}, [".default"]),
        ({"security": [CLIENT], "x-egain-app-permissions": ['x"y']}, {}, None),
    ],
    ids=[
        "the read permission", "all with superset", "first when none reads", "app. before delegated ones",
        "named", "of a user on whose behalf", "inferred", "inferred without .default", "default scope", "malformed",
    ],
)  # fmt: skip
def test_scopes_of_an_application(
    found: dict[str, Any], options: dict[str, bool], scopes: list[str] | None
) -> None:
    """What the document says of it; inferred from the path only where it says nothing."""
    got = chosen(found, plan("app=app", **options))
    assert (got[1] if isinstance(got, tuple) else None) == scopes


@pytest.mark.parametrize(
    ("method", "verb"), [("get", "read"), ("head", "read"), ("post", "manage"), ("delete", "manage")]
)
def test_inferred_scope_follows_path_and_method(method: str, verb: str) -> None:
    """For an application, where the document only says .default."""
    assert chosen({"security": [CLIENT]}, APP, method=method) == ("app", [f"app.knowledge.portalmgr.{verb}"])


def test_nothing_is_inferred_from_a_path_that_has_no_product() -> None:
    """A comment asks for a decision instead."""
    assert chosen({"security": [CLIENT]}, APP, path="/{x}/{y}", servers=[]) == (
        "needs app (the document names no scope)"
    )


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({}, "needs a decision: the document declares no security for it"),
        ({"security": [READ]}, "needs user [knowledge.portalmgr.read]"),
        ({"security": [READ, CLIENT]}, "needs user [knowledge.portalmgr.read] or app [app.knowledge.portalmgr.read]"),
        ({"security": [{"oAuthUser": []}]}, "needs user (the document names no scope)"),
        ({"security": [{"oAuthAnonymousCustomer": []}]}, "needs anonymous (the document names no scope)"),
        ({"security": [{"x-api-key": []}]}, "needs x-api-key (no persona is known for it)"),
        ({"security": [{"oAuthAdminUser": ["a"]}]}, "needs oAuthAdminUser (no persona is known for it)"),
        (
            {"security": [READ], "x-egain-app-permissions": ["app.knowledge.portalmgr.read"]},
            "needs user [knowledge.portalmgr.read]",
        ),
    ],
    ids=["undeclared", "a user", "either", "no scope", "no scope of ours", "key", "admin", "permission alone"],
)  # fmt: skip
def test_what_no_credential_can_call_says_what_it_needs(found: dict[str, Any], reason: str) -> None:
    """Never a guess, never public."""
    assert chosen(found, plan("anonymous=anonymous")) == reason


def test_public_operation_gets_no_token() -> None:
    """An explicit empty list, or an alternative that asks for nothing when no credential is allowed."""
    assert chosen({"security": []}, EVERYBODY) == ("none", [])
    assert chosen({"security": [{}, OBO_READ]}, APP) == ("none", [])
    assert chosen({"security": [{}, OBO_READ]}, plan("agent=obo_user"))[0] == "agent"


@pytest.mark.parametrize(
    ("scheme", "scope", "persona"),
    [
        ("oAuthOnBehalfOfUser", "knowledge.portalmgr.read", "obo_user"),
        ("oAuthUser", "knowledge.portalmgr.onbehalfof.read", "user"),
        ("oAuthUser", "app.knowledge.portalmgr.read", "user"),
    ],
)
def test_scope_that_does_not_fit_its_persona_is_a_comment(scheme: str, scope: str, persona: str) -> None:
    """`check` would warn about such a route, by eGain's guide: a person decides."""
    got = chosen({"security": [{scheme: [scope]}]}, plan(f"x={persona}"))
    assert isinstance(got, str)
    assert got.startswith(f"needs {persona} (")
