"""Whatever a document says: a map that loads without a warning, or an error in words. Never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.openapi.building import DocumentError
from sidecar.openapi.choosing import Plan
from sidecar.openapi.collecting import collect
from sidecar.openapi.mapfile import differences, read_map
from sidecar.openapi.operations import document
from sidecar.openapi.personas import PERSONAS
from sidecar.openapi.reading import read
from sidecar.openapi.rendering import render
from tests.map_check import strict_warnings

ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=6), st.sampled_from([[], {}, ["x"]])
)


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any] = ODD) -> st.SearchStrategy[Any]:
    """The usual, and one time in ten something else: a document that is all nonsense shows nothing."""
    return st.integers(0, 9).flatmap(lambda n: usual if n else odd)


def some(keys: st.SearchStrategy[str], values: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    return st.dictionaries(keys, values, min_size=1, max_size=most)


TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "${HOME}", "a: b", "x\n- path: /evil", "\u2028", "null", "#", "é"]),
)
SCHEMES = ("oAuthUser", "oAuthCustomer", "oAuthOnBehalfOfUser", "oAuthOnBehalfOfCustomer", "oAuthAnonymousCustomer",
           "oAuthClient", "oAuthAdminUser", "x-api-key", "Mine")  # fmt: skip
SCOPE = mostly(
    st.sampled_from(
        ["${SCOPE_PREFIX}.default", "${SCOPE_PREFIX}knowledge.portalmgr.read", "app.knowledge.portalmgr.read",
         "https://api.egain.cloud/auth/core.x.manage", "knowledge.portalmgr.onbehalfof.read", "a,b", "[x]", "null"]
    ),
    st.one_of(TEXT, st.sampled_from(["two words", '"', "\\", "${OTHER}x"])),
)  # fmt: skip
READ, MANAGE = "${SCOPE_PREFIX}knowledge.portalmgr.read", "${SCOPE_PREFIX}knowledge.portalmgr.manage"
USUAL: st.SearchStrategy[Any] = st.sampled_from(
    [
        {"oAuthUser": [READ]}, {"oAuthCustomer": [READ, MANAGE]}, {"oAuthAnonymousCustomer": [MANAGE]},
        {"oAuthOnBehalfOfUser": ["${SCOPE_PREFIX}knowledge.portalmgr.onbehalfof.read"]},
        {"oAuthOnBehalfOfCustomer": ["${SCOPE_PREFIX}knowledge.portalmgr.onbehalfof.manage"]},
        {"oAuthClient": ["${SCOPE_PREFIX}.default"]}, {"oAuthUser": [READ], "x-api-key": []},
    ]
)  # fmt: skip
FREE = some(mostly(st.sampled_from(SCHEMES), TEXT), mostly(st.lists(SCOPE, max_size=3)), 2)
REQUIREMENT = mostly(st.one_of(USUAL, USUAL, FREE), st.just({}))
SECURITY = mostly(st.lists(mostly(REQUIREMENT), min_size=1, max_size=4))
REFERENCE = st.sampled_from(
    ["#/paths/~1a", "#/components/x", "#", "#/", "#/paths", "#/components/pathItems/one"]
)
URL = mostly(st.sampled_from(["https://${API_DOMAIN}/x/v4", "//", "/{v}", "https://[", "${A}/b", "/y"]), TEXT)
SERVERS = mostly(
    st.lists(
        mostly(
            st.fixed_dictionaries(
                {"url": URL}, optional={"variables": mostly(some(TEXT, some(st.just("default"), TEXT, 1), 2))}
            )
        ),
        max_size=2,
    )
)
OPERATION = st.fixed_dictionaries(
    {"security": SECURITY},
    optional={
        "operationId": mostly(st.sampled_from(["one", "two", "three"]), st.one_of(TEXT, ODD)),
        "servers": SERVERS,
        "x-internal": mostly(st.booleans()),
        "x-egain-app-permissions": mostly(st.one_of(st.lists(SCOPE, max_size=3), SCOPE)),
    },
)
METHOD = st.sampled_from(
    ["get", "put", "post", "delete", "head", "options", "patch", "trace", "parameters", "x-y"]
)
ITEM = mostly(some(METHOD, mostly(OPERATION), 3), st.one_of(st.fixed_dictionaries({"$ref": REFERENCE}), ODD))
PATH = mostly(
    st.sampled_from(
        [
            "/a",
            "/a/{b}",
            "/a/{c}",
            "//a",
            "/a/**",
            "/{x}{y}",
            "a",
            "/a/",
            "/%zz",
            "/a?b",
            "/é",
            "x-p",
            "/:",
            "/a#b",
        ]
    ),
    TEXT,
)
FLOW = mostly(
    st.fixed_dictionaries({"tokenUrl": mostly(st.sampled_from(["/anonymous/", "?user_type=user"]), TEXT)})
)
KIND = st.sampled_from(["password", "clientCredentials", "authorizationCode", "implicit"])
DEFINITION = mostly(
    st.fixed_dictionaries(
        {"type": mostly(st.sampled_from(["oauth2", "oauth2", "apiKey", "http"]))},
        optional={"flows": mostly(some(KIND, FLOW, 2))},
    ),
    st.one_of(st.fixed_dictionaries({"$ref": REFERENCE}), ODD),
)
DOCUMENT = st.fixed_dictionaries(
    {"openapi": st.just("3.0.0"), "paths": mostly(some(PATH, ITEM, 5))},
    optional={
        "info": mostly(st.fixed_dictionaries({}, optional={"title": mostly(TEXT), "version": mostly(TEXT)})),
        "servers": SERVERS,
        "security": SECURITY,
        "components": mostly(
            st.fixed_dictionaries({"securitySchemes": mostly(some(st.sampled_from(SCHEMES), DEFINITION, 3))})
        ),
    },
)
PLAN = st.builds(
    Plan,
    st.permutations(PERSONAS).flatmap(
        lambda order: st.integers(1, len(order)).map(lambda n: tuple((f"c-{p}", p) for p in order[:n]))
    ),
    st.lists(st.sampled_from(PERSONAS), max_size=3).map(tuple),
    st.booleans(),
    st.sampled_from([None, None, "/base/v4", ""]),
    st.booleans(),
    st.booleans(),
)
GENEROUS = settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def as_yaml(mapping: dict[str, Any]) -> str:
    return yaml.safe_dump(mapping, allow_unicode=False)


@GENEROUS
@given(one=DOCUMENT, other=DOCUMENT, by=PLAN, written=st.sampled_from([json.dumps, as_yaml]))
def test_map_of_any_document_passes_check_strict(
    one: dict[str, Any],
    other: dict[str, Any],
    by: Plan,
    written: Callable[[dict[str, Any]], str],
    tmp_path: Path,
) -> None:
    """Odd security, references, servers, duplicates: two documents, one map, no warning; and it compares equal."""
    try:
        made = [
            (name, document(read(written(d).encode()), by.base_path))
            for name, d in (("1", one), ("2", other))
        ]
    except DocumentError as error:
        assert error.message.isprintable()  # noqa: PT017 - both ways are fine
        return
    text = render(collect(made, by), by)
    assert strict_warnings(text, by, tmp_path) == ()
    assert all(line == "" or line[0] in "#- []" for line in text.split("\n"))
    was = read_map(text.encode())
    assert was.flaws == ()
    assert was.plan is not None
    assert render(collect(made, was.plan), was.plan) == text
    assert differences(was, was) == []


@GENEROUS
@given(DOCUMENT, PLAN)
def test_every_public_operation_is_mapped_once_or_said_why_not(found: dict[str, Any], by: Plan) -> None:
    """None is lost, and only an explicit `security: []` or `{}` is public."""
    try:
        read_one = document(read(json.dumps(found).encode()), by.base_path)
    except DocumentError:
        return
    (section,) = collect([("x", read_one)], by)
    public = [one for one in read_one.operations if by.include_internal or not one.internal]
    assert len(section.mapped) + len(section.unmapped) == len(public)
    for mapped in section.mapped:
        if mapped.credential == "none":
            assert mapped.operation.security.open
        else:
            assert mapped.scopes
            assert mapped.credential in dict(by.credentials)
