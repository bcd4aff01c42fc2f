"""The HTTP side of token requests, against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from zlib import compressobj

import pytest
import trustme
from aiohttp import web

from sidecar.config.schema import Config, Credential
from sidecar.oauth.answer import Failure, Reply
from sidecar.oauth.request import TokenRequest
from sidecar.tls import client_context
from sidecar.tokens.endpoint import TokenEndpoint

REQUEST_BODY = b"grant_type=client_credentials"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def config(**tokens: Any) -> Config:
    return Config.model_validate({"upstream": {"url": "https://127.0.0.1:1"}, "tokens": tokens})


@contextlib.asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    runner = web.AppRunner(_app(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield f"{'https' if tls else 'http'}://localhost:{runner.addresses[0][1]}/token"
    finally:
        await runner.cleanup()


def _app(handler: Handler) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", handler)
    return app


@contextlib.asynccontextmanager
async def raw_server(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[str]:
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(writer)
        except (ConnectionError, EOFError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/token"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)


async def ask(
    url: str, settings: Config | None = None, authorization: str | None = None, **more: Any
) -> Reply | Failure:
    credential = Credential.model_validate(
        {"grant": "client_credentials", "token_url": url.partition("?")[0], **more}
    )
    async with TokenEndpoint(settings or config()) as endpoint:
        return await endpoint.post("cred", credential, TokenRequest(url, REQUEST_BODY, authorization))


def failed(result: Reply | Failure) -> tuple[str, str]:
    assert isinstance(result, Failure)
    return result.outcome, result.reason


async def test_no_certificates_are_loaded_for_plain_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the event loop tens of milliseconds, and every request waits."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"{}")

    def load(ca_file: Path | None) -> ssl.SSLContext:
        raise AssertionError("certificates were loaded")

    monkeypatch.setattr("sidecar.tokens.endpoint.client_context", load)
    async with serving(handler) as url:
        assert await ask(url) == Reply(200, b"{}")


async def test_request_is_a_plain_form_post() -> None:
    """Nothing invented besides what a token request needs; the query is sent as it was encoded."""
    seen: list[Any] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return web.Response(body=b"{}", headers={"Retry-After": "5"})

    async with serving(handler) as url:
        reply = await ask(f"{url}?a=b%20c%2B", authorization="Basic eA==")
    assert reply == Reply(200, b"{}", "5")
    method, path, headers, body = seen[0]
    assert (method, path, body) == ("POST", "/token?a=b%20c%2B", REQUEST_BODY)
    assert headers.pop("Host").startswith("localhost:")
    assert headers.pop("User-Agent").startswith("egain-auth-sidecar/")
    assert headers == {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Authorization": "Basic eA==",
        "Connection": "close",
        "Content-Length": str(len(REQUEST_BODY)),
        "Content-Type": "application/x-www-form-urlencoded",
    }


async def test_environment_is_not_consulted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """HTTPS_PROXY, HTTP_PROXY and ~/.netrc change nothing."""
    seen: list[str | None] = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.Response()

    (tmp_path / ".netrc").write_text("machine localhost login eve password p\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serving(handler) as url:
        assert isinstance(await ask(url), Reply)
    assert seen == [None]


async def test_redirect_is_not_followed_and_cookies_are_not_kept() -> None:
    """The client's secret goes to token_url and nowhere else."""
    paths: list[tuple[str, bool]] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append((request.path, "Cookie" in request.headers))
        return web.Response(status=307, headers={"Location": "/elsewhere", "Set-Cookie": "a=b; Path=/"})

    async with serving(handler) as url, TokenEndpoint(config()) as endpoint:
        credential = Credential.model_validate({"grant": "client_credentials", "token_url": url})
        for _ in range(2):
            reply = await endpoint.post("c", credential, TokenRequest(url, REQUEST_BODY))
            assert isinstance(reply, Reply)
            assert reply.status == 307
    assert paths == [("/token", False)] * 2


@contextlib.asynccontextmanager
async def egress_proxy(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Gives `answer` to every request, and behind a 200 one token answer through the tunnel."""
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
        writer.write(answer)
        if b" 200 " in answer:
            heard.append((await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")[0])
            heard.append(await reader.readexactly(len(REQUEST_BODY)))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heard


async def test_egress_proxy_gets_the_request() -> None:
    """tokens.proxy: a CONNECT, whose refusal is a failure to connect."""
    async with egress_proxy(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n") as (proxy, heard):
        for url in ("https://as.invalid/token", "http://localhost:1/token"):
            result = await ask(url, config(proxy=proxy))
            assert failed(result) == ("unavailable", "connect")
            assert isinstance(result, Failure)
            assert result.unsent
    assert heard == [b"CONNECT as.invalid:443 HTTP/1.1", b"CONNECT localhost:1 HTTP/1.1"]


async def test_egress_proxy_is_a_tunnel_without_tls_too() -> None:
    """A plain token URL is not handed over in absolute form: the proxy need not be able to forward requests."""
    async with egress_proxy(b"HTTP/1.1 200 OK\r\n\r\n") as (proxy, heard):
        assert await ask("http://localhost:1/token?a=b", config(proxy=proxy)) == Reply(200, b"{}")
    assert heard == [b"CONNECT localhost:1 HTTP/1.1", b"POST /token?a=b HTTP/1.1", REQUEST_BODY]


async def never(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


async def headers_only(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
    await asyncio.sleep(3600)


async def byte_by_byte(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\n \r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("script", [never, headers_only, byte_by_byte])
async def test_slow_answer_ends_with_the_time_limit(
    script: Callable[[asyncio.StreamWriter], Awaitable[None]],
) -> None:
    """Silence, headers without a body, a byte now and then: one limit for all of it."""
    async with raw_server(script) as url:
        async with asyncio.timeout(10):
            assert failed(await ask(url, config(request_timeout=0.3))) == ("unavailable", "timeout")


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1 << 14):
        writer.write(b" " * (1 << 16))
        await writer.drain()


async def gzip_bomb(writer: asyncio.StreamWriter) -> None:
    packer = compressobj(9, wbits=31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    )
    await writer.drain()


@pytest.mark.parametrize("script", [endless, gzip_bomb])
async def test_answer_is_cut_at_a_mebibyte(script: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    """A gigabyte, or what unpacks to one, costs a mebibyte and a failed try."""
    async with raw_server(script) as url:
        assert failed(await ask(url)) == ("malformed", "malformed")


def says(data: bytes) -> Callable[[asyncio.StreamWriter], Awaitable[None]]:
    async def script(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return script


async def resets(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


OK = b"HTTP/1.1 200 OK\r\n"

BROKEN = [
    (says(b""), ("unavailable", "connect")),
    (resets, ("unavailable", "connect")),
    (says(b"SSH-2.0-OpenSSH\r\n\r\n"), ("malformed", "malformed")),
    (says(OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), ("malformed", "malformed")),
    (says(OK + b"Content-Length: 50\r\n\r\nhello"), ("malformed", "malformed")),
    (says(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), ("malformed", "malformed")),
    (says(OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"), ("malformed", "malformed")),
    (says(OK + b"X: " + b"a" * 100_000 + b"\r\n\r\n"), ("malformed", "malformed")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("script", "expected"),
    BROKEN,
    ids=["FIN", "RST", "no HTTP", "two lengths", "cut", "bad chunk", "bad gzip", "long header"],
)
async def test_broken_http_is_a_failed_try(
    script: Callable[[asyncio.StreamWriter], Awaitable[None]], expected: tuple[str, str]
) -> None:
    """Each has its reason; none is an exception."""
    async with raw_server(script) as url:
        assert failed(await ask(url)) == expected


async def test_nobody_there_and_no_such_host() -> None:
    """Refused connections and failed look-ups are `connect`."""
    assert failed(await ask("http://127.0.0.1:1/token")) == ("unavailable", "connect")
    assert failed(await ask("https://no-such-host.invalid/token")) == ("unavailable", "connect")


def unsent(result: Reply | Failure) -> bool:
    assert isinstance(result, Failure)
    return result.unsent


async def test_failure_tells_whether_the_server_may_have_acted() -> None:
    """A code or a refresh token may be used up, unless no connection came to be."""
    assert unsent(await ask("http://127.0.0.1:1/token"))
    assert unsent(await ask("https://no-such-host.invalid/token"))
    for script in (says(b""), resets, says(b"SSH-2.0-OpenSSH\r\n\r\n")):
        async with raw_server(script) as url:
            assert not unsent(await ask(url))
    async with serving(_ok, server_context(trustme.CA(), "localhost")) as url:  # not a CA that is trusted
        assert unsent(await ask(url))


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def server_context(authority: trustme.CA, name: str, **more: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **more).configure_cert(context)
    return context


async def _ok(request: web.Request) -> web.Response:
    assert await request.read() == REQUEST_BODY
    return web.Response(body=b"{}")


async def test_ca_files_are_the_only_cas(authority: trustme.CA, tmp_path: Path) -> None:
    """The credential's own, else tokens.ca_file, else upstream.ca_file on its host, else the system's."""
    good, bad = tmp_path / "good.pem", tmp_path / "bad.pem"
    authority.cert_pem.write_to_path(str(good))
    trustme.CA().cert_pem.write_to_path(str(bad))
    same_host = Config.model_validate({"upstream": {"url": "https://localhost:1", "ca_file": good}})
    async with serving(_ok, server_context(authority, "localhost")) as url:
        assert isinstance(await ask(url, ca_file=good), Reply)
        assert isinstance(await ask(url, config(ca_file=good)), Reply)
        assert isinstance(await ask(url, config(ca_file=bad), ca_file=good), Reply)
        assert isinstance(await ask(url, same_host), Reply)
        assert failed(await ask(url, config(ca_file=good), ca_file=bad)) == ("unavailable", "tls")
        assert failed(await ask(url)) == ("unavailable", "tls")
        assert failed(await ask(url, ca_file=tmp_path / "missing.pem")) == ("unavailable", "tls")
        (tmp_path / "empty.pem").touch()
        assert failed(await ask(url, ca_file=tmp_path / "empty.pem")) == ("unavailable", "tls")


async def test_wrong_name_and_old_tls_are_refused_before_a_byte_is_sent(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """No secret goes to who cannot prove who it is."""
    heard: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        heard.append(request.path)
        return web.Response()

    good = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(good))
    old = server_context(authority, "localhost")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(handler, server_context(authority, "other.example")) as url:
        assert failed(await ask(url, ca_file=good)) == ("unavailable", "tls")
    async with serving(handler, old) as url:
        # asyncio's server hangs up without an alert, so that all one sees is a lost connection.
        assert failed(await ask(url, ca_file=good))[0] == "unavailable"
    async with serving(handler) as url:  # plain HTTP where TLS is expected
        assert failed(await ask(url.replace("http:", "https:"), ca_file=good)) == ("unavailable", "tls")
    assert heard == []


def test_session_keys_are_not_logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SSLKEYLOGFILE, which ssl.create_default_context honours, is not."""
    file = tmp_path / "keys"
    monkeypatch.setenv("SSLKEYLOGFILE", str(file))
    context = client_context()
    assert context.keylog_filename is None
    assert not file.exists()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


async def test_hanging_endpoint_does_not_block_another_credentials_requests() -> None:
    """A bulkhead per credential; waiting for one's turn is within the time limit."""
    release, arrived = asyncio.Event(), asyncio.Semaphore(0)

    async def hang(request: web.Request) -> web.Response:
        arrived.release()
        await release.wait()
        return web.Response()

    async with serving(hang) as slow, serving(_ok) as fast, TokenEndpoint(config()) as endpoint:

        async def post(name: str, url: str) -> Reply | Failure:
            credential = Credential.model_validate({"grant": "client_credentials", "token_url": url})
            return await endpoint.post(name, credential, TokenRequest(url, REQUEST_BODY))

        hanging = [asyncio.create_task(post("slow", slow)) for _ in range(40)]
        for _ in range(16):
            await arrived.acquire()
        assert isinstance(await post("fast", fast), Reply)
        assert arrived.locked()  # sixteen at once, and not one more
        release.set()
        assert all(isinstance(reply, Reply) for reply in await asyncio.gather(*hanging))


async def test_time_in_the_queue_counts() -> None:
    """More requests than may go at once, to an endpoint that hangs: all end within the limit."""
    async with raw_server(never) as url, TokenEndpoint(config(request_timeout=0.3)) as endpoint:
        credential = Credential.model_validate({"grant": "client_credentials", "token_url": url})
        request = TokenRequest(url, REQUEST_BODY)
        async with asyncio.timeout(10):
            found = await asyncio.gather(*(endpoint.post("c", credential, request) for _ in range(40)))
    assert {failed(result) for result in found} == {("unavailable", "timeout")}


async def test_reload_changes_limits_and_cas(authority: trustme.CA, tmp_path: Path) -> None:
    """From the next request on."""
    good = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(good))
    async with (
        serving(_ok, server_context(authority, "localhost")) as url,
        TokenEndpoint(config()) as endpoint,
    ):
        credential = Credential.model_validate({"grant": "client_credentials", "token_url": url})
        assert failed(await endpoint.post("c", credential, TokenRequest(url, REQUEST_BODY)))[1] == "tls"
        endpoint.reconfigure(config(ca_file=good))
        assert isinstance(await endpoint.post("c", credential, TokenRequest(url, REQUEST_BODY)), Reply)
