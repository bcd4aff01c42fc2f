"""What the stand-in can be made to do wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sidecar.demo.faults import Literally, TokenFaultKind
from sidecar.demo.standin import StandIn

GONE = (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionResetError)
ECHO = "/demo/echo"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def token_request(egain: StandIn) -> dict[str, str]:
    client = {"client_id": egain.client_id, "client_secret": egain.client_secret}
    return client | {
        "grant_type": "client_credentials",
        "scope": "app.knowledge.portalmgr.read app.knowledge.portalmgr.manage",
    }


def bearer(egain: StandIn) -> dict[str, str]:
    return {"Authorization": f"Bearer {egain.issue('app', 'app.knowledge.portalmgr.read')}"}


async def post(egain: StandIn, http: aiohttp.ClientSession) -> tuple[int, bytes, str | None]:
    async with http.post(egain.user_token_url, data=token_request(egain)) as answer:
        return answer.status, await answer.read(), answer.headers.get("Retry-After")


@pytest.mark.parametrize("kind", ["down", "close"])
async def test_token_endpoint_can_be_down_for_a_number_of_requests(
    egain: StandIn, http: aiohttp.ClientSession, kind: TokenFaultKind
) -> None:
    """Reset or closed without an answer, twice; then normal again."""
    egain.faults.token.on(kind=kind, times=2)
    for _ in range(2):
        with pytest.raises(GONE):
            await post(egain, http)
        assert egain.token_requests[-1].status is None
    assert (await post(egain, http))[0] == 200
    assert len(egain.token_requests) == 3


async def test_down_is_a_reset(egain: StandIn) -> None:
    """RST, not FIN."""
    egain.faults.token.on(kind="down")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(egain.base.rpartition(":")[2]))
    path = egain.user_token_url.removeprefix(egain.base)
    writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.close()
    with pytest.raises(ConnectionResetError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("fault", "status", "body", "retry_after"),
    [
        ({"kind": "status", "status": 503, "retry_after": "7"}, 503, b"", "7"),
        ({"kind": "status", "status": 200, "body": "[1]"}, 200, b"[1]", None),
        ({"kind": "throttled"}, 429, b'{"error": "temporarily_unavailable"}', "1"),
        ({"kind": "throttled", "retry_after": "30"}, 429, b'{"error": "temporarily_unavailable"}', "30"),
        ({"kind": "garbage"}, 200, b'{"access_tok', None),
        ({"kind": "empty"}, 200, b"", None),
        ({"kind": "html"}, 200, b"<html><h1>Please sign in</h1></html>", None),
        ({"kind": "error", "error": "invalid_scope"}, 400,
         b'{"error": "invalid_scope", "error_description": "as told"}', None),
        ({"kind": "error", "error": "invalid_client", "status": 401}, 401,
         b'{"error": "invalid_client", "error_description": "as told"}', None),
    ],
    ids=str,
)  # fmt: skip
async def test_token_endpoint_can_answer_badly(
    egain: StandIn,
    http: aiohttp.ClientSession,
    fault: dict[str, Any],
    status: int,
    body: bytes,
    retry_after: str | None,
) -> None:
    """Statuses, errors, and 200 without a token."""
    egain.faults.token.on(**fault)
    assert await post(egain, http) == (status, body, retry_after)
    assert egain.token_requests[-1].status == status
    assert egain.token_requests[-1].access_token is None
    egain.faults.clear()
    assert (await post(egain, http))[0] == 200


async def test_redirects_can_be_tried_on_the_client(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Any header field."""
    egain.faults.token.on(kind="status", status=302, headers={"Location": "https://evil.example/"})
    async with http.post(egain.user_token_url, allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (302, "https://evil.example/")


@pytest.mark.parametrize(
    ("value", "text"),
    [("3600", '"3600"'), (None, "null"), (-1, "-1"), (True, "true"), ([], "[]"),
     (Literally("1e999"), "1e999"), (Literally("9" * 5000), "9" * 5000), (Literally("NaN"), "NaN"),
     (10**25, "1" + "0" * 25)],
    ids=lambda value: str(value)[:12],
)  # fmt: skip
async def test_expires_in_can_be_any_json(
    egain: StandIn, http: aiohttp.ClientSession, value: object, text: str
) -> None:
    """Put into an otherwise good answer, also what Python would not write."""
    egain.faults.token.on(set={"expires_in": value})
    _, body, _ = await post(egain, http)
    assert f'"expires_in": {text}, ' in body.decode()
    token = egain.token_requests[-1].access_token
    assert token is not None
    assert token in body.decode()


async def test_members_of_the_answer_can_be_left_out_or_replaced(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """No expires_in, another token_type, another access_token."""
    egain.faults.token.on(omit=["expires_in", "scope"], set={"token_type": "mac", "access_token": "Bearer x"})
    _, body, _ = await post(egain, http)
    assert json.loads(body) == {"access_token": "Bearer x", "token_type": "mac"}


async def test_scope_can_be_narrower_than_asked(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """The token really has no more than the answer says."""
    egain.faults.token.on(scope="app.knowledge.portalmgr.read")
    _, body, _ = await post(egain, http)
    told = json.loads(body)
    assert told["scope"] == "app.knowledge.portalmgr.read"
    auth = {"Authorization": f"Bearer {told['access_token']}"}
    async with http.put(f"{egain.base}/demo/upload", headers=auth) as answer:
        assert (await answer.json())["code"] == "403-197"


async def test_answer_can_be_held_until_released(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """For tests of what happens meanwhile, without a clock."""
    egain.faults.token.on(kind="hold")
    waiting = asyncio.create_task(post(egain, http))
    async with asyncio.timeout(10):
        while not egain.token_requests:
            await asyncio.sleep(0.001)
    assert egain.token_requests[-1].form["grant_type"] == "client_credentials"
    assert not waiting.done()
    egain.faults.release()
    assert (await waiting)[0] == 200


async def drained(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """Read and forget: a flood does not fit into memory."""
    async with http.post(egain.user_token_url, data=token_request(egain)) as answer:
        assert answer.status == 200
        async for _ in answer.content.iter_any():
            pass


@pytest.mark.parametrize("kind", ["hang", "headers_only", "drip", "flood"])
async def test_endless_answers_end_with_the_caller_or_the_stand_in(
    http: aiohttp.ClientSession, kind: TokenFaultKind
) -> None:
    """No timeout of its own: the client has to have one. Stopping does not wait for it."""
    async with StandIn() as egain:
        egain.faults.token.on(kind=kind)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(drained(egain, http), 0.1)
        waiting = asyncio.create_task(drained(egain, http))
        async with asyncio.timeout(10):
            while len(egain.token_requests) < 2:
                await asyncio.sleep(0.001)
        async with asyncio.timeout(10):
            await egain.stop()
    with pytest.raises(GONE):
        await waiting


async def test_delay_comes_before_everything(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """A slow token endpoint; release() ends the wait."""
    egain.faults.token.on(delay=3600.0)
    waiting = asyncio.create_task(post(egain, http))
    async with asyncio.timeout(10):
        while not egain.token_requests:
            await asyncio.sleep(0.001)
        egain.faults.release()
        assert (await waiting)[0] == 200


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"kind": "unauthorized"}, 401, "401-104"),
        ({"kind": "forbidden"}, 403, "403-197"),
        ({"kind": "throttled"}, 429, "429-001"),
    ],
    ids=["unauthorized", "forbidden", "throttled"],
)
async def test_api_can_refuse_good_tokens(
    egain: StandIn, http: aiohttp.ClientSession, fault: dict[str, Any], status: int, code: str
) -> None:
    """For the next n requests, in eGain's own words."""
    egain.faults.api.on(**fault, times=1)
    async with http.post(egain.base + ECHO, headers=bearer(egain), data=b"kept") as answer:
        assert (answer.status, (await answer.json())["code"]) == (status, code)
        assert "Retry-After" not in answer.headers
    assert (egain.api_requests[-1].body_size, egain.api_requests[-1].status) == (4, status)
    async with http.post(egain.base + ECHO, headers=bearer(egain), data=b"kept") as answer:
        assert answer.status == 200


@pytest.mark.parametrize("kind", ["reset", "close", "cut"])
async def test_api_can_break_off(egain: StandIn, http: aiohttp.ClientSession, kind: str) -> None:
    """Before the answer or in the middle of it."""
    egain.faults.api.on(kind=kind, times=1)
    if kind == "cut":
        answer = await http.get(egain.base + ECHO, headers=bearer(egain))
        with pytest.raises(GONE):
            await answer.read()
    else:
        with pytest.raises(GONE):
            await http.post(egain.base + ECHO, headers=bearer(egain))  # a GET would be tried again
    async with http.get(egain.base + ECHO, headers=bearer(egain)) as answer:
        assert answer.status == 200


async def test_api_can_answer_before_the_body_has_come(egain: StandIn) -> None:
    """A status at once, while the upload has hardly begun."""
    egain.faults.api.on(kind="status", status=413, body="too much")
    reader, writer = await asyncio.open_connection("127.0.0.1", int(egain.base.rpartition(":")[2]))
    writer.write(b"PUT /demo/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nx")
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_fault_can_be_limited_to_paths(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """One route or one token endpoint fails, the others do not; and `times` counts only those."""
    egain.faults.api.on(kind="status", status=500, path="/demo/status", times=1)
    for path, status in ((ECHO, 200), ("/demo/status/200", 500), ("/demo/status/200", 200)):
        async with http.get(egain.base + path, headers=bearer(egain)) as answer:
            assert answer.status == status
    egain.faults.token.on(kind="status", path="/core/")
    assert (await post(egain, http))[0] == 200
    async with http.post(egain.anonymous_token_url) as answer:
        assert answer.status == 500


@pytest.mark.parametrize("kind", ["hang", "hold"])
async def test_api_can_hang(egain: StandIn, http: aiohttp.ClientSession, kind: str) -> None:
    """A caller that leaves is noticed."""
    egain.faults.api.on(kind=kind, times=1)
    waiting = asyncio.create_task(http.get(egain.base + ECHO, headers=bearer(egain)))
    async with asyncio.timeout(10):
        while not egain.api_requests:
            await asyncio.sleep(0.001)
        waiting.cancel()
        while not egain.api_requests[-1].aborted:
            await asyncio.sleep(0.001)
    assert egain.api_requests[-1].status is None


async def test_held_request_goes_on_when_it_is_released(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """release() lets it be answered as if nothing had been."""
    egain.faults.api.on(kind="hold", times=1)
    waiting = asyncio.create_task(http.get(egain.base + ECHO, headers=bearer(egain)))
    async with asyncio.timeout(10):
        while not egain.api_requests:
            await asyncio.sleep(0.001)
        assert not waiting.done()
        egain.faults.release()
        async with await waiting as answer:
            assert answer.status == 200


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [({"kind": "dwon"}, "kind cannot be 'dwon'; one of none, down"), ({"knid": "down"}, "knid is not one of"),
     ({"times": "2"}, "times cannot be '2'"), ({"status": 1.5}, "status cannot be")],
)  # fmt: skip
def test_misspelt_fault_is_an_error(changes: dict[str, Any], complaint: str) -> None:
    """A fault that silently is none would make a test pass for nothing."""
    with pytest.raises(ValueError, match=complaint):
        StandIn().faults.token.on(**changes)


async def test_faults_are_shown_and_set_over_http(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """The demo's switch; a side that is not named stays as it is."""
    url = f"{egain.base}/demo/faults"
    egain.faults.api.on(kind="cut")
    async with http.post(url, json={"token": {"kind": "status", "status": 503, "times": 1}}) as answer:
        shown = await answer.json()
    assert (shown["token"]["kind"], shown["token"]["times"], shown["api"]["kind"]) == ("status", 1, "cut")
    assert (await post(egain, http))[0] == 503
    assert (await post(egain, http))[0] == 200
    async with http.post(url, json={"token": {}, "api": {}}) as answer:
        assert answer.status == 200
    async with http.get(url) as answer:
        assert (await answer.json())["token"]["kind"] == "none"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"token": {"kind": "x"}}', {}, 400),
        (b'{"tokn": {}}', {}, 400),
        (b'{"token": 1}', {}, 400),
        (b"[]", {}, 400),
        (b"{", {}, 400),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Origin": "http://127.0.0.1"}, 403),
        (b"{}", {"Sec-Fetch-Site": "cross-site"}, 403),
        (b"{}", {"Host": "evil.example"}, 403),
    ],
    ids=str,
)
async def test_wrong_or_foreign_control_requests_change_nothing(
    egain: StandIn, http: aiohttp.ClientSession, body: bytes, headers: dict[str, str], status: int
) -> None:
    """Checked whole before anything is set; no web page can use it, by whatever name it found the port."""
    before = egain.faults.as_json()
    async with http.post(
        f"{egain.base}/demo/faults", data=body, headers={"Content-Type": "application/json", **headers}
    ) as answer:
        assert (answer.status, "error" in await answer.json()) == (status, True)
    assert egain.faults.as_json() == before
