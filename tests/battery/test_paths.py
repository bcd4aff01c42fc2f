"""Which path a request is for: one reading, the same for the route, the scopes and the upstream."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest

from tests.battery.stage import HOST, Stage, get, holder
from tests.harness import Sidecar

pytestmark = pytest.mark.battery

ROUTES = {
    "/": "s.root",
    "/admin": "s.admin",
    "/Admin": "s.otheradmin",
    "/portals/{portalID}": "s.portal",
    "/portals/{portalID}/": "s.slash",
    "/portals/admin/secret": "s.secret",
    "/a;x=1/b": "s.matrix",
    "/a/b": "s.ab",
    "/private": "s.private",
    "/public/status": "s.public",
    "/files/**": "s.files",
    "/articleTypes": "s.types",
    "/articletypes": "s.lower",
}


@pytest.fixture
async def proxy(stage: Stage) -> AsyncIterator[Sidecar]:
    """Each route has a scope of its own, which every token shows."""
    routes = [{"path": p, "credential": "app", "scopes": [s], "name": s} for p, s in ROUTES.items()]
    routes.append({"path": "/open/**", "credential": "none", "name": "open"})
    async with stage.sidecar(routes=routes) as started:
        yield started


@pytest.mark.parametrize(
    ("target", "sent", "scope"),
    [
        ("/", "/", "s.root"),
        ("//admin", "/admin", "s.admin"),
        ("/%61dmin", "/admin", "s.admin"),
        ("/%61%64%6D%69%6e", "/admin", "s.admin"),
        ("/Admin", "/Admin", "s.otheradmin"),
        ("/a//b", "/a/b", "s.ab"),
        ("///a///b", "/a/b", "s.ab"),
        ("/a;x=1/b", "/a;x=1/b", "s.matrix"),
        ("/a;x=1//b", "/a;x=1/b", "s.matrix"),
        ("/portals/x", "/portals/x", "s.portal"),
        ("/portals/x/", "/portals/x/", "s.slash"),
        ("/portals//x//", "/portals/x/", "s.slash"),
        ("/portals/admin%3b", "/portals/admin%3B", "s.portal"),
        ("/portals/admin;", "/portals/admin;", "s.portal"),
        ("/portals/%c3%a9", "/portals/%C3%A9", "s.portal"),
        ("/portals/%252e%252e", "/portals/%252e%252e", "s.portal"),
        ("/portals/%25%32%66", "/portals/%252f", "s.portal"),
        ("/portals/a%20b", "/portals/a%20b", "s.portal"),
        ("/portals/%3Fx", "/portals/%3Fx", "s.portal"),
        ("/portals/%7Ex", "/portals/~x", "s.portal"),
        ("/portals/...", "/portals/...", "s.portal"),
        ("/portals/.well-known", "/portals/.well-known", "s.portal"),
        ("/portals/admin/secret", "/portals/admin/secret", "s.secret"),
        ("/articleTypes", "/articleTypes", "s.types"),
        ("/articletypes", "/articletypes", "s.lower"),
        ("/files", "/files", "s.files"),
        ("/files/", "/files/", "s.files"),
        ("/files/a/b;c/d", "/files/a/b;c/d", "s.files"),
        ("/private?x=/public/status", "/private?x=/public/status", "s.private"),
        ("/private?/public/status", "/private?/public/status", "s.private"),
        ("/private?%2F..%2Fpublic%00%zz", "/private?%2F..%2Fpublic%00%zz", "s.private"),
        ("/private??x=1?", "/private??x=1?", "s.private"),
        ("/private?", "/private?", "s.private"),
    ],
)
async def test_scope_is_that_of_the_path_the_upstream_gets(
    proxy: Sidecar, stage: Stage, target: str, sent: str, scope: str
) -> None:
    """The canonical path is matched and sent; the query is neither looked at nor changed."""
    assert (await proxy.ask(target)).status == 200
    (request,) = stage.upstream.requests
    assert request.target == sent
    assert holder(request) == ("app", {scope})


@pytest.mark.parametrize(
    "path",
    [
        "/portals%2Fadmin",
        "/portals/x%2f",
        "/portals/%2e%2e/admin",
        "/portals/%2E/admin",
        "/portals/..%2fadmin",
        "/portals/..",
        "/portals/.",
        "/portals/../admin",
        "/portals/./admin",
        "/portals/..;/admin",
        "/portals/.;x/admin",
        "/portals/..;x=1/admin",
        "/portals/%2e%2e;/admin",
        "/portals\\..\\admin",
        "/portals/..\\admin",
        "/portals%5cadmin",
        "/portals/%5C..%5Cadmin",
        "/portals/x%00",
        "/portals/%00",
        "/portals/%u002f",
        "/portals/%u002e%u002e",
        "/portals/%",
        "/portals/%2",
        "/portals/%zz",
        "/portals/%-1",
        "/portals/%0a",
        "/portals/%0D%0aX:%20y",
        "/portals/%7f",
        "/portals/%1B[2J",
        "/portals/\xc0\xaf",
        "/portals/\xe2\x80\xae",
        '/portals/%x"',
        "/.",
        "/..",
        "/%2e",
        "//..",
        "/portals/x/%2e%2e/%2e%2e/admin",
    ],
    ids=lambda p: p.encode("unicode_escape").decode(),
)
async def test_path_that_servers_read_differently_is_refused(proxy: Sidecar, stage: Stage, path: str) -> None:
    """400, and neither the upstream nor the token endpoint hears of it."""
    answer = await proxy.ask(path)
    assert answer.status == 400
    assert answer.error == ("path_not_canonical" if path.isascii() else "bad_request")
    stage.nothing_happened(calls=len(ROUTES))


@pytest.mark.parametrize("path", ["/portals/%c0%af", "/portals/%c0%ae%c0%ae", "/portals/%e2%80%ae"])
async def test_overlong_encodings_stay_what_they_are(proxy: Sidecar, stage: Stage, path: str) -> None:
    """One segment here and one there: bytes that are no text are not decoded on either side."""
    assert (await proxy.ask(path)).status == 200
    assert (
        stage.upstream.requests[0].target
        == f"/portals/{path[9:].replace('%', ' ').upper().replace(' ', '%')}"
    )
    assert holder(stage.upstream.requests[0])[1] == {"s.portal"}


@pytest.mark.parametrize(
    ("target", "method", "error"),
    [
        ("/nowhere", "GET", "route_not_mapped"),
        ("/ADMIN", "GET", "route_not_mapped"),
        ("/admin/", "GET", "route_not_mapped"),
        ("/articleTYPES", "GET", "route_not_mapped"),
        ("/portals", "GET", "route_not_mapped"),
        ("/portals/", "GET", "route_not_mapped"),
        ("/portals/a/b", "GET", "route_not_mapped"),
        ("/a", "GET", "route_not_mapped"),
        ("/a;x=2/b", "GET", "route_not_mapped"),
        ("/metrics", "GET", "route_not_mapped"),
        ("/.auth/login", "GET", "route_not_mapped"),
    ],
)
async def test_what_no_route_covers_is_denied(
    proxy: Sidecar, stage: Stage, target: str, method: str, error: str
) -> None:
    """By default; nobody hears of it."""
    assert (await proxy.ask(target, method=method)).error == error
    stage.nothing_happened(calls=len(ROUTES))


async def test_route_without_a_credential_gets_no_token(proxy: Sidecar, stage: Stage) -> None:
    """Though one is held for its neighbours, and whatever the caller brings, in any spelling and number."""
    assert (await proxy.ask("/admin")).status == 200
    for fields in ((), ("Authorization: Bearer mine-own-one",), ("authorization: a", "AUTHORIZATION: b")):
        assert (await proxy.ask("/open/x", *fields)).status == 200
        assert stage.upstream.requests[-1].all("Authorization") == []


SEGMENTS = [("a", "{x}"), ("b", "{y}"), ("c", "{z}", "**")]
PATTERNS = ["/" + "/".join(parts) for parts in itertools.product(*SEGMENTS)]
PATHS = ["/" + "/".join(parts) for parts in itertools.product(("a", "p"), ("b", "q"), ("c", "r", "r/s"))]


def winner(path: str) -> str:
    """By the words of the contract: segment by segment from the left, literal before parameter before rest."""
    parts = path.strip("/").split("/")

    def covers(pattern: str) -> bool:
        mine = pattern.strip("/").split("/")
        if mine[-1] == "**":
            return all(m == p or m[0] == "{" for m, p in zip(mine[:-1], parts, strict=False))
        return len(mine) == len(parts) and all(
            m == p or m[0] == "{" for m, p in zip(mine, parts, strict=True)
        )

    rank = {"{": 1, "*": 2}
    return min(filter(covers, PATTERNS), key=lambda p: [rank.get(s[0], 0) for s in p.strip("/").split("/")])


@pytest.mark.parametrize("order", [1, -1], ids=["in order", "turned round"])
async def test_overlapping_templates_have_one_winner(stage: Stage, order: int) -> None:
    """Every two of these twelve overlap; the order in the file never matters."""
    scopes = {pattern: f"s.{number}" for number, pattern in enumerate(PATTERNS)}
    routes = [
        {"path": p, "credential": "app", "scopes": [scopes[p]], "name": f"r{scopes[p]}"} for p in PATTERNS
    ]
    async with stage.sidecar(routes=routes[::order]) as proxy:
        caller = await proxy.caller()
        for path in PATHS:
            assert (await caller.ask(path)).status == 200
            assert holder(stage.upstream.requests[-1])[1] == {scopes[winner(path)]}, path


async def test_methods_of_one_path_have_scopes_of_their_own(stage: Stage) -> None:
    """GET that needs manage, POST that needs only read; HEAD is GET's; what is not named is 405, without a token."""
    routes = [
        {"path": "/m/{id}", "methods": ["GET"], "credential": "app", "scopes": ["s.manage"], "name": "get"},
        {"path": "/m/{id}", "methods": ["POST"], "credential": "app", "scopes": ["s.read"], "name": "post"},
        {"path": "/m/fixed", "methods": ["GET"], "credential": "app", "scopes": ["s.fixed"], "name": "fixed"},
    ]
    wanted = [("GET", "/m/1", "s.manage"), ("HEAD", "/m/1", "s.manage"), ("POST", "/m/1", "s.read"),
              ("GET", "/m/fixed", "s.fixed"), ("HEAD", "/m/fixed", "s.fixed")]  # fmt: skip
    async with stage.sidecar(routes=routes) as proxy:
        for method, path, scope in wanted:
            await proxy.ask(path, method=method)
            assert holder(stage.upstream.requests[-1])[1] == {scope}
        for method, path, allow in (
            ("POST", "/m/fixed", "GET, HEAD"),
            ("DELETE", "/m/1", "GET, HEAD, POST"),
            ("PROPFIND", "/m/1", "GET, HEAD, POST"),
        ):
            answer = await proxy.ask(path, method=method)
            assert (answer.error, answer.all("Allow")) == ("method_not_allowed", [allow])
        assert len(stage.upstream.requests) == len(wanted)
        assert stage.tokens.calls == 3


@pytest.mark.parametrize(
    ("base", "path", "sent"),
    [("", "/x", "/x"), ("/", "/x", "/x"), ("/api", "/x", "/api/x"), ("/api/", "/x/", "/api/x/"),
     ("/api/v4/", "//x//", "/api/v4/x/"), ("/api", "/", "/api/"), ("/a%20b", "/x", "/a%20b/x")],
)  # fmt: skip
async def test_path_of_the_upstream_is_put_before(stage: Stage, base: str, path: str, sent: str) -> None:
    """No slash is lost or doubled, and the route is chosen without it."""
    routes = [{"path": "/**", "credential": "app", "scopes": ["s.all"], "name": "all"}]
    async with stage.sidecar(routes=routes, upstream={"url": stage.upstream.url + base}) as proxy:
        assert (await proxy.ask(path)).status == 200
        assert stage.upstream.requests[0].target == sent


async def test_absolute_form_is_matched_by_its_path_alone(proxy: Sidecar, stage: Stage) -> None:
    """Scheme and host are no part of what a route sees."""
    caller = await proxy.caller()
    await caller.send(get(f"http://127.0.0.1:{stage.upstream.port}//%61dmin?q=1"))
    assert (await caller.answer()).status == 200
    assert stage.upstream.requests[0].target == "/admin?q=1"
    assert holder(stage.upstream.requests[0])[1] == {"s.admin"}


async def test_long_paths_and_many_routes(stage: Stage) -> None:
    """Two thousand routes, a thousand segments: found or denied, each time the same."""
    routes = [
        {"path": f"/r{n}/{{a}}/x{n}/{{b}}", "credential": "app", "scopes": ["s.x"], "name": f"n{n}"}
        for n in range(2000)
    ]
    async with stage.sidecar(routes=routes) as proxy:
        caller = await proxy.caller()
        for n in (0, 777, 1999):
            assert (await caller.ask(f"/r{n}/1/x{n}/2")).status == 200
        deep = "/r1" + "/a" * 8000
        await caller.send(b"GET " + deep.encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await caller.answer()).error == "route_not_mapped"
