"""What the stand-in's authorization endpoint takes, and how it refuses the rest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import pytest

from sidecar.demo.signin.redirects import extended, registered
from sidecar.demo.signin.settings import SignInSettings
from sidecar.demo.standin import StandIn
from tests.form_browser import REDIRECT_URI, SignInPages

Changes = dict[str, str | None]


@pytest.fixture
async def alice(egain: StandIn) -> AsyncIterator[SignInPages]:
    pages = SignInPages(egain)
    yield pages
    await pages.browser.http.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "unknown"},
        {"redirect_uri": None},
        {"redirect_uri": "https://evil.example/"},
        {"redirect_uri": "https://app.example.com/.auth/callback/"},
        {"redirect_uri": "https://app.example.com/.auth/callback?x=1"},
        {"redirect_uri": "https://app.example.com:443/.auth/callback"},
        {"redirect_uri": "https://app.example.com@evil.example/.auth/callback"},
        {"redirect_uri": "http://localhost:8080/.auth/callback"},
        {"redirect_uri": "http://127.0.0.1:8080/.auth/callback#x"},
        {"redirect_uri": "http://127.0.0.1:8080@evil.example/callback"},
        {"redirect_uri": "http://127.0.0.1:70000/callback"},
        {"redirect_uri": "http://127.0.0.2:8080/callback"},
        {"redirect_uri": "https://127.0.0.1:8080/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"redirect_uri": "http://127.0.0.1:8080/callback\r\nX: y"},
    ],
    ids=str,
)
async def test_unknown_client_or_redirect_uri_is_told_to_the_person_and_never_redirected(
    egain: StandIn, alice: SignInPages, changes: Changes
) -> None:
    """RFC 6749 section 4.1.2.1: otherwise the server would be an open redirector."""
    page = await alice.browser.get(alice.url(**changes))
    assert (page.status, "Sign-in cannot go on" in page.text) == (400, True)
    assert egain.authorization_requests[-1].outcome == "error_page"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_repeated_client_or_redirect_uri_is_not_redirected(alice: SignInPages, name: str) -> None:
    """Which of both would it be?"""
    page = await alice.browser.get(f"{alice.url()}&{name}=x")
    assert (page.status, "more than once" in page.text) == (400, True)


REQUEST = "invalid_request"
REFUSED: list[tuple[Changes, str]] = [
    ({"response_type": None}, REQUEST),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "code id_token"}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, REQUEST),
    ({"request": "x"}, "request_not_supported"),
    ({"request_uri": "https://x.example/"}, "request_uri_not_supported"),
    ({"scope": None}, REQUEST),
    ({"scope": "unknown.read"}, "invalid_scope"),
    ({"scope": "app.knowledge.portalmgr.read"}, "invalid_scope"),
    ({"scope": "knowledge.portalmgr.onbehalfof.read"}, "invalid_scope"),
    ({"code_challenge_method": "plain"}, REQUEST),
    ({"code_challenge_method": None}, REQUEST),
    ({"code_challenge": None}, REQUEST),
    ({"code_challenge": "short"}, REQUEST),
    ({"code_challenge": "+" * 43}, REQUEST),
    ({"prompt": "none login"}, REQUEST),
    ({"prompt": "sometimes"}, REQUEST),
    ({"max_age": "-1"}, REQUEST),
    ({"max_age": "soon"}, REQUEST),
]


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize(("changes", "error"), REFUSED, ids=str)
async def test_other_errors_are_told_to_the_client_with_state_and_iss(
    egain: StandIn, changes: Changes, error: str, public: bool
) -> None:
    """RFC 6749 section 4.1.2.1, RFC 7636 section 4.4.1, RFC 9207 section 2; no page comes before."""
    pages = SignInPages(egain, public=public)
    async with pages.browser.http:
        back = await pages.browser.get(pages.url(**changes))
    assert back.url.startswith(REDIRECT_URI + "?")
    told = back.query
    assert told.pop("error_description")
    assert told == {"error": error, "state": "the state", "iss": egain.issuer}
    assert egain.authorization_requests[-1].outcome == error


async def test_repeated_parameter_is_told_to_the_client(alice: SignInPages) -> None:
    """RFC 6749 section 3.1; of two states none is sent back."""
    back = await alice.browser.get(alice.url() + "&scope=x")
    assert (back.query["error"], back.query["state"]) == ("invalid_request", "the state")
    back = await alice.browser.get(alice.url() + "&state=x")
    assert (back.query["error"], "state" in back.query) == ("invalid_request", False)


async def test_public_client_needs_a_challenge_and_the_confidential_one_does_not(egain: StandIn) -> None:
    """PKCE is the guide's condition for clients without a secret."""
    for public in (False, True):
        pages = SignInPages(egain, public=public)
        async with pages.browser.http:
            page = await pages.browser.get(pages.url(code_challenge=None, code_challenge_method=None))
        if public:
            assert page.query["error"] == "invalid_request"
        else:
            assert page.status == 200


async def test_scopes_and_flow_are_those_of_the_application(egain: StandIn, alice: SignInPages) -> None:
    """Assigned in the console first, as with the other flows."""
    client = egain.directory.clients[egain.client_id]
    egain.directory.register(replace(client, scopes=frozenset({"core.aiservices.read"})))
    assert (await alice.browser.get(alice.url())).query["error"] == "invalid_scope"
    egain.directory.register(replace(client, flows=frozenset({"client_credentials"})))
    assert (await alice.browser.get(alice.url())).query["error"] == "unauthorized_client"


async def test_state_is_the_clients_own_business(alice: SignInPages) -> None:
    """Whatever it is, it comes back as it was; without one there is none."""
    await alice.sign_in()
    for state in ("forged", "a b&c=d\r\nX-Y: z", "é\0", "s" * 2000):
        assert (await alice.browser.get(alice.url(state=state))).query["state"] == state
    assert "state" not in (await alice.browser.get(alice.url(state=None))).query


@pytest.mark.parametrize("body", [b"%ff=1", b"a;b"])
async def test_unreadable_query_is_an_error_page(egain: StandIn, body: bytes) -> None:
    """Not form-encoded UTF-8: there is nothing in it to go by."""
    parts = urlsplit(egain.user_authorization_url)
    reader, writer = await asyncio.open_connection("127.0.0.1", parts.port)
    head = b"GET %s?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % (parts.path.encode(), body)
    writer.write(head)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert egain.authorization_requests[-1].outcome == "error_page"


async def test_other_methods_are_refused(egain: StandIn, alice: SignInPages) -> None:
    """A HEAD must not make a code, a form must come as a form."""
    await alice.sign_in()
    http: aiohttp.ClientSession = alice.browser.http
    for method in ("HEAD", "POST", "PUT"):
        async with http.request(method, alice.url(), allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET")
    for name in ("login", "consent"):
        async with http.post(egain.oauth2("U", name), json={"decision": "allow"}) as answer:
            assert answer.status == 400


async def test_redirect_uris_are_configurable() -> None:
    """Exactly these; loopback addresses with any port remain."""
    mine = "https://mine.example/back?a=1"
    async with StandIn(sign_in=SignInSettings(redirect_uris=(mine,))) as egain:
        pages = SignInPages(egain)
        async with pages.browser.http:
            back = await pages.sign_in(redirect_uri=mine)
            assert back.url.startswith(f"{mine}&code=")
            assert (await pages.browser.get(pages.url())).status is None
            other = await pages.browser.get(pages.url(redirect_uri="https://app.example.com/.auth/callback"))
            assert other.status == 400


def test_loopback_address_is_registered_for_every_port() -> None:
    """RFC 8252 section 7.3, for both address families; anything else is compared as it stands."""
    known = ("http://127.0.0.1/cb", "http://[::1]/cb", "http://127.0.0.1:99/only", "https://a.example/")
    for uri in (*known, "http://127.0.0.1:1/cb", "http://[::1]:65535/cb"):
        assert registered(uri, known), uri
    for uri in (
        "http://127.0.0.1:0/cb",
        "http://127.0.0.1:1/cb2",
        "http://127.0.0.1:1/only",
        "http://127.0.0.1:/cb",
        "https://a.example:1/",
        "http://[::2]:1/cb",
        "http://127.0.0.1:٣/cb",
        "",
        "http://127.0.0.1:1/cb\n",
    ):
        assert not registered(uri, known), uri


def test_parameters_are_put_after_those_of_the_address() -> None:
    """RFC 6749 section 3.1.2: the query of the registered address stays."""
    assert extended("https://a/b?c=d", {"e": "f g"}) == "https://a/b?c=d&e=f+g"
    assert extended("https://a/b", {}) == "https://a/b"
