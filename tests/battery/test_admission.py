"""Who may come in: Host, Origin, absolute-form targets, paths and methods."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.harness import RawUpstream, Sidecar, configuration, sidecar


@pytest.fixture
async def proxy(upstream: RawUpstream, tmp_path: Path) -> AsyncIterator[Sidecar]:
    routes = [
        {"path": "/portals/{portalID}", "credential": "none", "name": "one"},
        {"path": "/portals/user", "methods": ["GET", "PUT"], "credential": "none", "name": "user"},
        {"path": "/files/**", "credential": "none", "name": "files"},
    ]
    mapping = configuration(upstream.url, routes=routes, allowed_origins=["https://good.example"])
    async with sidecar(mapping, tmp_path) as started:
        yield started


async def status_for(
    proxy: Sidecar, *fields: str, target: str = "/files/x", method: str = "GET"
) -> tuple[int, str | None]:
    caller = await proxy.caller()
    lines = [f"{method} {target} HTTP/1.1", *fields, "", ""]
    await caller.send("\r\n".join(lines).encode("latin-1"))
    answer = await caller.answer(method)
    return answer.status, answer.error


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1234", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:8080", "localhost."],
)
async def test_own_names_are_accepted(proxy: Sidecar, host: str) -> None:
    """With any port, in any case, with one trailing dot."""
    assert await status_for(proxy, f"Host: {host}") == (200, None)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.2", "localhost..", "[::2]"]
)
async def test_other_hosts_are_421(proxy: Sidecar, upstream: RawUpstream, host: str) -> None:
    """A web page whose name was made to point here (DNS rebinding) reaches nothing."""
    assert await status_for(proxy, f"Host: {host}") == (421, "host_not_allowed")
    assert not upstream.requests


@pytest.mark.parametrize(
    "host", ["lo[calhost", "localhost]", "a[b]", "[]", "[zz]", "[127.0.0.1]", "[::1]x", "[::1].", "[::1]]"]
)
@pytest.mark.parametrize("form", ["Host", "target"])
async def test_brackets_around_anything_but_an_ipv6_address_are_malformed(
    proxy: Sidecar, upstream: RawUpstream, host: str, form: str
) -> None:
    """RFC 3986 section 3.2.2: 400, whether the Host field or an absolute-form target has them."""
    field, target = (host, "/files/x") if form == "Host" else ("localhost", f"http://{host}/files/x")
    assert await status_for(proxy, f"Host: {field}", target=target) == (400, "bad_request")
    assert not upstream.requests


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (["Origin: https://good.example"], 200),
        (["Origin: https://good.example", "Sec-Fetch-Site: cross-site"], 200),
        (["Origin: http://localhost:99"], 200),
        (["Sec-Fetch-Site: same-origin"], 200),
        (["Origin: https://evil.example"], 403),
        (["Origin: null"], 403),
        (["Origin: http://localhost"], 403),
        (["Origin: https://localhost:99"], 403),
        (["Origin:"], 403),
        (["Origin: https://good.example", "Origin: https://good.example"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Sec-Fetch-Site: Cross-Site"], 403),
        (["Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"], 403),
        (["Origin: http://localhost:99", "Sec-Fetch-Site: cross-site"], 403),
    ],
)
async def test_web_pages_elsewhere_cannot_use_the_sidecar(
    proxy: Sidecar, upstream: RawUpstream, fields: list[str], status: int
) -> None:
    """Nothing is sent for them, and nothing they could read comes back."""
    for method in ("GET", "OPTIONS", "POST"):
        found = await status_for(proxy, "Host: localhost:99", *fields, "Content-Length: 0", method=method)
        assert found == (status, None if status == 200 else "origin_not_allowed")
    assert len(upstream.requests) == (3 if status == 200 else 0)


async def test_absolute_form_of_the_upstream_is_served(proxy: Sidecar, upstream: RawUpstream) -> None:
    """For programs that set HTTP_PROXY; the path decides, the host must be the upstream's."""
    for target in (f"http://127.0.0.1:{upstream.port}/files//y?z", "HTTP://127.0.0.1/files/y?z"):
        assert await status_for(proxy, f"Host: 127.0.0.1:{upstream.port}", target=target) == (200, None)
        assert upstream.requests[-1].line == "GET /files/y?z HTTP/1.1"


@pytest.mark.parametrize(
    "target", ["http://evil.example/files/x", "http://127.0.0.1:1/files/x", "https://127.0.0.2/"]
)
async def test_absolute_form_of_another_host_is_421(
    proxy: Sidecar, upstream: RawUpstream, target: str
) -> None:
    """The token goes nowhere but to upstream.url, whatever Host says."""
    assert await status_for(proxy, "Host: localhost", target=target) == (421, "host_not_allowed")
    assert not upstream.requests


@pytest.mark.parametrize(
    "target",
    ["/files/../portals/1", "/files/%2e%2e/x", "/files/a%2fb", "/files/a%00", "/files/%zz", "/files/a#b"],
)
async def test_path_that_is_not_canonical_is_refused(
    proxy: Sidecar, upstream: RawUpstream, target: str
) -> None:
    """What servers read differently never gets as far as a route."""
    assert await status_for(proxy, "Host: localhost", target=target) == (400, "path_not_canonical")
    assert not upstream.requests


async def test_what_is_matched_is_what_is_sent(proxy: Sidecar, upstream: RawUpstream) -> None:
    """The canonical path, and the query byte for byte."""
    query = "?$filter[tags]=a%2Fb&x=%7e&y=a+b%20c&z=%zz&e&=&a=1&a=2;b=3"
    assert (await proxy.ask("//files//%61%7e%c3%a9;x=1" + query)).status == 200
    assert upstream.requests[-1].line == f"GET /files/a~%C3%A9;x=1{query} HTTP/1.1"
    assert (await proxy.ask("/files?")).status == 200
    assert upstream.requests[-1].line == "GET /files? HTTP/1.1"


async def test_unmapped_is_denied_and_unknown_methods_are_405(proxy: Sidecar, upstream: RawUpstream) -> None:
    """The path decides first; `Allow` lists what there is."""
    assert (await proxy.ask("/nothing")).error == "route_not_mapped"
    assert (await proxy.ask("/PORTALS/user")).error == "route_not_mapped"
    answer = await proxy.ask("/portals/user", method="POST")
    assert (answer.status, answer.error, answer.all("Allow")) == (
        405,
        "method_not_allowed",
        ["GET, HEAD, PUT"],
    )
    assert not upstream.requests
    assert (await proxy.ask("/portals/user", method="HEAD")).status == 200


async def test_unmapped_can_be_forwarded_without_a_token(upstream: RawUpstream, tmp_path: Path) -> None:
    """`unmapped: forward`: pass on, Authorization removed."""
    async with sidecar(configuration(upstream.url, routes=[], unmapped="forward"), tmp_path) as started:
        assert (await started.ask("/any", "Authorization: Bearer mine")).status == 200
        assert upstream.requests[0].all("Authorization") == []
        assert await started.metric("auth_sidecar_requests_total", route="(unmapped)", status="200") == 1


async def test_no_header_influences_route_method_or_destination(
    proxy: Sidecar, upstream: RawUpstream
) -> None:
    """They cross, and that is all."""
    fields = [
        "X-HTTP-Method-Override: DELETE", "X-Original-URL: /portals/user", "X-Forwarded-Host: evil.example",
        "X-Forwarded-Prefix: /x", "X-Rewrite-URL: /portals/user", "Forwarded: host=evil.example",
    ]  # fmt: skip
    assert (await proxy.ask("/files/x", *fields)).status == 200
    assert upstream.requests[0].line == "GET /files/x HTTP/1.1"
    assert [f"{n}: {v}" for n, v in upstream.requests[0].headers[1:]] == fields


async def test_errors_are_problem_documents(proxy: Sidecar) -> None:
    """RFC 9457, with the code in a header that upstreams cannot forge; HEAD gets the head alone."""
    answer = await proxy.ask("/nothing/<script>")
    assert answer.all("Content-Type") == ["application/problem+json"]
    found = json.loads(answer.body)
    assert found["type"] == "urn:auth-sidecar:route_not_mapped"
    assert (found["status"], found["code"], found["title"]) == (
        403,
        "route_not_mapped",
        "No route for this path",
    )
    assert b"script" not in answer.body
    head = await proxy.ask("/nothing", method="HEAD")
    assert (head.status, head.error, head.body) == (403, "route_not_mapped", b"")


async def test_hostile_requests_make_no_metric_series(proxy: Sidecar) -> None:
    """Labels come from the configuration, whatever is asked for."""

    async def series() -> int:
        return sum(line.startswith("auth_sidecar_") for line in (await proxy.metrics()).splitlines())

    caller = await proxy.caller()
    await caller.ask("/x0")
    await caller.ask("/files/0", method="PROPFIND")
    before = await series()
    for n in range(100):
        await caller.ask(f"/x{n}", f"X-{n}: y")
        await caller.ask(f"/files/{n}", method=["PROPFIND", "REPORT", "SEARCH", "MKCOL"][n % 4])
    assert await series() == before
    assert await proxy.metric("auth_sidecar_requests_total", route="files", method="(other)") == 101
