"""The admin pages over real sockets: who gets what, and what never leaves."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from sidecar.admin import AdminState, runner
from sidecar.secret import Secret
from sidecar.tokens.view import TokenView
from tests.admin_state import EMPTY, HELD, StubState, view

PAGES = ("/healthz", "/readyz", "/metrics", "/status", "/status.json", "/config")


class Client:
    """Requests to one admin listener."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self.session, self.base = session, base

    async def get(self, path: str, method: str = "GET", **headers: str) -> tuple[aiohttp.ClientResponse, str]:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.session.request(
            method, self.base + path, headers=fields, allow_redirects=False
        ) as response:
            return response, await response.text()


@pytest.fixture
def state() -> StubState:
    return StubState(views=[HELD], effective={"listen": "127.0.0.1:8080"})


@pytest.fixture
async def client(state: AdminState) -> AsyncIterator[Client]:
    listening = runner(state)
    await listening.setup()
    await web.TCPSite(listening, "127.0.0.1", 0).start()
    async with aiohttp.ClientSession() as session:
        yield Client(session, f"http://127.0.0.1:{listening.addresses[0][1]}")
    await listening.cleanup()


async def test_healthz_is_200_whatever_else_is_wrong(client: Client, state: StubState) -> None:
    """Also while draining and without a single token: restarting would help nobody."""
    state.draining, state.missing_tokens, state.views = True, ["app"], [EMPTY]
    response, text = await client.get("/healthz")
    assert (response.status, json.loads(text)) == (200, {"status": "ok"})


async def test_healthz_looks_at_nothing(
    client: Client, state: StubState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe must not depend on how many tokens there are."""

    def touched() -> Sequence[TokenView]:
        raise AssertionError("healthz asked for tokens")

    monkeypatch.setattr(state, "tokens", touched)
    monkeypatch.setattr(state, "missing", touched)
    response, _ = await client.get("/healthz")
    assert response.status == 200


@pytest.mark.parametrize(
    ("missing", "draining", "status", "body"),
    [
        ([], False, 200, []),
        (["app: app.read"], False, 503, ["app: app.read"]),
        ([], True, 503, ["draining"]),
        (["app: app.read"], True, 503, ["app: app.read", "draining"]),
    ],
)
async def test_readyz_lists_what_is_missing(
    client: Client, state: StubState, missing: list[str], draining: bool, status: int, body: list[str]
) -> None:
    """200 and an empty list when nothing is; draining counts as missing."""
    state.missing_tokens, state.draining = missing, draining
    response, text = await client.get("/readyz")
    assert (response.status, json.loads(text)) == (status, body)


async def test_metrics_are_served_as_prometheus_reads_them(client: Client, state: StubState) -> None:
    """Text by default, OpenMetrics for who asks."""
    state.metrics.route("r").finished("GET", 200, 0.1)
    response, text = await client.get("/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "auth_sidecar_requests" in {family.name for family in text_string_to_metric_families(text)}
    response, text = await client.get("/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert response.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_status_is_a_page_and_status_json_the_same_for_machines(
    client: Client, state: StubState
) -> None:
    """Both show the token and the route."""
    state.metrics.route("get-articles").finished("GET", 200, 0.1)
    response, page = await client.get("/status")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "app.read" in page
    assert "get-articles" in page
    response, text = await client.get("/status.json")
    assert response.headers["Content-Type"] == "application/json"
    document = json.loads(text)
    assert document["ready"] is True
    assert document["tokens"][0]["scopes"] == ["app.read"]
    assert document["routes"][0]["label"] == "get-articles"
    assert document["upstream_connections"] == {"idle": 3, "busy": 2}


async def test_config_is_the_effective_configuration(client: Client, state: StubState) -> None:
    """As it was handed over; a secret that slipped in prints as <secret>."""
    state.effective = {"client": {"secret": "file /run/secret"}, "slipped": Secret("canary")}
    response, text = await client.get("/config")
    assert response.status == 200
    assert json.loads(text) == {"client": {"secret": "file /run/secret"}, "slipped": "<secret>"}


async def test_the_root_leads_to_the_status_page(client: Client) -> None:
    """Relative, so that it works behind a path prefix."""
    response, _ = await client.get("/")
    assert (response.status, response.headers["Location"]) == (302, "status")


@pytest.mark.parametrize(
    "path", ["/nope", "/metrics/", "/status/x", "/%2e%2e/etc/passwd", "//healthz", "/favicon.ico"]
)
async def test_anything_else_is_404_and_not_repeated(client: Client, path: str) -> None:
    """In the shape of every other error."""
    response, text = await client.get(path + "?canary=1")
    assert response.status == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    document = json.loads(text)
    assert (document["code"], document["status"]) == ("not_found", 404)
    assert "canary" not in text
    assert path not in text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
@pytest.mark.parametrize("path", ["/status", "/nope"])
async def test_only_get_and_head_are_served(client: Client, method: str, path: str) -> None:
    """405 says which are."""
    response, text = await client.get(path, method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
    assert json.loads(text)["code"] == "method_not_allowed"


@pytest.mark.parametrize("path", PAGES)
async def test_head_is_get_without_the_body(client: Client, path: str) -> None:
    """Same status, type and headers."""
    (get, text), (head, nothing) = await client.get(path), await client.get(path, "HEAD")
    assert nothing == ""
    assert head.status == get.status
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0
    assert text


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Sec_Fetch_Site": "strange"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
async def test_other_sites_are_refused(client: Client, headers: dict[str, str], method: str) -> None:
    """Preflights included; no header allows anything."""
    for path in (*PAGES, "/nope"):
        response, text = await client.get(path, method, **headers)
        assert response.status == 403, path
        assert json.loads(text)["code"] == "origin_not_allowed"
        assert not [name for name in response.headers if name.lower().startswith("access-control-")]


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_the_page_itself_and_a_typed_address_are_served(client: Client, site: str) -> None:
    """What a browser sends for a bookmark and for the page's own links."""
    response, _ = await client.get("/status", Sec_Fetch_Site=site, Origin=client.base)
    assert response.status == 200


@pytest.mark.parametrize("host", ["10.1.2.3:8081", "sidecar.default.svc:8081", "evil.example"])
async def test_any_host_is_served(client: Client, host: str) -> None:
    """Prometheus comes by the pod's address."""
    response, _ = await client.get("/metrics", Host=host)
    assert response.status == 200


@pytest.mark.parametrize("path", [*PAGES, "/", "/nope"])
async def test_every_answer_is_hardened(client: Client, path: str) -> None:
    """Not stored, not framed, not sniffed, no scripts, and no word on what serves it."""
    response, _ = await client.get(path)
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "Server" not in response.headers
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_a_page_that_fails_says_nothing_of_why(
    client: Client, state: StubState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """500 with a code; the listener goes on."""

    def broken() -> Sequence[TokenView]:
        raise ValueError("canary")

    monkeypatch.setattr(state, "tokens", broken)
    response, text = await client.get("/status")
    assert (response.status, json.loads(text)["code"]) == (500, "internal_error")
    assert "canary" not in text
    response, _ = await client.get("/healthz")
    assert response.status == 200
    capsys.readouterr()


async def test_ten_thousand_tokens_make_a_bounded_answer(client: Client, state: StubState) -> None:
    """200 are listed, the rest is a number."""
    state.views = [view(credential="agent", subject=f"{n:016x}") for n in range(10_000)]
    _, page = await client.get("/status")
    assert page.count("<article") == 200
    assert "9\u202f800 more" in page
    _, text = await client.get("/status.json")
    document = json.loads(text)
    assert (len(document["tokens"]), document["tokens_total"], document["tokens_held"]) == (
        200,
        10_000,
        10_000,
    )
