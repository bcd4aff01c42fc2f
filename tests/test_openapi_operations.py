"""A document as operations: base paths, references, what is internal, what each demands, what can be no route."""

from __future__ import annotations

from typing import Any

import pytest

from sidecar.openapi.building import DocumentError
from sidecar.openapi.operations import document
from sidecar.openapi.personas import persona_of
from sidecar.openapi.reading import read
from sidecar.openapi.security import plain
from tests.openapi import ANONYMOUS_READ, CLIENT, OBO_READ, READ, doc, operation


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://${API_DOMAIN}/knowledge/portalmgr/v4", "/knowledge/portalmgr/v4"),
        ("https://${API_DOMAIN}//knowledge//x/", "/knowledge/x"),
        ("${API_DOMAIN}/x", "/x"), ("https://api.example:8443/x?y#z", "/x"), ("https://api.example", ""),
        ("//api.example/x", "/x"), ("/x/y", "/x/y"), ("x", "/x"), ("", ""), ("https://[::1]/x", "/x"),
    ],
)  # fmt: skip
def test_base_path_is_the_path_of_the_server(url: str, base: str) -> None:
    """The rest of the URL says nothing: tokens go to the configured upstream only."""
    assert operation(servers=[{"url": url}]).path == f"{base}/a"


def test_nearest_servers_count_and_base_path_overrides_them_all() -> None:
    """Operation before path before root; an empty list is none."""
    root, item, own = ([{"url": f"/{name}"}] for name in ("root", "item", "own"))
    paths: dict[str, Any] = {
        "/a": {"servers": item, "get": {"servers": own}, "put": {}},
        "/b": {"get": {"servers": []}},
    }
    assert [one.path for one in doc(paths, servers=root).operations] == ["/own/a", "/item/a", "/root/b"]
    assert {one.path for one in doc(paths, "/over", servers=root).operations} == {"/over/a", "/over/b"}


def test_server_variables_have_their_defaults() -> None:
    """OpenAPI's own, which eGain's placeholders are not."""
    server = {"url": "https://{host}/x/{version}", "variables": {"version": {"default": "v4"}}}
    assert operation(servers=[server]).path == "/x/v4/a"
    assert operation(servers=[{"url": "/x/{version}"}]).path == "/x/{version}/a"


@pytest.mark.parametrize(
    ("path", "method", "why"),
    [
        ("/a/{id}.pdf", "get", "only a part of a segment"), ("/a/**", "get", "everything below"),
        ("/a/*", "get", "no wildcard"), ("/a?x=1", "get", "query"),
        ("/a/../b", "get", "the path has a . or .. segment"),
        ("/${TENANT}/a", "get", "only a part of a segment"), ("/{x}/{x}", "get", "same parameter name"),
        ("/a b", "get", ""), ("/a", "trace", "TRACE"),
    ],
)  # fmt: skip
def test_what_no_route_can_stand_for_is_said(path: str, method: str, why: str) -> None:
    """It becomes a comment, never a pattern that covers more than the document says."""
    found = operation(path=path, method=method).unroutable
    assert found is not None
    assert why in found


def test_path_given_with_two_slashes_is_one_path() -> None:
    """As one of eGain's documents, or the SDK made of it, has it."""
    assert operation(path="//a//b", servers=[]).path == "/a/b"


def test_internal_operations_are_known() -> None:
    """Marked themselves or with their path."""
    paths: dict[str, Any] = {
        "/a": {"get": {"x-internal": True}, "put": {"x-internal": False}},
        "/b": {"x-internal": True, "get": {}},
    }
    assert [one.internal for one in doc(paths).operations] == [True, False, True]


def test_own_security_counts_also_when_it_is_empty() -> None:
    """Else the root's; nothing declared is not the same as nothing needed."""
    own, none, inherited = doc(
        {"/a": {"get": {"security": [READ]}, "put": {"security": []}, "post": {}}}, security=[CLIENT]
    ).operations
    assert [a.persona for a in own.security.alternatives] == ["user"]
    assert (none.security.open, none.security.alternatives) == (True, ())
    assert [a.persona for a in inherited.security.alternatives] == ["app"]
    assert not operation().security.declared


@pytest.mark.parametrize("written", ["x", {}, 5, True, [5], None], ids=repr)
def test_malformed_security_counts_as_undeclared(written: object) -> None:
    """Never as public."""
    found = operation({"security": written}, security=[READ]).security
    assert (found.declared, found.open) == (False, False)


def test_references_lead_to_paths_and_schemes() -> None:
    """Within the document, also escaped ones."""
    components = {
        "pathItems": {"a/b": {"get": {"operationId": "x", "security": [{"Mine": ["s"]}]}}},
        "securitySchemes": {"Mine": {"$ref": "#/components/x-shared/0"}},
        "x-shared": [{"type": "oauth2", "flows": {"clientCredentials": {"tokenUrl": "https://x/token"}}}],
    }
    (one,) = doc({"/a": {"$ref": "#/components/pathItems/a~1b"}}, components=components).operations
    assert (one.id, one.security.alternatives[0].persona) == ("x", "app")


def test_members_beside_the_reference_of_a_path_count() -> None:
    """Its own operations, and that all of it is internal."""
    item = {"$ref": "#/components/pathItems/a", "x-internal": True, "post": {"operationId": "own"}}
    components = {"pathItems": {"a": {"get": {"operationId": "there"}, "post": {"operationId": "hidden"}}}}
    found = doc({"/a": item}, components=components).operations
    assert {(one.method, one.id, one.internal) for one in found} == {
        ("GET", "there", True), ("POST", "own", True),
    }  # fmt: skip


@pytest.mark.parametrize("pointer", ["#/paths/~1a", "#/nowhere", "#x", "#/info/title/x"])
def test_reference_that_leads_nowhere_costs_its_path_only(pointer: str) -> None:
    """A circle, too; with a warning that has the line."""
    found = doc({"/a": {"$ref": pointer}, "/b": {"get": {}}})
    assert [one.path for one in found.operations] == ["/knowledge/portalmgr/v4/b"]
    assert len(found.flaws) == int(pointer != "#/info/title") == 1


@pytest.mark.parametrize(
    "root", [{"openapi": "2.0"}, {"swagger": "2.0"}, {"openapi": None}, {"openapi": ["3.0.0"]}]
)
def test_other_versions_are_refused(root: dict[str, Any]) -> None:
    """Swagger 2 says other things by the same words."""
    with pytest.raises(DocumentError, match="no OpenAPI 3"):
        document(read(str(root).replace("'", '"').replace("None", "null").encode()))


def flows(**found: dict[str, str]) -> dict[str, Any]:
    return {"components": {"securitySchemes": {"Mine": {"type": "oauth2", "flows": found}}}}


@pytest.mark.parametrize(
    ("components", "persona"),
    [
        (flows(clientCredentials={"tokenUrl": "https://x/oauth2/token"}), "app"),
        (flows(clientCredentials={"tokenUrl": "https://x/anonymous/token"}), "anonymous"),
        (flows(password={"tokenUrl": "https://x/onbehalfof/token?user_type=user"}), "obo_user"),
        (flows(password={"tokenUrl": "https://x/token?user_type=customer"}), "obo_customer"),
        (flows(password={"tokenUrl": "https://x/token"}), None),
        (flows(authorizationCode={"tokenUrl": "https://x/token?user_type=customer"}), "customer"),
        (flows(authorizationCode={"tokenUrl": "https://x/T-U/oauth2/token"}), "user"),
        (flows(authorizationCode={"tokenUrl": "https://x/${CUSTOMER_SIGNIN_POLICY_NAME}/token"}), "customer"),
        (flows(authorizationCode={"tokenUrl": "https://x/token"}), None),
        (flows(clientCredentials={"tokenUrl": "https://x/t"}, password={"tokenUrl": "https://x/t"}), None),
        (flows(clientCredentials={}), None),
        ({}, None),
    ],
)  # fmt: skip
def test_scheme_of_another_name_is_known_by_flow_and_token_url(
    components: dict[str, Any], persona: str | None
) -> None:
    """And is unknown where that does not tell."""
    (one,) = operation({"security": [{"Mine": ["s"]}]}, **components).security.alternatives
    assert one.persona == persona


@pytest.mark.parametrize(
    "name", ["oAuthAdminUser", "oAuthNoScopesUser", "oAuthNoScopesCustomer", "bearerAuth"]
)
def test_odd_schemes_are_nobodys(name: str) -> None:
    """Whatever their definition says."""
    scheme = {"type": "oauth2", "flows": {"authorizationCode": {"tokenUrl": "https://x?user_type=user"}}}
    found = operation({"security": [{name: ["s"]}]}, components={"securitySchemes": {name: scheme}})
    assert found.security.alternatives[0].persona == ("user" if name == "bearerAuth" else None)
    assert persona_of(name, None) is None


@pytest.mark.parametrize(
    ("written", "stripped"),
    [
        ("${SCOPE_PREFIX}knowledge.x.read", "knowledge.x.read"), ("https://api.egain.cloud/auth/a.b", "a.b"),
        ("https://api.egain.cloud/auth/.default", ".default"), ("a.b", "a.b"), (" a ", "a"),
    ],
)  # fmt: skip
def test_scopes_lose_their_prefix(written: str, stripped: str) -> None:
    """The credential's scope_prefix is put back when a token is requested."""
    assert plain(written) == stripped


def test_schemes_of_one_alternative_are_needed_together() -> None:
    """Two personas at once cannot be; an API key is the app's own business; `.default` beside a name says nothing."""
    keys: dict[str, Any] = {
        "components": {"securitySchemes": {"Key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}}
    }
    both, with_key, default = operation(
        {
            "security": [
                {**READ, **OBO_READ},
                {**ANONYMOUS_READ, "Key": []},
                {"oAuthClient": [".default", "app.x"]},
            ]
        },
        **keys,
    ).security.alternatives
    assert both.persona is None
    assert (with_key.persona, with_key.keys) == ("anonymous", ("Key",))
    assert default.scopes == ("app.x",)


@pytest.mark.parametrize("scope", ["a b", 'a"b', "", "é", "${OTHER}x"])
def test_scope_that_cannot_be_asked_for_makes_its_alternative_unusable(scope: str) -> None:
    """RFC 6749 section 3.3, and placeholders that nobody fills."""
    assert not operation({"security": [{"oAuthUser": [scope]}]}).security.alternatives[0].usable


@pytest.mark.parametrize("scopes", [["a", ["b"]], ["a", None], ["a", True], {"a": "b"}, None], ids=repr)
def test_scopes_that_are_no_texts_make_their_alternative_unusable(scopes: object) -> None:
    """Leaving one out would be another demand."""
    assert not operation({"security": [{"oAuthUser": scopes}]}).security.alternatives[0].usable


@pytest.mark.parametrize("name", [["x"], "", " x", "a\nb", "${HOME}", "x" * 201, "\u202e"])
def test_operation_id_that_cannot_be_a_name_is_none(name: object) -> None:
    """It would break a line, hide, or be replaced from the environment."""
    assert operation({"operationId": name}).id is None


def test_multiplication_within_a_document_is_bounded() -> None:
    """References and inheritance cost no more than the operations that a map can hold."""
    item = {"get": {"operationId": "x"}}
    many = {f"/a{n}": {"$ref": "#/paths/x-item"} for n in range(10_001)}
    with pytest.raises(DocumentError, match="more than 10000 operations"):
        doc({**many, "x-item": item})
    with pytest.raises(DocumentError, match="more than 50 items in one security"):
        operation(security=[READ] * 51)
    with pytest.raises(DocumentError, match="more than 50 items in one security"):
        operation(security=[{f"s{n}": [] for n in range(51)}])
    (one,) = operation({"security": [{"oAuthUser": [f"s{n}" for n in range(51)]}]}).security.alternatives
    assert not one.usable
    (one,) = operation({"security": [{"oAuthUser": ["x" * 1_000_000]}]}).security.alternatives
    assert not one.usable
    assert len(one.scopes[0]) <= 2000
    assert operation(path="/" + "a" * 3000).unroutable is not None
    assert operation(servers=[{"url": "/" + "b" * 3000}]).unroutable is not None


def test_permissions_are_found_in_lists_texts_and_under_names() -> None:
    """Their form is nowhere described."""
    for written in (
        ["app.a", "app.b"],
        "app.a, app.b",
        {"anyOf": ["app.a", "app.b"]},
        ["${SCOPE_PREFIX}app.a app.b"],
    ):
        assert operation({"x-egain-app-permissions": written}).permissions == ("app.a", "app.b")
    assert operation({"x-egain-app-permissions": 5}).permissions == ("5",)
    assert operation({"x-egain-app-permissions": {"a": {"b": ["c"]}}}).permissions == ()
