"""The route file: for people to read and commit, and read back for `--diff` and `explain`."""

from __future__ import annotations

import time
from typing import Any

import pytest
import yaml

from sidecar.openapi.mapfile import MapFile, differences, origin_at, read_map
from sidecar.openapi.rendering import quoted
from tests.openapi import ANONYMOUS_READ, CLIENT, OBO_READ, READ, doc, plan, rendered

BY = plan("agent=obo_user", "app=app")
PATHS: dict[str, Any] = {
    "/portals/{portalID}": {"get": {"operationId": "getPortal", "security": [READ, OBO_READ, CLIENT]}},
    "/portals/user": {
        "delete": {"operationId": "forget", "security": [CLIENT]},
        "get": {"operationId": "getUser", "security": [READ, OBO_READ]},
    },
    "/health": {"get": {"security": []}},
    "/search": {"get": {"operationId": "search", "security": [ANONYMOUS_READ]}},
    "/hidden": {"get": {"operationId": "hidden", "x-internal": True, "security": [CLIENT]}},
}
EXPECTED = """\
# Routes for `include:`, from OpenAPI documents. `auth-sidecar routes --diff` compares this file with newer
# documents; `auth-sidecar explain` says why a route is as it is.
#
# credentials: agent=obo_user app=app
# prefer: obo_user app
# source: test.yaml | Test | version 1 | sha256 {sha256}

# == Test (test.yaml) ==

# no token
- path: /knowledge/portalmgr/v4/health
  methods: [GET]
  credential: none

# user: knowledge.portalmgr.read | obo_user: knowledge.portalmgr.onbehalfof.read
- path: /knowledge/portalmgr/v4/portals/user
  methods: [GET]
  credential: agent
  scopes: [knowledge.portalmgr.onbehalfof.read]
  name: getUser
# app: .default
- path: /knowledge/portalmgr/v4/portals/user
  methods: [DELETE]
  credential: app
  scopes: [app.knowledge.portalmgr.manage]  # inferred
  name: forget

# user: knowledge.portalmgr.read | obo_user: knowledge.portalmgr.onbehalfof.read | app: .default
- path: /knowledge/portalmgr/v4/portals/{{portalID}}
  methods: [GET]
  credential: agent
  scopes: [knowledge.portalmgr.onbehalfof.read]
  name: getPortal

# Without a route:
# GET /knowledge/portalmgr/v4/search (search): needs anonymous [knowledge.portalmgr.read]
"""


def test_map_is_as_people_read_it() -> None:
    """One block with title, version and digest; by path, then by method; comments for what cannot be called."""
    assert rendered(PATHS, BY) == EXPECTED.format(sha256=doc(PATHS).sha256)


def test_order_of_the_document_plays_no_part() -> None:
    """So that a difference after the next release is what really changed."""
    turned = dict(reversed(PATHS.items()))
    assert rendered(turned, BY).split("==")[1:] == rendered(PATHS, BY).split("==")[1:]


def test_map_without_a_route_is_a_list_all_the_same() -> None:
    """It can be included."""
    assert yaml.safe_load(rendered({"/a": {"get": {}}}, BY)) == []


@pytest.mark.parametrize(
    "text",
    ["", "a", "null", "true", "no", "12", "~", "a: b", "a #b", "[x]", "{x}", "é", "/a:", "/a/{b}", "a,b", "-",
     ".default", ".5", "x\\y", 'x"y', "a.b.read", "*x", "&x", "!x", "%x", "@x", "`x", "💡", "a'b", "https://api.egain.cloud/auth/x"],
)  # fmt: skip
def test_scalar_is_read_back_as_it_was(text: str) -> None:
    """In a mapping and in a list, by any YAML reader."""
    assert yaml.safe_load(f"a: {quoted(text)}\nb: [{quoted(text)}]\n") == {"a": text, "b": [text]}


def test_two_operations_for_the_same_requests_are_one_route() -> None:
    """Parameters' names aside: the second becomes a comment, and one name is on one route."""
    found = {"operationId": "x", "security": [CLIENT]}
    text = rendered({"/a/{b}": {"get": found}, "/a/{c}": {"get": found}, "/d": {"get": found}}, BY)
    assert [one.get("name") for one in yaml.safe_load(text)] == ["x", None]
    assert "# GET /knowledge/portalmgr/v4/a/{c} (x): stands for the same requests as GET" in text


def test_neighbour_that_gets_the_requests_of_an_unmapped_operation_is_named() -> None:
    """Only where it really would: the path decides first, then the method."""
    template = {"get": {"security": [CLIENT]}, "put": {"security": [CLIENT]}}
    text = rendered(
        {
            "/a/{id}": template,
            "/a/user": {"get": {"security": [ANONYMOUS_READ]}, "post": {"security": [ANONYMOUS_READ]}},
            "/a/me": {"get": {"security": [ANONYMOUS_READ]}, "put": {"security": [CLIENT]}},
        },
        BY,
    )
    base = "/knowledge/portalmgr/v4/a"
    needs = "needs anonymous [knowledge.portalmgr.read]"
    assert text.partition("# Without a route:\n")[2].splitlines() == [
        f"# GET {base}/me: {needs}",
        f"# GET {base}/user: {needs}; until it has a route, GET {base}/{{id}} gets its requests",
        f"# POST {base}/user: {needs}",
    ]
    other = text.replace(f"; until it has a route, GET {base}/{{id}} gets its requests", "")
    assert other != text
    assert differences(read_map(text.encode()), read_map(other.encode())) == [], "it has not changed itself"


def test_inherited_security_is_weighed_once_and_not_for_each_operation() -> None:
    """A small document whose operations all inherit as much as there may be."""
    security = [{"oAuthUser": [f"knowledge.{n:030}.{m}" for m in range(50)]} for n in range(50)]
    paths: dict[str, Any] = {f"/a{n}": {"get": {}} for n in range(2000)}
    began = time.process_time()
    text = rendered(paths, plan("app=app"), security=security)
    assert time.process_time() - began < 8
    assert text.count("needs user [knowledge.") == 2000


def test_titles_cannot_begin_a_line() -> None:
    """Whatever a document is called, the map has no more routes than it has operations."""
    evil = "x\n- path: /evil\n  credential: app\r- path: /evil2\u2028- path: /evil3"
    text = rendered(PATHS, BY, info={"title": evil, "version": evil})
    assert len(yaml.safe_load(text)) == 4
    text = rendered({"/a\n- path: /evil": {"get": {"operationId": evil, "security": [{evil: [evil]}]}}}, BY)
    assert yaml.safe_load(text) == []


def test_api_key_is_left_to_the_app_and_said() -> None:
    """A comment above the route."""
    schemes = {"securitySchemes": {"x-api-key": {"type": "apiKey", "name": "x-api-key", "in": "header"}}}
    text = rendered({"/a": {"get": {"security": [{**CLIENT, "x-api-key": []}]}}}, BY, components=schemes)
    assert "# besides, the app sends x-api-key itself\n- path: " in text


@pytest.mark.parametrize(
    "by",
    [
        BY,
        plan("x=app", "y=anonymous", prefer=("anonymous", "app"), include_internal=True),
        plan("x=app", superset=True, default_scope=True, base_path="/a/b"),
    ],
    ids=["plain", "preferred", "options"],
)
def test_header_says_what_the_map_was_made_with(by: Any) -> None:
    """Read back it makes the same map."""
    made = rendered(PATHS, by)
    was = read_map(made.encode()).plan
    assert was is not None
    assert rendered(PATHS, was) == made


@pytest.mark.parametrize("before", ["# Ours.\n\n", "---\n", "\n# yamllint disable\n---\n"])
def test_header_is_found_below_what_people_put_before_it(before: str) -> None:
    """A licence, a linter's comment, a document mark."""
    made = rendered(PATHS, BY)
    assert read_map((before + made).encode()).plan == read_map(made.encode()).plan is not None


def test_no_scheme_of_a_document_is_taken_for_the_header() -> None:
    """Comments below the header's end are the document's."""
    schemes = {"securitySchemes": {"options": {"type": "http", "scheme": "basic"}}}
    item = {"get": {"security": [{"options": ["--superset"]}, CLIENT]}}
    made = rendered({"/a": item}, BY, components=schemes)
    assert "\n# options: --superset" in made
    was = read_map(made.encode()).plan
    assert was is not None
    assert not was.superset


def test_line_ends_of_another_system_are_no_difference() -> None:
    """Git may have put them there."""
    made = rendered(PATHS, BY)
    assert "# Without a route:" in made
    other = read_map(made.replace("\n", "\r\n").encode())
    assert differences(read_map(made.encode()), other) == []


def lines(paths: dict[str, Any], by: Any = BY) -> MapFile:
    return read_map(rendered(paths, by).encode())


def changed(**paths: dict[str, Any]) -> list[str]:
    new = {**PATHS, **{f"/{name}": item for name, item in paths.items()}}
    return [f"{what} {line}" for what, line in differences(lines(PATHS), lines(new))]


def test_differences_are_the_operations_that_came_went_or_changed() -> None:
    """Also those that no credential can call; nothing that is only said otherwise."""
    base = "/knowledge/portalmgr/v4"
    assert changed() == []
    assert changed(new={"get": {"operationId": "isNew", "security": [CLIENT]}}) == [
        f"added GET {base}/new (isNew)"
    ]
    assert changed(new={"get": {"security": [ANONYMOUS_READ]}}) == [f"added GET {base}/new"]
    assert changed(search={}) == [f"removed GET {base}/search (search)"]
    assert changed(health={"get": {"security": [CLIENT]}}) == [f"changed GET {base}/health"]
    more = {"get": {"operationId": "search", "security": [ANONYMOUS_READ, CLIENT]}}
    assert changed(search=more) == [f"changed GET {base}/search (search)"]


def test_map_edited_by_hand_is_compared_as_it_is() -> None:
    """Several methods in one route, none, another credential, and no header at all."""
    by_hand = b"- {path: /a, methods: [GET, PUT], credential: x, scopes: [s]}\n- {path: /b, credential: x}\n"
    found = read_map(by_hand)
    assert found.plan is None
    assert [str(line) for line in found.lines.values()] == ["GET /a", "PUT /a", "* /b"]


@pytest.mark.parametrize("raw", [b"", b"a: b\n", b"- a: [\n", b"\xff", b"- a: !x y\n"])
def test_file_that_is_no_map_has_flaws(raw: bytes) -> None:
    """With lines, for people."""
    assert all(flaw.line >= 1 for flaw in read_map(raw).flaws)
    assert read_map(raw).flaws


def test_origin_of_a_route_is_told_by_the_lines_above_it() -> None:
    """Document, alternatives, and whether the scopes are inferred; nothing for a file made otherwise."""
    text = rendered(PATHS, BY)
    found = [origin_at(text, n) for n, line in enumerate(text.split("\n"), 1) if line.startswith("- ")]
    assert [one and (one.document, one.inferred) for one in found] == [
        ("Test (test.yaml)", inferred) for inferred in (False, False, True, False)
    ]
    assert found[1] is not None
    assert (
        found[1].alternatives
        == "user: knowledge.portalmgr.read | obo_user: knowledge.portalmgr.onbehalfof.read"
    )
    assert origin_at("- path: /a\n", 1) is None
    assert origin_at(text, 10_000) is None


def test_comments_of_ones_own_are_no_operations() -> None:
    """Only those under the map's own heading are read back."""
    text = rendered(PATHS, BY)
    own = text.replace("# no token\n", "# GET /x: ask the team first\n# no token\n")
    assert differences(read_map(text.encode()), read_map(own.encode())) == []
    assert sum("no route" in line.says for line in read_map(text.encode()).lines.values()) == 1
