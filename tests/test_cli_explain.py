"""`auth-sidecar explain`: the same answer that a running sidecar gives, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli import patterns
from sidecar.cli.explain import Explanation, explain
from sidecar.routing.routes import RouteTable
from tests.commands import call, write
from tests.harness import RawUpstream, configuration, load_mapping, sidecar

U = "https://as.example/T-U/token"
CONFIGURATION: dict[str, Any] = {
    "upstream": {"url": "https://api.example/base"},
    "client": {"id": "x", "auth": "none"},
    "credentials": {
        "app": {"grant": "client_credentials", "token_url": U},
        "anonymous": {
            "grant": "anonymous",
            "token_url": "https://api.example/anon",
            "token_query": {"user_type": "customer", "domain_hint": "a b"},
            "scope_prefix": "https://api.example/auth/",
        },
        "agent": {
            "grant": "on_behalf_of",
            "token_url": U,
            "subject": {"username": {"header": "X-User"}},
            "allow_subjects": ["a*", "b"],
        },
        "fixed": {"grant": "on_behalf_of", "token_url": U, "subject": {"userid": {"value": "12345"}}},
        "claimed": {"grant": "on_behalf_of", "token_url": U, "subject": {"email": {"claim": "mail"}}},
        "okta": {"grant": "token_exchange", "token_url": U},
    },
    "identity": {"jwks_url": "https://idp.example/keys", "issuer": "i", "audience": "a", "header": "X-Jwt"},
    "routes": [
        {"path": "/a/**", "credential": "app", "scopes": ["app.x"], "name": "all of a"},
        {"path": "/a/{id}", "methods": ["GET", "POST"], "credential": "app", "scopes": ["z", "y"]},
        {"path": "/a/user", "methods": ["GET"], "credential": "agent", "scopes": ["o"], "name": "me"},
        {"path": "/anon", "credential": "anonymous", "scopes": ["knowledge.portalmgr.read"]},
        {"path": "/fixed", "credential": "fixed"},
        {"path": "/claimed", "credential": "claimed", "scopes": ["o"]},
        {"path": "/okta/", "credential": "okta", "scopes": ["s"]},
        {"path": "/open", "credential": "none"},
    ],
}


def explained(folder: Path, method: str, target: str, **changes: Any) -> Explanation:
    return explain(load_mapping({**CONFIGURATION, **changes}, folder), method, target)


def why(found: Explanation) -> str:
    return "\n".join(found.why)


def test_everything_about_a_mapped_request(tmp_path: Path) -> None:
    """The documented keys, each with its value."""
    path = write(tmp_path, CONFIGURATION)
    result = call("explain", "--json", path, "GET", "/a/user?x=1")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == {
        "method": "GET",
        "path": "/a/user",
        "route": "me",
        "credential": "agent",
        "grant": "on_behalf_of",
        "scopes": ["o"],
        "token_url": U,
        "subject": "username from header X-User",
        "answer": "forwarded to https://api.example/base/a/user?x=1",
    }


def test_for_people_it_names_the_line_and_the_reasons(tmp_path: Path) -> None:
    """Plain text when stdout is no terminal."""
    path = write(tmp_path, CONFIGURATION)
    text = call("explain", path, "HEAD", "/a//user").stdout
    line = path.read_text().splitlines().index("- path: /a/user") + 1
    assert f"me ({path}:{line})" in text
    assert "made canonical, the path is /a/user" in text
    assert "it beats /a/{id}: from the left, the literal user comes before {id}" in text
    assert "it beats /a/**: from the left, the literal user comes before **" in text
    assert "HEAD uses the GET route" in text
    assert "allow_subjects: a* b" in text
    assert "\x1b" not in text


def test_unmapped_request_is_explained_with_exit_0(tmp_path: Path) -> None:
    """route null, and what would be answered."""
    result = call("explain", "--json", write(tmp_path, CONFIGURATION), "GET", "/nothing")
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert (found["route"], found["credential"], found["scopes"]) == (None, None, [])
    assert found["answer"] == "403 route_not_mapped"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/okta", "a trailing / matters: /okta/ is covered"),
        ("/Open", "upper and lower case matter"),
        ("/okta/x", "the nearest are /okta/"),
        ("/A/User", "upper and lower case matter"),
    ],
)
def test_unmapped_request_is_told_what_is_near(tmp_path: Path, target: str, said: str) -> None:
    """A slash, a capital, the pattern that begins alike."""
    assert said in why(explained(tmp_path, "GET", target))


def test_unmapped_forward(tmp_path: Path) -> None:
    """Passed on, without a route and without a token."""
    found = explained(tmp_path, "GET", "/nothing?q", unmapped="forward")
    assert (found.route, found.credential) == (None, None)
    assert found.answer == "forwarded to https://api.example/base/nothing?q"


def test_method_not_allowed_says_that_the_path_decides_first(tmp_path: Path) -> None:
    """And which less specific pattern would have taken it."""
    found = explained(tmp_path, "POST", "/a/user")
    assert (found.answer, found.route) == ("405 method_not_allowed", None)
    assert "mapped for GET, HEAD only" in why(found)
    assert "/a/{id} takes POST, but it is not asked" in why(found)
    assert "/a/** takes POST" in why(found)


@pytest.mark.parametrize(
    ("target", "credential", "subject", "because"),
    [
        ("/a/b/c", "app", None, "one token for all callers"),
        ("/anon", "anonymous", None, "https://api.example/auth/ stands before each scope"),
        ("/fixed", "fixed", "userid, a fixed value of the configuration", "one token for all callers"),
        ("/claimed", "claimed", "email from claim mail of the caller's verified JWT (X-Jwt)", "401 subject"),
        ("/okta/", "okta", "the caller's bearer token (Authorization)", "401 subject_token_missing"),
        ("/open", "none", None, "sends no token"),
    ],
)
def test_where_the_subject_comes_from(
    tmp_path: Path, target: str, credential: str, subject: str | None, because: str
) -> None:
    """In words, and never who it is."""
    found = explained(tmp_path, "GET", target)
    assert (found.credential, found.subject) == (credential, subject)
    assert because in why(found)
    assert "12345" not in str(found)


def test_token_url_is_shown_with_its_query(tmp_path: Path) -> None:
    """As it is requested."""
    found = explained(tmp_path, "GET", "/anon")
    assert found.token_url == "https://api.example/anon?user_type=customer&domain_hint=a%20b"


def test_scopes_are_the_tokens(tmp_path: Path) -> None:
    """The route's in the order of the file; with union all of the credential's, the route's first."""
    assert explained(tmp_path, "GET", "/a/b").scopes == ("z", "y")
    found = explained(tmp_path, "GET", "/a/b", tokens={"scopes": "union"})
    assert found.scopes == ("z", "y", "app.x")
    assert "tokens.scopes is union" in why(found)
    assert "no scope parameter" in why(explained(tmp_path, "GET", "/fixed"))


URLS = [
    ("https://api.example/a/user?x", "forwarded to https://api.example/base/a/user?x"),
    ("http://localhost:8080/a/user?x", "forwarded to https://api.example/base/a/user?x"),
    ("http://[::1]:8080", "403 route_not_mapped"),
    ("http://localhost:8080//open", "forwarded to https://api.example/base/open"),
    ("http://evil.example/a/user", "421 host_not_allowed"),
    ("http://user@localhost/a/user", "400 bad_request"),
    ("ftp://localhost/a/user", "400 bad_request"),
]


@pytest.mark.parametrize(("url", "answer"), URLS)
def test_url_that_the_app_requests(tmp_path: Path, url: str, answer: str) -> None:
    """The upstream's (a program with HTTP_PROXY) or the sidecar's own; no other host."""
    assert explained(tmp_path, "GET", url).answer == answer


@pytest.mark.parametrize(
    ("method", "target", "said"),
    [("get", "/open", "try GET"), ("GET", "open/x", "try /open/x"), ("GET", "/a/../b", "send the path it")],
)
def test_what_is_refused_before_any_route_comes_with_a_hint(
    tmp_path: Path, method: str, target: str, said: str
) -> None:
    """Exit 0 for these, too: they are answers."""
    found = explained(tmp_path, method, target)
    assert found.answer.startswith("400 ")
    assert said in why(found)


@pytest.mark.parametrize("method", ["", "G ET", "GET\n", "GÉT", "a/b"])
def test_what_is_no_method_is_a_wrong_argument(tmp_path: Path, method: str) -> None:
    """Exit 2."""
    result = call("explain", write(tmp_path, CONFIGURATION), method, "/open")
    assert result.exit_code == 2
    assert "METHOD" in result.stderr


METHODS = ["GET", "HEAD", "POST", "PROPFIND", "TRACE", "CONNECT", "FOO", "get"]
TARGETS = [
    "/a",
    "/a/",
    "/a/user",
    "/a//user",
    "/a/%75ser",
    "/b/x/c",
    "/b/x",
    "/B",
    "/b/..",
    "/b%2Fx",
    "/b/{",
]


async def test_explain_agrees_with_a_running_sidecar(tmp_path: Path) -> None:
    """Every method with every target: the same status and code, or the same path at the upstream."""
    routes = [
        {"path": "/a/**", "credential": "none"},
        {"path": "/a/user", "methods": ["GET"], "credential": "none"},
        {"path": "/b/{x}/c", "methods": ["PROPFIND", "POST"], "credential": "none"},
        {"path": "/b/{x}", "methods": ["HEAD"], "credential": "none"},
    ]
    async with RawUpstream().running() as upstream:
        mapping = configuration(upstream.url, routes=routes)
        loaded = load_mapping(mapping, tmp_path)
        async with sidecar(mapping, tmp_path) as started:
            for method in METHODS:
                for target in TARGETS:
                    upstream.requests.clear()
                    answer = await started.ask(target, method=method)
                    said = explain(loaded, method, target).answer
                    if answer.error is None:
                        sent = upstream.requests[-1].line.split()[1]
                        assert said == f"forwarded to {upstream.url}{sent}", (method, target)
                    else:
                        assert said == f"{answer.status} {answer.error}", (method, target)


SEGMENT = st.sampled_from(["a", "b", "{x}", "{y}", ""])
PATTERN = st.builds(
    lambda parts, rest: "/" + "/".join([*(p or "a" for p in parts[:-1]), *parts[-1:], *rest]),
    st.lists(SEGMENT, max_size=3),
    st.sampled_from([[], ["**"]]),
)


@given(st.lists(PATTERN, min_size=1, max_size=8), st.lists(st.sampled_from(["a", "b", "c"]), max_size=4))
def test_the_first_covering_pattern_is_the_one_that_requests_get(known: list[str], parts: list[str]) -> None:
    """The words follow the route table's decision, whatever the patterns."""
    known = [pattern.replace("//", "/a/") for pattern in known]
    path = "/" + "/".join(parts)
    found = RouteTable((pattern, None, pattern) for pattern in known).find(path)
    listed = patterns.covering(known, path)
    assert (None if found is None else found.find("GET")) == next(iter(listed), None)
    for loser in listed[1:]:
        assert patterns.beaten_because(listed[0], loser)
