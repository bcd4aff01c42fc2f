"""From a canonical path and a method to a route."""

from __future__ import annotations

import itertools
import time

import pytest

from sidecar.routing.routes import RouteTable, is_parameter, shape

PATTERNS = [
    "/",
    "/portals",
    "/portals/",
    "/portals/user",
    "/portals/{portalID}",
    "/portals/{portalID}/articles",
    "/portals/{portalID}/articles/{articleID}",
    "/portals/user/**",
    "/a/b/d",
    "/a/{x}/c",
    "/{any}/b/d/e",
    "/deep/**",
    "/deep/{x}",
    "/**",
]

CASES = [
    ("/", "/"),
    ("/portals", "/portals"),
    ("/portals/", "/portals/"),
    ("/portals/user", "/portals/user"),
    ("/portals/USER", "/portals/{portalID}"),
    ("/portals/1", "/portals/{portalID}"),
    ("/portals/1/", "/**"),
    ("/portals/1/articles", "/portals/{portalID}/articles"),
    ("/portals/user/articles", "/portals/user/**"),
    ("/portals/1/articles/2", "/portals/{portalID}/articles/{articleID}"),
    ("/portals/1/articles/", "/**"),
    ("/a/b/c", "/a/{x}/c"),
    ("/a/b/d", "/a/b/d"),
    ("/a/b/d/e", "/{any}/b/d/e"),
    ("/deep", "/deep/**"),
    ("/deep/", "/deep/**"),
    ("/deep/1", "/deep/{x}"),
    ("/deep/1/2/3", "/deep/**"),
    ("/nothing/else", "/**"),
]


@pytest.mark.parametrize(("path", "expected"), CASES, ids=[path for path, _ in CASES])
@pytest.mark.parametrize("order", ["as written", "reversed"])
def test_literal_beats_parameter_beats_rest_whatever_the_order(path: str, expected: str, order: str) -> None:
    """The most specific pattern wins, compared from the left; the file's order never matters."""
    patterns = PATTERNS if order == "as written" else PATTERNS[::-1]
    found = RouteTable((p, None, p) for p in patterns).find(path)
    assert found is not None
    assert found.find("GET") == expected


@pytest.mark.parametrize("path", ["/x", "/a", "/a/", "/a//", "/a/b/c", "/A/b"])
def test_unknown_path_has_no_route(path: str) -> None:
    """Default deny: nothing is found unless a pattern covers the path; a parameter takes no empty segment."""
    assert RouteTable([("/a/{x}", None, 1)]).find(path) is None


def test_path_decides_before_the_method() -> None:
    """POST /a/user is not served by POST /a/{id} when /a/user has only GET."""
    table = RouteTable([("/a/user", ["GET"], "user"), ("/a/{id}", ["POST"], "id")])
    user = table.find("/a/user")
    assert user is not None
    assert user.find("POST") is None
    assert user.allowed() == ["GET", "HEAD"]


def test_head_uses_get_unless_named() -> None:
    """HEAD falls back to GET's route, not to another one's."""
    named = RouteTable(
        [("/a", ["GET"], "get"), ("/a", ["HEAD"], "head"), ("/b", ["GET"], "get"), ("/c", None, "all")]
    )
    assert [m and m.find("HEAD") for m in map(named.find, ("/a", "/b", "/c"))] == ["head", "get", "all"]


def test_all_methods_route_yields_to_a_named_method() -> None:
    """A route without methods serves what no other route of the same path names."""
    table = RouteTable([("/a", None, "all"), ("/a", ["PUT"], "put")])
    found = table.find("/a")
    assert found is not None
    assert (found.find("PUT"), found.find("PROPFIND")) == ("put", "all")


def test_maps_and_paths_made_to_be_slow_cost_no_more_than_the_map() -> None:
    """Every combination of literal and parameter over 11 levels, and a path of 20,000 segments, are walked."""
    combos = ["/" + "/".join(c) + "/end" for c in itertools.product(["a", "{p}"], repeat=11)]
    table = RouteTable((p, None, p) for p in combos)
    assert table.find("/" + "/".join(["a"] * 11) + "/other") is None
    assert table.find("/" + "/".join(["a"] * 20_000)) is None


def test_finding_a_route_takes_less_than_a_millisecond() -> None:
    """Of the processor: among two thousand routes, by paths of 8 KiB that nobody has asked for before."""
    table = RouteTable((f"/r{n}/{{a}}/x{n}/{{b}}", None, n) for n in range(2000))
    paths = [f"/r{n}/{'s' * 4000}/x{n}/{'t' * 4000}" for n in range(1000)]
    paths += [f"/r{n}" + "/a" * 4000 for n in range(1000)]
    began = time.process_time()
    assert sum(table.find(path) is not None for path in paths) == 1000
    assert time.process_time() - began < len(paths) * 0.001


def test_shape_ignores_parameter_names() -> None:
    """Two patterns that match the same paths have the same shape."""
    assert shape("/a/{b}/c/**") == shape("/a/{x}/c/**") == "/a/{}/c/**"


def test_paths_that_are_remembered_are_bounded_and_change_nothing() -> None:
    """More different paths than are remembered, each asked for twice: the same answers, and no growth without end."""
    table = RouteTable(
        [("/a/{id}", ["GET"], "one"), ("/a/fixed", ["GET"], "fixed"), ("/b/**", None, "below")]
    )
    for turn in range(2):
        for number in range(5000):
            assert table.find(f"/a/{number}") == {"GET": "one"}, turn
            assert table.find(f"/b/{number}/x") == {"*": "below"}
            assert table.find(f"/c/{number}") is None
        assert table.find("/a/fixed") == {"GET": "fixed"}
    assert table.find("/b/" + "x" * 10_000) == {"*": "below"}
    assert len(table._at_once) < 5000
    assert max(map(len, table._at_once)) < 1000


def test_allowed_methods_are_those_that_are_served() -> None:
    """HEAD comes with GET, once."""
    table = RouteTable(
        [("/a", ["POST"], 1), ("/b", ["GET", "POST"], 2), ("/c", ["HEAD", "GET"], 3), ("/d", None, 4)]
    )
    allowed = {
        path: found.allowed() for path in ("/a", "/b", "/c", "/d") if (found := table.find(path)) is not None
    }
    assert allowed == {"/a": ["POST"], "/b": ["GET", "HEAD", "POST"], "/c": ["GET", "HEAD"], "/d": []}


@pytest.mark.parametrize(
    ("segment", "is_one"), [("{a}", True), ("{}", True), ("{a", False), ("a}", False), ("", False)]
)
def test_parameter_is_a_whole_segment_in_braces(segment: str, is_one: bool) -> None:
    """One brace alone is an ordinary character."""
    assert is_parameter(segment) is is_one


def test_path_asked_for_again_is_remembered_within_bounds() -> None:
    """Long ones are not; many others push it out; the answer is the same each time."""
    table = RouteTable([("/{x}/end", None, "p"), ("/exact", None, "e")])
    short, longest, longer = "/a/end", f"/{'x' * 251}/end", f"/{'x' * 252}/end"
    assert len(longest) == 256
    for _ in range(2):
        for path in (short, longest, longer):
            found = table.find(path)
            assert found is not None
            assert found.find("GET") == "p"
    assert {short, longest} <= table._at_once.keys()
    assert longer not in table._at_once
    for number in range(5000):
        table.find(f"/{number}/end")
        assert len(table._at_once) <= 4096 + 1
    assert table.find("/exact") is not None
    assert table.find("/nothing") is None
    assert "/nothing" not in table._at_once
