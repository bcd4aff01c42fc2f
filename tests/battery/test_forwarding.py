"""What crosses, where test_semantics.py leaves off: codings, ranges, trailers, other hosts, tunnels."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from tests.battery.stage import HOST, Stage, get, holder, http
from tests.harness import OK, RawUpstream, Sidecar, Talk, answer_ok, answering, configuration, sidecar, until
from tests.test_proxy_tls import serving, trusting

pytestmark = pytest.mark.battery


@pytest.fixture(params=["new connection", "kept connection"])
async def proxy(stage: Stage, request: pytest.FixtureRequest) -> AsyncIterator[Sidecar]:
    """As in test_semantics.py: the two are served in two ways."""
    async with stage.sidecar() as started:
        if request.param == "kept connection":
            await started.ask("/open/first")
            stage.upstream.requests.clear()
        yield started


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate", "x-unheard-of", "gzip, gzip"])
async def test_coded_bodies_are_bytes(proxy: Sidecar, stage: Stage, coding: str) -> None:
    """Whatever the coding is, and whether the bytes are of that coding or not: nobody looks."""
    body = b"\x1f\x8b\x08\x00not really" * 50
    fields = (f"Content-Encoding: {coding}", 'ETag: "x-gzip"', "Content-MD5: AAAA")
    stage.upstream.script = answering(http(200, body, *fields))
    answer = await proxy.ask("/app/x", f"Accept-Encoding: {coding}")
    assert answer.head + b"\r\n\r\n" + answer.body == http(200, body, *fields)
    await proxy.ask("/app/x", f"Content-Encoding: {coding}", method="PUT", body=body)
    assert stage.upstream.requests[-1].body == body
    assert stage.upstream.requests[0].all("Accept-Encoding") == [coding]


@pytest.mark.parametrize(
    "named",
    ["Authorization", "authorization, X-Gone", "X-Gone,AUTHORIZATION ,Host", "Transfer-Encoding, X-Gone"],
)
async def test_naming_the_tokens_field_takes_no_token_off(proxy: Sidecar, stage: Stage, named: str) -> None:
    """Nor the chunks of a body; what else is named is gone, and the caller's own Authorization with it."""
    caller = await proxy.caller()
    await caller.send(
        b"POST /app/x HTTP/1.1\r\n" + HOST + f"Connection: {named}\r\n".encode() + b"Authorization: Basic bWluZQ==\r\n"
        b"X-Gone: 1\r\nX-Stays: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    )  # fmt: skip
    assert (await caller.answer()).status == 200
    (request,) = stage.upstream.requests
    assert holder(request) == ("app", {"app.read"})
    assert (request.body, request.all("X-Stays")) == (b"abc", ["1"])
    assert request.all("X-Gone") == ([] if "X-Gone" in named else ["1"])


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (("Connection: Origin", "Origin: https://evil.example"), "origin_not_allowed"),
        (("Connection: Sec-Fetch-Site", "Sec-Fetch-Site: cross-site"), "origin_not_allowed"),
        (("Connection: X-On-Behalf-Of", "X-On-Behalf-Of: alice", "X-On-Behalf-Of: bobby"), "subject_invalid"),
        (("Connection: X-User", "X-On-Behalf-Of: alice", "X-User: bobby"), "subject_invalid"),
        (("Connection: Expect", "Expect: other"), "expectation_failed"),
    ],
)
async def test_naming_a_field_in_connection_spares_no_check(
    proxy: Sidecar, stage: Stage, fields: tuple[str, ...], error: str
) -> None:
    """What a request is refused for counts whether it would have crossed or not."""
    assert (await proxy.ask("/agent/x", *fields)).error == error
    stage.nothing_happened()


PARTS = (
    b"--x\r\nContent-Range: bytes 0-0/9\r\n\r\na\r\n--x\r\nContent-Range: bytes 8-8/9\r\n\r\ni\r\n--x--\r\n"
)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ("Range: bytes=0-0,8-8", http(206, PARTS, "Content-Type: multipart/byteranges; boundary=x")),
        ("Range: bytes=5-2", http(416, b"", "Content-Range: bytes */9")),
        ('If-Range: W/"x"', http(200, b"whole", 'ETag: W/"x"', "Accept-Ranges: bytes")),
        ('If-Match: "a", W/"b"', http(412, b"no")),
        ("If-None-Match: *", http(412, b"", "Vary: Accept, Accept")),
        ("If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT", http(200, b"x", "Last-Modified: yesterday")),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
async def test_conditions_and_ranges_are_untouched_both_ways(
    proxy: Sidecar, stage: Stage, asked: str, answer: bytes
) -> None:
    """The sidecar is no cache: it neither answers them nor corrects them."""
    stage.upstream.script = answering(answer)
    got = await proxy.ask("/app/x", asked)
    assert got.head + b"\r\n\r\n" + got.body == answer
    assert asked in [f"{name}: {value}" for name, value in stage.upstream.requests[0].headers]


@pytest.mark.parametrize("name", ["Authorization", "Host", "Cookie", "X-On-Behalf-Of"])
async def test_guarded_names_in_trailers_go_nowhere(proxy: Sidecar, stage: Stage, name: str) -> None:
    """Not with this request, not with the next on either connection, and not to the caller."""
    trailer = f"{name}: 7\r\n".encode()
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + trailer + b"\r\n"
    stage.upstream.script = answering(b"HTTP/1.1 200 OK\r\n" + chunked)
    caller = await proxy.caller()
    await caller.send(b"POST /app/a HTTP/1.1\r\n" + HOST + chunked)
    assert (await caller.answer()).body == b"abc"
    stage.upstream.script = answer_ok
    following = await caller.ask("/app/b")
    assert (following.body, following.all(name)) == (b"ok", [])
    for request in stage.upstream.requests:
        assert "7" not in [value for _, value in request.headers]
    assert stage.upstream.connections == 1


@pytest.mark.parametrize("name", [b"Content-Length", b"Transfer-Encoding"])
async def test_framing_in_trailers_frames_nothing(proxy: Sidecar, stage: Stage, name: bytes) -> None:
    """RFC 9110 section 6.5.1 forbids it: 400 to a caller, an upstream's is dropped, 502 or a cut."""
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + name + b": 7\r\n\r\n"
    caller = await proxy.caller()
    await caller.send(b"POST /app/a HTTP/1.1\r\n" + HOST + chunked)
    assert (await caller.answer()).error == "bad_request"
    assert not any(request.body for request in stage.upstream.requests)
    stage.upstream.script = answering(b"HTTP/1.1 200 OK\r\n" + chunked)
    got = await proxy.raw(get("/app/b", "Connection: close"))
    assert got.startswith(b"HTTP/1.1 502 ") or got.endswith((b"abc\r\n", b"abc\r\n0\r\n\r\n"))
    assert b": 7" not in got


@pytest.mark.parametrize("spelling", ["100-continue", "100-Continue", "100-CONTINUE"])
async def test_expectation_is_met_in_any_spelling(proxy: Sidecar, stage: Stage, spelling: str) -> None:
    """The upstream gives the 100; a caller of HTTP/1.0 gets none and its body is read all the same."""

    async def careful(talk: Talk) -> None:
        if talk.request.all("Expect"):
            await talk.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await answer_ok(talk)

    stage.upstream.script = careful
    caller = await proxy.caller()
    head = b" HTTP/1.1\r\nContent-Length: 3\r\nExpect: " + spelling.encode() + b"\r\n" + HOST + b"\r\n"
    await caller.send(b"POST /app/a" + head)
    assert (await caller.head())[0] == 100
    await caller.send(b"abc")
    assert (await caller.answer()).body == b"ok"
    old = await proxy.raw(b"POST /app/b" + head.replace(b"1.1", b"1.0") + b"abc")
    assert old.startswith(b"HTTP/1.1 200 OK\r\n")
    assert [request.body for request in stage.upstream.requests] == [b"abc", b"abc"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_another_host_is_not_followed(proxy: Sidecar, stage: Stage, status: int) -> None:
    """The token would go there, too; who asked gets the answer, and nothing else is fetched."""
    location = f"{stage.elsewhere.url}/taken"
    stage.upstream.script = answering(
        http(status, b"moved", f"Location: {location}", f"Refresh: 0;url={location}")
    )
    answer = await proxy.ask("/app/x", method="POST", body=b"body")
    assert (answer.status, answer.all("Location"), answer.body) == (status, [location], b"moved")
    assert len(stage.upstream.requests) == 1


@pytest.mark.parametrize(
    "target", ["http://{elsewhere}/app/x", "http://{elsewhere}", "https://{elsewhere}/app/x"]
)
@pytest.mark.parametrize("host", ["localhost", "{elsewhere}", "{upstream}"])
async def test_target_of_another_host_reaches_nobody(
    proxy: Sidecar, stage: Stage, target: str, host: str
) -> None:
    """Neither the host that is named nor the upstream hears of it, whatever Host says."""
    names = {"elsewhere": f"127.0.0.1:{stage.elsewhere.port}", "upstream": f"127.0.0.1:{stage.upstream.port}"}
    caller = await proxy.caller()
    await caller.send(
        f"GET {target.format(**names)} HTTP/1.1\r\nHost: {host.format(**names)}\r\n\r\n".encode()
    )
    assert (await caller.answer()).error == "host_not_allowed"
    stage.nothing_happened()


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT {} HTTP/1.1\r\nHost: {}\r\n\r\n",
        b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"TRACE /app/x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda d: d.split(b"\r\n")[0].decode(),
)
async def test_connect_trace_and_the_asterisk_reach_nobody(proxy: Sidecar, stage: Stage, data: bytes) -> None:
    """No dial, no token request, no token shown."""
    elsewhere = f"127.0.0.1:{stage.elsewhere.port}".encode()
    caller = await proxy.caller()
    await caller.send(data.replace(b"{}", elsewhere))
    assert (await caller.answer()).status in (400, 405)
    stage.nothing_happened()


@pytest.mark.parametrize("status", [500, 502, 503, 504, 599])
async def test_errors_of_the_upstream_are_its_own(proxy: Sidecar, stage: Stage, status: int) -> None:
    """Status, fields and body as they came; what the sidecar says itself is marked, and cannot be forged."""
    page = b"<h1>their page</h1>"
    forged = http(status, page, "Retry-After: 9", "X-Auth-Sidecar-Error: token_refused", "Server: theirs")
    stage.upstream.script = answering(forged)
    answer = await proxy.ask("/app/x")
    assert (answer.status, answer.body, answer.error) == (status, page, None)
    assert answer.all("Server") == ["theirs"]


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_thousand_requests_use_few_connections(tmp_path: Path, tls: bool) -> None:
    """One after another; of TLS handshakes, too."""
    ca = trustme.CA()
    async with RawUpstream().running(serving(ca, "127.0.0.1") if tls else None) as upstream:
        extra = {"ca_file": trusting(ca, tmp_path)} if tls else {}
        async with sidecar(configuration(upstream.url, upstream=extra), tmp_path) as proxy:
            caller = await proxy.caller()
            for _ in range(1000):
                assert (await caller.ask("/x")).body == b"ok"
        assert upstream.connections <= 5


def frame(kind: int, payload: bytes, *, final: bool = True, masked: bool = True) -> bytes:
    """A WebSocket frame (RFC 6455 section 5.2) with a payload of less than 126 bytes."""
    first = bytes((final << 7 | kind, masked << 7 | len(payload)))
    mask = b"\x01\x02\x03\x04" if masked else b""
    return first + mask + (bytes(b ^ mask[n % 4] for n, b in enumerate(payload)) if masked else payload)


@pytest.mark.parametrize("who", ["caller", "upstream"])
async def test_websocket_frames_cross_untouched(proxy: Sidecar, stage: Stage, who: str) -> None:
    """Fragments, a ping between them, close code 4001 from either side; the handshake has the route's token."""
    frames = [
        frame(1, b"frag", final=False), frame(9, b"ping"), frame(0, b"ment"), frame(2, b"\x00\xff"),
        frame(8, (4001).to_bytes(2, "big") + b"bye"),
    ]  # fmt: skip
    got = bytearray()
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"

    async def talks(talk: Talk) -> None:
        assert len(talk.request.all("Authorization")) == 1
        await talk.send(switch + b"Sec-WebSocket-Accept: a\r\nSec-WebSocket-Protocol: chat\r\n\r\n")
        if who == "upstream":
            for one in frames:
                await talk.send(one)
            talk.writer.close()
        while data := await talk.reader.read(1000):
            got.extend(data)

    stage.upstream.script = talks
    caller = await proxy.caller()
    handshake = get("/app/ws", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: chat, other")  # fmt: skip
    await caller.send(handshake)
    status, head = await caller.head()
    assert status == 101
    assert b"\r\nSec-WebSocket-Protocol: chat" in head
    if who == "caller":
        for one in frames:
            await caller.send(one)
        await until(lambda: bytes(got) == b"".join(frames))
        caller.close()
    else:
        assert await caller.closed() == b"".join(frames)


async def test_nothing_of_a_reset_upload_is_sent_twice(proxy: Sidecar, stage: Stage) -> None:
    """The upstream has all of a POST and resets the connection: it may have done it, so it is not done again."""
    assert (await proxy.ask("/app/first")).body == OK[-2:]

    async def takes_all_and_dies(talk: Talk) -> None:
        await talk.body()
        talk.reset()

    stage.upstream.script = takes_all_and_dies
    answer = await proxy.ask("/app/x", method="POST", body=b"pay once")
    assert answer.error == "upstream_protocol_error"
    assert [request.body for request in stage.upstream.requests] == [b"", b"pay once"]
