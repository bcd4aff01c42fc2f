"""`auth-sidecar doctor`: what it finds, and what it says to do."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
import trustme

from sidecar.cli.doctor import examine
from sidecar.cli.finding import Finding
from sidecar.config.loading import load
from sidecar.demo.standin import StandIn
from tests.commands import call_beside, every_grant, write
from tests.harness import RawUpstream, Talk, answering, sidecar


def found(findings: list[Finding], name: str) -> Finding:
    """The finding of this name, else the one whose name begins like that."""
    exact = [f for f in findings if f.name == name]
    (one,) = exact or [f for f in findings if f.name.startswith(name)]
    return one


async def examined(folder: Path, mapping: dict[str, Any], timeout: float = 10) -> list[Finding]:
    path = write(folder, mapping)
    return await examine(path, load(path), timeout)


def serving(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


async def test_all_is_well(tmp_path: Path) -> None:
    """Exit 0; the documented JSON; a token of each credential that needs no person, the endpoint of the others."""
    async with StandIn() as egain:
        path = write(tmp_path, every_grant(egain, tmp_path))
        result = await call_beside("doctor", "--json", path)
        obtained = [r for r in egain.token_requests if r.access_token]
    assert (result.exit_code, result.stderr) == (0, "")
    checks = json.loads(result.stdout)["checks"]
    assert all(check.keys() == {"name", "ok", "detail", "remedy"} for check in checks)
    assert all(check["ok"] and not check["remedy"] for check in checks)
    names = [check["name"] for check in checks]
    for wanted in (
        "configuration", "client.secret", f"connection to {egain.base}", "upstream", f"clock, by {egain.base}",
        "token of app (app.knowledge.portalmgr.read)", "token of anonymous (knowledge.portalmgr.read)",
        "token of fixed (knowledge.portalmgr.onbehalfof.read)", "token endpoint of agent",
        "token endpoint of okta", "listen 127.0.0.1:0", "admin 127.0.0.1:0",
    ):  # fmt: skip
        assert wanted in names
    assert len(obtained) == 3
    said = result.stdout
    assert not any(
        secret in said for secret in (egain.client_secret, *(r.access_token or "" for r in obtained))
    )
    hint = next(check["detail"] for check in checks if check["name"] == "token endpoint of okta")
    assert hint.endswith(f"auth-sidecar token {path} okta --subject -")


async def test_one_failure_does_not_hide_the_others(tmp_path: Path) -> None:
    """Everything down: each failed check with a remedy, the rest fine, exit 1; plain text without a terminal."""
    async with StandIn() as egain:
        mapping = every_grant(egain, tmp_path)
    result = await call_beside("doctor", write(tmp_path, mapping))
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    failed = [line for line in lines if line.startswith("FAIL")]
    assert len(failed) == 7  # connection, upstream, three tokens, two endpoints
    assert sum(line.startswith("      -> ") for line in lines) == len(failed)
    assert [line for line in lines if line.startswith("ok    client.secret")]
    assert lines[-1] == f"{len(lines) - len(failed) - 1} checks, 7 failed"


REFUSALS = [
    ({"kind": "error", "status": 401, "error": "invalid_client"}, "its secret is in file "),
    ({"kind": "error", "status": 400, "error": "invalid_scope"}, "Permissions tab"),
    ({"kind": "error", "status": 400, "error": "unsupported_grant_type"}, "-U for users"),
    ({"kind": "status", "status": 404}, "the tenant's id, -U for users"),
    ({"kind": "status", "status": 503}, "the authorization server is failing"),
    ({"kind": "throttled", "retry_after": "1"}, "fewer requests"),
    ({"kind": "html"}, "no token endpoint"),
    ({"kind": "close"}, "may be reached from here"),
    ({"scope": "app.other"}, "grant what is missing"),
]


@pytest.mark.parametrize(("fault", "remedy"), REFUSALS, ids=[str(fault) for fault, _ in REFUSALS])
async def test_failed_token_comes_with_what_to_do(tmp_path: Path, fault: dict[str, Any], remedy: str) -> None:
    """Each way of failing teaches something else; what is not a token problem stays fine."""
    async with StandIn() as egain:
        egain.faults.token.on(**fault, path="/system/")
        findings = await examined(tmp_path, every_grant(egain, tmp_path))
    token = found(findings, "token of app")
    assert not token.ok
    assert remedy in token.remedy
    assert found(findings, "token of anonymous").ok
    assert found(findings, "upstream").ok


@pytest.mark.parametrize("status", [404, 405, 302, 200, 500])
async def test_token_url_of_a_persons_credential_that_serves_no_tokens(tmp_path: Path, status: int) -> None:
    """No subject is at hand, but a wrong tenant shows all the same."""
    async with StandIn() as egain:
        egain.faults.token.on(kind="status", status=status, path="/system/")
        findings = await examined(tmp_path, every_grant(egain, tmp_path))
    finding = found(findings, "token endpoint of agent")
    assert (finding.ok, finding.detail) == (False, f"HTTP {status}")
    assert finding.remedy


async def test_secret_that_is_gone(tmp_path: Path) -> None:
    """It was there when the configuration was loaded."""
    async with StandIn() as egain:
        path = write(tmp_path, every_grant(egain, tmp_path))
        loaded = load(path)
        (tmp_path / "client-secret").write_text("")
        findings = await examine(path, loaded)
        (tmp_path / "client-secret").unlink()
        gone = await examine(path, loaded)
    assert "is empty" in found(findings, "client.secret").detail
    assert "No such file" in found(gone, "client.secret").detail
    assert "can be read" in found(gone, "token of app").remedy
    assert not any(f.ok for f in (*findings, *gone) if f.name.startswith(("client.secret", "token of")))


TLS = [("none", "", True), ("ca", "upstream.ca_file", False), ("name", "another host's", False)]


@pytest.mark.parametrize(("wrong", "remedy", "ok"), TLS, ids=[wrong for wrong, _, _ in TLS])
async def test_certificate_of_the_upstream(tmp_path: Path, wrong: str, remedy: str, ok: bool) -> None:
    """Subject and expiry when it is trusted; else which of CA and name it is."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    signing = trustme.CA() if wrong == "ca" else ca
    context = serving(signing, "other.example" if wrong == "name" else "127.0.0.1")
    async with RawUpstream().running(context) as upstream, StandIn() as egain:
        mapping = every_grant(egain, tmp_path, upstream={"url": upstream.url, "ca_file": "ca.pem"})
        findings = await examined(tmp_path, mapping)
    connection = found(findings, f"connection to {upstream.url}")
    assert (connection.ok, found(findings, "upstream").ok) == (ok, ok)
    assert remedy in connection.remedy
    assert found(findings, "upstream.ca_file").ok
    if ok:
        assert "certificate of 127.0.0.1 until " in connection.detail


async def test_upstream_that_speaks_no_tls(tmp_path: Path) -> None:
    """https to a plain port."""

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.1", 0) as server, StandIn() as egain:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        findings = await examined(tmp_path, every_grant(egain, tmp_path, upstream={"url": url}))
    connection = found(findings, f"connection to {url}")
    assert not connection.ok
    assert "TLS 1.2 or newer is not spoken" in connection.remedy


ANSWERS = [
    (b"HTTP/1.1 403 Forbidden\r\n\r\n", True, "HTTP 403"),
    (b"HTTP/1.1 503 Unavailable\r\n\r\n", False, "HTTP 503"),
    (b"SSH-2.0-OpenSSH\r\n\r\n", False, "not HTTP"),
]


@pytest.mark.parametrize(("raw", "ok", "said"), ANSWERS)
async def test_upstreams_answer(tmp_path: Path, raw: bytes, ok: bool, said: str) -> None:
    """Any answer of an API will do, but not a gateway's excuse."""
    async with RawUpstream(answering(raw, close=True)).running() as upstream, StandIn() as egain:
        findings = await examined(tmp_path, every_grant(egain, tmp_path, upstream={"url": upstream.url}))
        assert [r.line for r in upstream.requests] == ["HEAD / HTTP/1.1"]
        assert not upstream.requests[0].all("Authorization")
    assert (found(findings, "upstream").ok, said in found(findings, "upstream").detail) == (ok, True)


async def test_name_that_does_not_resolve(tmp_path: Path) -> None:
    """`.invalid` never does (RFC 6761)."""
    async with StandIn() as egain:
        mapping = every_grant(egain, tmp_path, upstream={"url": "https://api.invalid"})
        findings = await examined(tmp_path, mapping)
    assert not found(findings, "name api.invalid").ok
    assert "DNS" in found(findings, "name api.invalid").remedy
    assert found(findings, "token of app").ok


@pytest.mark.parametrize(
    ("off", "ok", "said"), [(0, True, ""), (3600, False, "behind"), (-3600, False, "ahead")]
)
async def test_clock(tmp_path: Path, off: int, ok: bool, said: str) -> None:
    """Compared with the token server's Date."""

    async def dated(talk: Talk) -> None:
        date = formatdate(time.time() + off, usegmt=True)
        await talk.send(f"HTTP/1.1 405 No\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())

    async with RawUpstream(dated).running() as server, StandIn() as egain:
        mapping = every_grant(egain, tmp_path)
        mapping["credentials"]["okta"]["token_url"] = f"{server.url}/token"
        findings = await examined(tmp_path, mapping)
    clock = found(findings, f"clock, by {server.url}")
    assert (clock.ok, said in clock.detail) == (ok, True)
    assert bool(clock.remedy) is not ok


async def test_silent_server_costs_its_own_check_only(tmp_path: Path) -> None:
    """Every check has a time limit; they run at once."""

    async def silent(talk: Talk) -> None:
        await talk.reader.read()

    async with RawUpstream(silent).running() as server, StandIn() as egain:
        mapping = every_grant(egain, tmp_path, upstream={"url": server.url})
        mapping["credentials"]["okta"]["token_url"] = f"{server.url}/token"
        findings = await examined(tmp_path, mapping, timeout=1)
    assert found(findings, f"connection to {server.url}").detail == "no answer in time"
    assert found(findings, "token endpoint of okta").detail == "not done within 1 s"
    assert found(findings, "token of app").ok


async def test_egress_proxy_is_used_and_its_name_is_looked_up(tmp_path: Path) -> None:
    """The target's name is the proxy's business."""
    async with (
        RawUpstream(answering(b"HTTP/1.1 403 No\r\n\r\n", close=True)).running() as proxy,
        StandIn() as egain,
    ):
        upstream = {"url": "https://api.invalid", "proxy": f"http://localhost:{proxy.port}"}
        findings = await examined(tmp_path, every_grant(egain, tmp_path, upstream=upstream))
        assert proxy.requests[0].line == "CONNECT api.invalid:443 HTTP/1.1"
    assert found(findings, "name localhost").ok
    assert not [f for f in findings if f.name == "name api.invalid"]
    assert "egress proxy" in found(findings, "connection to https://api.invalid").detail


JWKS = [
    ("/idp/keys", True, "1 usable"),
    ("/no/keys", False, "HTTP 4"),
    ("/system/auth/TMPRODB88619984-U/oauth2/token", False, "HTTP 4"),
]


@pytest.mark.parametrize(("path", "ok", "said"), JWKS)
async def test_identity_keys(tmp_path: Path, path: str, ok: bool, said: str) -> None:
    """Fetched and read as for real."""
    async with StandIn() as egain:
        identity = {"jwks_url": egain.base + path, "issuer": egain.idp_issuer, "audience": "a"}
        findings = await examined(tmp_path, every_grant(egain, tmp_path, identity=identity))
    keys = found(findings, "identity keys")
    assert (keys.ok, said in keys.detail) == (ok, True)


async def test_identity_keys_from_a_file_of_another_kind(tmp_path: Path) -> None:
    """There are keys, but none for the accepted algorithms."""
    async with StandIn() as egain:
        (tmp_path / "keys.json").write_text(json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}]}))
        identity = {"jwks_file": "keys.json", "issuer": "i", "audience": "a"}
        findings = await examined(tmp_path, every_grant(egain, tmp_path, identity=identity))
    assert "no usable key for RS256" in found(findings, "identity keys").detail


async def test_address_that_is_taken(tmp_path: Path) -> None:
    """By a stranger it is a failure, by a running sidecar it is not."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        async with StandIn() as egain:
            mapping = every_grant(egain, tmp_path)
            async with sidecar(mapping, tmp_path) as running:
                mapping["listen"] = f"127.0.0.1:{stranger.getsockname()[1]}"
                mapping["admin"] = running.app.admin_address
                findings = await examined(tmp_path, mapping)
                mapping["listen"] = running.app.proxy_address
                again = await examined(tmp_path, mapping)
    assert not found(findings, "listen").ok
    assert "in use" in found(findings, "listen").detail
    assert found(findings, "admin").detail == "in use, by a sidecar that is running already"
    assert found(again, "listen").ok


async def test_free_unix_socket_is_left_as_it_was(tmp_path: Path) -> None:
    """Trying an address leaves nothing behind."""
    async with StandIn() as egain:
        mapping = every_grant(egain, tmp_path, listen=f"unix:{tmp_path / 's'}")
        findings = await examined(tmp_path, mapping)
        await asyncio.sleep(0)
    assert found(findings, "listen").ok
    assert not (tmp_path / "s").exists()
