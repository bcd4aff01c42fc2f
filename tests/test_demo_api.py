"""The stand-in's API: who may do what, eGain's errors, and the record of what arrived."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import jwt
import pytest
from yarl import URL

from sidecar.demo.directory import PERSONAS, Persona
from sidecar.demo.standin import StandIn
from sidecar.demo.utility import PATTERN

PORTALS = "/knowledge/portalmgr/v4/portals"
READ = {
    "user": "knowledge.portalmgr.read",
    "customer": "knowledge.portalmgr.read",
    "anonymous": "knowledge.portalmgr.read",
    "obo_user": "knowledge.portalmgr.onbehalfof.read",
    "obo_customer": "knowledge.portalmgr.onbehalfof.read",
    "app": "app.knowledge.portalmgr.read",
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Accept-Language": "en-US"}


async def error_of(answer: aiohttp.ClientResponse) -> tuple[int, str]:
    body = await answer.json()
    assert body.keys() == {"code", "developerMessage", "details"}
    assert body["code"].startswith(f"{answer.status}-")
    return answer.status, body["code"]


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Basic eDp5", "Bearer", "Bearer garbage", "Bearer a.b.c", "token x"],
)
async def test_missing_or_unreadable_token_is_401_104(
    egain: StandIn, http: aiohttp.ClientSession, authorization: str | None
) -> None:
    """No token, none of ours, another scheme."""
    sent = {} if authorization is None else {"Authorization": authorization}
    async with http.get(egain.base + PORTALS, headers=sent) as answer:
        assert await error_of(answer) == (401, "401-104")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_token_of_another_issuer_or_with_a_changed_byte_is_401_104(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """The signature, the issuer and the audience are verified."""
    token = egain.issue("user", READ["user"])
    head, payload, signature = token.split(".")
    flipped = ("B" if payload[20] != "B" else "C").join([payload[:20], payload[21:]])
    async with StandIn() as other:
        foreign = other.issue("user", READ["user"])
    for wrong in (f"{head}.{flipped}.{signature}", foreign, egain.idp_token("alice@example.com")):
        async with http.get(egain.base + PORTALS, headers=headers(wrong)) as answer:
            assert await error_of(answer) == (401, "401-104")


async def test_two_authorization_fields_are_401_104(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Exactly one, or a proxy that appends instead of replacing would go unnoticed."""
    token = egain.issue("user", READ["user"])
    twice = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
    async with http.get(egain.base + PORTALS, headers=twice) as answer:
        assert await error_of(answer) == (401, "401-104")
    assert len(egain.api_requests[-1].all("authorization")) == 2


async def test_expired_and_revoked_tokens_are_401_101(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """A token is over at its end, when it is revoked, and when all are."""
    one, two = egain.issue("user", READ["user"]), egain.issue("user", READ["user"])
    egain.revoke(one)
    expired = egain.issue("user", READ["user"], lifetime=0)
    for token, expected in ((one, 401), (two, 200), (expired, 401)):
        async with http.get(egain.base + PORTALS, headers=headers(token)) as answer:
            assert answer.status == expected
            if expected == 401:
                assert await error_of(answer) == (401, "401-101")
                assert "invalid_token" in answer.headers["WWW-Authenticate"]
    egain.revoke_all()
    async with http.get(egain.base + PORTALS, headers=headers(two)) as answer:
        assert await error_of(answer) == (401, "401-101")
    async with http.get(egain.base + PORTALS, headers=headers(egain.issue("user", READ["user"]))) as answer:
        assert answer.status == 200


async def test_token_ends_to_the_millisecond(http: aiohttp.ClientSession) -> None:
    """`exp` is a whole second as anywhere, the end is exact: a token sent late is noticed."""

    class Wall:
        time = 1_800_000_000.9

        def now(self) -> float:
            return self.time

        def wall(self) -> float:
            return self.time

        def call_later(self, delay: float, callback: Any) -> Any:
            raise NotImplementedError

    clock = Wall()
    async with StandIn(clock=clock) as egain:
        token = egain.issue("user", READ["user"], lifetime=1)
        for moment, expected in ((1_800_000_001.899, 200), (1_800_000_001.9, 401)):
            clock.time = moment
            async with http.get(egain.base + PORTALS, headers=headers(token)) as answer:
                assert answer.status == expected


async def test_missing_scope_is_403_197_and_named(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """The right persona with another scope."""
    token = egain.issue("anonymous", "core.aiservices.read")
    async with http.get(egain.base + PORTALS, headers=headers(token)) as answer:
        assert await error_of(answer) == (403, "403-197")
        assert "'knowledge.portalmgr.read'" in (await answer.json())["developerMessage"]


async def test_both_scopes_of_an_alternative_are_needed(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Best answers take read and manage; the message names the one that is missing."""
    url = f"{egain.base}/core/aiservices/v4/PROD-1000/answers?q=why&$lang=en-US"
    token = egain.issue("anonymous", "core.aiservices.read")
    async with http.post(url, headers=headers(token), json={}) as answer:
        assert await error_of(answer) == (403, "403-197")
        assert "'core.aiservices.manage'" in (await answer.json())["developerMessage"]
    token = egain.issue("anonymous", "core.aiservices.read", "core.aiservices.manage")
    async with http.post(url, headers=headers(token), json={}) as answer:
        assert answer.status == 200


async def test_wrong_persona_is_403_112(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Even with the scope's name right: a client application has no user context."""
    token = egain.issue("app", READ["app"], READ["user"])
    async with http.get(f"{egain.base}{PORTALS}/user", headers=headers(token)) as answer:
        assert await error_of(answer) == (403, "403-112")
        assert "Client applications" in (await answer.json())["developerMessage"]


@pytest.mark.parametrize("language", [None, "", "xx", "q=1"])
async def test_accept_language_is_required(
    egain: StandIn, http: aiohttp.ClientSession, language: str | None
) -> None:
    """406-100 where eGain's documents require the field; browsers' and `*` values pass."""
    sent = headers(egain.issue("user", READ["user"]))
    del sent["Accept-Language"]
    async with http.get(
        egain.base + PORTALS, headers=sent | ({"Accept-Language": language} if language else {})
    ) as answer:
        assert await error_of(answer) == (406, "406-100")
    for right in ("de-DE", "xx, en;q=0.5", "*"):
        async with http.get(egain.base + PORTALS, headers=sent | {"Accept-Language": right}) as answer:
            assert answer.status == 200


async def test_unknown_things_are_404_and_405(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Path, id, method; without a token nothing is told."""
    sent = headers(egain.issue("user", READ["user"]))
    async with http.get(f"{egain.base}/nowhere") as answer:
        assert await error_of(answer) == (401, "401-104")
    async with http.get(f"{egain.base}/nowhere", headers=sent) as answer:
        assert await error_of(answer) == (404, "404-100")
    async with http.get(f"{egain.base}{PORTALS}/PROD-9", headers=sent) as answer:
        assert await error_of(answer) == (404, "404-101")
    async with http.post(f"{egain.base}{PORTALS}/user", headers=sent) as answer:
        assert await error_of(answer) == (405, "405-100")
        assert answer.headers["Allow"] == "GET"
    async with http.get(f"{egain.base}{PORTALS}?$pagesize=0", headers=sent) as answer:
        assert await error_of(answer) == (400, "400-101")


@pytest.mark.parametrize("persona", PERSONAS)
async def test_answer_tells_whom_it_was_made_for(
    egain: StandIn, http: aiohttp.ClientSession, persona: Persona
) -> None:
    """Subject, persona and scope are in every answer, so that a person sees which identity was used."""
    token = egain.issue(persona, READ[persona], subject="zoë")
    async with http.get(f"{egain.base}/demo/echo", headers=headers(token)) as answer:
        served = (await answer.json())["servedFor"]
    assert (served["subject"], served["persona"], served["scope"]) == ("zoë", persona, READ[persona])
    claims = egain.api_requests[-1].claims
    assert claims is not None
    assert (claims.subject, claims.persona, [*claims.scopes]) == ("zoë", persona, [READ[persona]])
    assert claims.id == served["tokenId"]


async def test_literal_path_beats_a_parameter(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """/portals/user is the user's details, not a portal called user."""
    sent = headers(egain.issue("obo_user", READ["obo_user"]))
    async with http.get(f"{egain.base}{PORTALS}/user", headers=sent) as answer:
        assert (await answer.json())["firstName"] == "alice"
    assert egain.api_requests[-1].operation == "getUserDetails"


async def test_articles_follow_paging_and_language(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """`$`-names work, encoded or not."""
    sent = headers(egain.issue("obo_user", READ["obo_user"]))
    for query in (
        "$filter[topicId]=PROD-1069&$lang=fr-FR&$pagenum=2&$pagesize=2",
        "%24lang=fr-FR&%24pagenum=2&%24pagesize=2",
    ):
        url = URL(f"{egain.base}{PORTALS}/PROD-1000/articles?{query}", encoded=True)
        async with http.get(url, headers=sent) as answer:
            told = await answer.json()
        assert [article["languageCode"] for article in told["articles"]] == ["fr-FR"]
        assert told["paginationInfo"] == {"count": 3, "pagenum": 2, "pagesize": 2}
    async with http.get(f"{egain.base}{PORTALS}/PROD-1000/articles/PROD-2996", headers=sent) as answer:
        assert (await answer.json())["name"] == "Fair Lending FAQs"


async def test_bookmarks_belong_to_their_subject(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Posted, listed, deleted; another subject sees nothing of it; reading does not permit changing."""
    url = f"{egain.base}{PORTALS}/PROD-1000/bookmarks"
    read, manage = READ["obo_customer"], "knowledge.portalmgr.onbehalfof.manage"
    jane = headers(egain.issue("obo_customer", read, manage, subject="jane@example.com"))
    john = headers(egain.issue("obo_customer", read, subject="john@example.com"))
    async with http.post(url, headers=john, json={"resourceId": "PROD-2996"}) as answer:
        assert await error_of(answer) == (403, "403-197")
    for wrong in (b"", b"[]", b"{", b"[" * 50_000, b'{"bookmarkName": "x"}'):
        async with http.post(url, headers=jane, data=wrong) as answer:
            assert await error_of(answer) == (400, "400-152")
    async with http.post(url, headers=jane, json={"resourceId": "PROD-2996"}) as answer:
        assert answer.status == 201
        location = answer.headers["Location"]
    for who, count in ((jane, 1), (john, 0)):
        async with http.get(url, headers=who) as answer:
            assert len((await answer.json())["bookmarks"]) == count
    async with http.delete(egain.base + location, headers=jane) as answer:
        assert answer.status == 204
    async with http.delete(egain.base + location, headers=jane) as answer:
        assert await error_of(answer) == (404, "404-101")


async def test_import_job_is_done_at_the_third_question(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """202 with a path-only Location, as eGain's long jobs."""
    token = egain.issue("app", "app.knowledge.contentmgr.read", "app.knowledge.contentmgr.manage")
    async with http.post(
        f"{egain.base}/knowledge/contentmgr/v4/import/content", headers=headers(token)
    ) as answer:
        assert answer.status == 202
        location = answer.headers["Location"]
    assert location.startswith("/knowledge/contentmgr/v4/import/content/")
    states = []
    for _ in range(3):
        async with http.get(egain.base + location, headers=headers(token)) as answer:
            states.append((await answer.json())["status"])
    assert states == ["In Progress", "In Progress", "Successful"]


ODD_TARGETS = [
    "/demo/echo/a%2fb%7E%2e/;x=1//y",
    "/demo/echo?$filter[tags]=a%2Fb&x=%7e&y=a+b%20c&z=%zz&e=&=&a=1&a=2;b=3",
    "/demo/echo?",
    "/demo/echo??a",
    "//demo//echo",
]


@pytest.mark.parametrize("target", ODD_TARGETS)
async def test_target_and_headers_are_recorded_byte_for_byte(egain: StandIn, target: str) -> None:
    """What a proxy did to a request can be told from the record."""
    token = egain.issue("app", READ["app"])
    port = URL(egain.base).port
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: x",
        f"aUTHORIZATION: Bearer {token}",
        "X-A: 1",
        "x-a:  2 ",
        "Connection: close",
    ]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    await reader.read()
    writer.close()
    await writer.wait_closed()
    seen = egain.api_requests[-1]
    assert (seen.method, seen.target) == ("GET", target.encode())
    assert seen.path + (b"" if seen.query is None else b"?" + seen.query) == target.encode()
    assert [name for name, _ in seen.headers] == [b"Host", b"aUTHORIZATION", b"X-A", b"x-a", b"Connection"]
    assert seen.all("x-a") == [b"1", b"2"]


async def test_body_is_counted_and_digested_as_it_came(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Also one that says it is compressed; the upload answers with the same figures."""
    body = b"\x1f\x8bnot really gzip" * 10_000
    sent = headers(egain.issue("app", "app.knowledge.portalmgr.manage")) | {"Content-Encoding": "gzip"}
    async with http.put(f"{egain.base}/demo/upload", headers=sent, data=body) as answer:
        told = await answer.json()
    digest = hashlib.sha256(body).hexdigest()
    seen = egain.api_requests[-1]
    assert (told["size"], told["sha256"]) == (seen.body_size, seen.body_sha256) == (len(body), digest)
    assert seen.status == 200


async def test_echo_repeats_everything_but_credentials(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Any method; the token is not in the answer."""
    token = egain.issue("app", READ["app"])
    async with http.request(
        "PURGE", f"{egain.base}/demo/echo/x?y", headers=headers(token), data=b"abc"
    ) as answer:
        told = await answer.json()
        assert token not in await answer.text()
    assert (told["method"], told["target"], told["bodySize"]) == ("PURGE", "/demo/echo/x?y", 3)
    assert ["Accept-Language", "en-US"] in told["headers"]


@pytest.mark.parametrize("code", [200, 204, 304, 404, 418, 429, 503])
async def test_any_status_can_be_had(egain: StandIn, http: aiohttp.ClientSession, code: int) -> None:
    """The status the path names; no body where none belongs."""
    sent = headers(egain.issue("app", READ["app"]))
    async with http.get(f"{egain.base}/demo/status/{code}", headers=sent) as answer:
        assert answer.status == code
        assert (await answer.read() == b"") == (code in (204, 304))
    async with http.get(f"{egain.base}/demo/status/99", headers=sent) as answer:
        assert await error_of(answer) == (400, "400-101")


async def test_streams_and_events_come_in_pieces(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Chunks, then server-sent events without an end; leaving is noticed."""
    sent = headers(egain.issue("app", READ["app"]))
    async with http.get(f"{egain.base}/demo/stream?chunks=3&interval_ms=1", headers=sent) as answer:
        assert answer.headers["Transfer-Encoding"] == "chunked"
        assert await answer.text() == "chunk 0\nchunk 1\nchunk 2\n"
    async with http.get(f"{egain.base}/demo/events?interval_ms=1", headers=sent) as answer:
        assert answer.content_type == "text/event-stream"
        lines = [await answer.content.readline() for _ in range(4)]
    assert (lines[0], lines[3]) == (b"id: 0\n", b"id: 1\n")
    assert READ["app"].encode() in lines[1]
    async with asyncio.timeout(10):
        while not egain.api_requests[-1].aborted:
            await asyncio.sleep(0.001)


async def test_big_body_has_the_known_pattern(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """As long as wished, and checkable."""
    sent = headers(egain.issue("app", READ["app"]))
    async with http.get(f"{egain.base}/demo/big?bytes=200001", headers=sent) as answer:
        assert answer.headers["Content-Length"] == "200001"
        assert await answer.read() == (PATTERN * 4)[:200001]


async def test_websocket_echoes_and_closes_as_told(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Text, binary, subprotocol, a close code of choice; without a token there is no upgrade."""
    sent = headers(egain.issue("app", READ["app"]))
    url = f"{egain.base}/demo/ws"
    with pytest.raises(aiohttp.WSServerHandshakeError, match="401"):
        await http.ws_connect(url)
    async with http.ws_connect(url, headers=sent, protocols=["egain.echo"]) as socket:
        assert socket.protocol == "egain.echo"
        await socket.send_str("hello")
        await socket.send_bytes(b"\0\1")
        await socket.send_str("whoami")
        assert await socket.receive_str() == "hello"
        assert await socket.receive_bytes() == b"\0\1"
        assert (await socket.receive_json())["persona"] == "app"
        await socket.send_str("close 4001")
        assert (await socket.receive()).data == 4001


async def test_identity_provider_publishes_its_keys(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """For sidecars that verify the caller's own token."""
    async with http.get(egain.idp_jwks_url) as answer:
        keys = jwt.PyJWKSet.from_dict(await answer.json())
    token = egain.idp_token("alice@example.com", department="x")
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["RS256"], issuer=egain.idp_issuer, audience=egain.idp_audience)
    assert (claims["email"], claims["department"]) == ("alice@example.com", "x")


async def test_records_are_bounded_and_reset(http: aiohttp.ClientSession) -> None:
    """A long run does not grow."""
    async with StandIn(remember=3) as egain:
        for _ in range(5):
            async with http.get(egain.base), http.post(egain.user_token_url):
                pass
        assert (len(egain.api_requests), len(egain.token_requests)) == (3, 3)
        egain.reset()
        assert (len(egain.api_requests), len(egain.token_requests)) == (0, 0)
