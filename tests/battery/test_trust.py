"""Who is believed to be the API or the authorization server: certificates, names, addresses, the environment."""

from __future__ import annotations

import asyncio
import datetime
import ssl
import warnings
from pathlib import Path
from typing import Any

import aiohappyeyeballs
import pytest
import trustme

from sidecar.clock import now
from tests.battery.case import Case
from tests.battery.stage import RawTokens, Stage
from tests.harness import OK, RawUpstream, Talk, answering, configuration, sidecar, until

pytestmark = pytest.mark.battery

WRONG = ["another name", "another CA", "self-signed", "expired", "not yet valid", "TLS 1.1", "no TLS at all"]


def context(ca: trustme.CA, wrong: str) -> ssl.SSLContext | None:
    """A server's, with one thing wrong."""
    if wrong == "no TLS at all":
        return None
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issuer = trustme.CA() if wrong in ("another CA", "self-signed") else ca
    moment = datetime.datetime.now(datetime.UTC)
    times: dict[str, Any] = {}
    if wrong == "expired":
        times = {
            "not_before": moment - datetime.timedelta(days=2),
            "not_after": moment - datetime.timedelta(days=1),
        }
    if wrong == "not yet valid":
        times = {
            "not_before": moment + datetime.timedelta(days=1),
            "not_after": moment + datetime.timedelta(days=2),
        }
    issuer.issue_cert("other.example" if wrong == "another name" else "127.0.0.1", **times).configure_cert(
        found
    )
    if wrong == "TLS 1.1":
        found.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found.minimum_version = found.maximum_version = ssl.TLSVersion.TLSv1_1
    return found


def trusting(ca: trustme.CA, folder: Path) -> str:
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem")


@pytest.mark.parametrize("wrong", [*WRONG, ""])
async def test_upstream_is_verified_before_it_gets_a_byte(stage: Stage, tmp_path: Path, wrong: str) -> None:
    """502, and no request; the last one is as it should be, and is served."""
    ca = trustme.CA()
    upstream = RawUpstream()
    async with upstream.running(context(ca, wrong)):
        url = f"https://127.0.0.1:{upstream.port}"
        extra = {"url": url, "ca_file": trusting(ca, tmp_path), "connect_timeout": "2s"}
        async with stage.sidecar(upstream=extra) as proxy:
            answer = await proxy.ask("/app/x")
            if wrong:
                assert (answer.status, answer.error) == (502, "upstream_unreachable")
                assert upstream.requests == []
            else:
                assert answer.status == 200


@pytest.mark.parametrize("wrong", [*WRONG, ""])
async def test_token_endpoint_is_verified_before_it_gets_the_secret(
    stage: Stage, tmp_path: Path, case: Case, wrong: str
) -> None:
    """503, and no token request; nothing goes to the API without a token."""
    ca = trustme.CA()
    tokens = RawTokens(case)
    async with tokens.server.running(context(ca, wrong)):
        url = f"https://127.0.0.1:{tokens.server.port}/token"
        credentials = {
            "app": {"grant": "client_credentials", "token_url": url, "ca_file": trusting(ca, tmp_path)}
        }
        routes = [{"path": "/app/**", "credential": "app", "scopes": ["app.read"], "name": "app"}]
        async with stage.sidecar(
            credentials=credentials, routes=routes, tokens={"request_timeout": "2s"}, ready=False
        ) as proxy:
            answer = await proxy.ask("/app/x")
            if wrong:
                assert (answer.status, answer.error) == (503, "token_unavailable")
                assert tokens.calls == 0
                assert stage.upstream.requests == []
            else:
                assert answer.status == 200


async def test_address_that_changes_in_dns_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kept connection is not lent out for ever: after a minute the name is looked up again."""
    old, new = RawUpstream(answering(OK)), RawUpstream(answering(OK))
    async with old.running(), new.running(), sidecar(configuration(old.url), tmp_path) as proxy:
        destination = proxy.app.proxy.serving.pool.destination
        assert (await proxy.ask("/x")).status == 200
        looked_up = 0
        start = aiohappyeyeballs.start_connection

        async def elsewhere(found: list[Any], **named: Any) -> Any:
            nonlocal looked_up
            looked_up += 1
            assert found[0][4][1] == destination.port
            return await start([(*found[0][:4], ("127.0.0.1", new.port))], **named)

        monkeypatch.setattr("aiohappyeyeballs.start_connection", elsewhere)
        assert (await proxy.ask("/x")).status == 200
        assert (looked_up, len(old.requests)) == (0, 2)
        monkeypatch.setattr("sidecar.proxy.pool.now", lambda: now() + 60)
        assert (await proxy.ask("/x")).status == 200
        assert (looked_up, len(old.requests), len(new.requests)) == (1, 2, 1)


async def test_dead_pooled_connections_are_dropped(stage: Stage) -> None:
    """Closed by the other side while they rested: nobody is sent over them."""
    hold = asyncio.Event()

    async def all_at_once(talk: Talk) -> None:
        await hold.wait()
        await talk.send(OK)

    stage.upstream.script = all_at_once
    async with stage.sidecar() as proxy:
        asking = [asyncio.create_task(proxy.ask("/app/x")) for _ in range(20)]
        await until(lambda: len(stage.upstream.requests) == 20)
        hold.set()
        await asyncio.gather(*asking)
        kept = proxy.app.proxy.serving.pool
        await until(lambda: kept.counts() == (20, 0))
        stage.upstream.script = answering(OK, close=True)
        for _ in range(20):
            assert (await proxy.ask("/app/x", method="POST")).status == 200
        await until(lambda: kept.counts() == (0, 0))
        assert (await proxy.ask("/app/x", method="POST")).status == 200


async def test_environment_and_netrc_have_no_say(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies, credentials for the upstream's host, a file for session keys: not consulted."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary password canary-netrc\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, stage.elsewhere.url)
    async with stage.sidecar() as proxy:
        assert (await proxy.ask("/app/x")).status == 200
    assert not (tmp_path / "keys").exists()
    assert "Authorization" not in [name for name, _ in stage.tokens.server.requests[0].headers]
