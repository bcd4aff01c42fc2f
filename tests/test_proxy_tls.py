"""TLS to the upstream, and the ways there: private CAs, an egress proxy, a unix socket in front."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import stat
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from sidecar.app import StartError
from sidecar.config.draft import stamp_of
from sidecar.lifecycle import changed
from tests.harness import Caller, RawUpstream, Sidecar, configuration, load_mapping, sidecar, until


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


def serving(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


def trusting(ca: trustme.CA, folder: Path) -> str:
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    return str(folder / "ca.pem")


async def test_private_ca_is_trusted_and_connections_are_reused(ca: trustme.CA, tmp_path: Path) -> None:
    """ca_file; many requests, one handshake."""
    async with RawUpstream().running(serving(ca, "127.0.0.1")) as upstream:
        mapping = configuration(upstream.url, upstream={"ca_file": trusting(ca, tmp_path)})
        async with sidecar(mapping, tmp_path) as started:
            caller = await started.caller()
            for n in range(10):
                assert (await caller.ask("/", method="POST", body=b"x" * n * 10_000)).body == b"ok"
        assert upstream.connections == 1


@pytest.mark.parametrize("wrong", ["name", "ca", "version"])
async def test_untrusted_upstream_gets_no_byte_of_a_request(
    ca: trustme.CA, tmp_path: Path, wrong: str
) -> None:
    """Wrong name, unknown CA, TLS 1.1: 502 before anything is sent."""
    context = serving(
        trustme.CA() if wrong == "ca" else ca, "other.example" if wrong == "name" else "127.0.0.1"
    )
    if wrong == "version":
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with RawUpstream().running(context) as upstream:
        mapping = configuration(upstream.url, upstream={"ca_file": trusting(ca, tmp_path)})
        async with sidecar(mapping, tmp_path) as started:
            answer = await started.ask("/")
            assert (answer.status, answer.error) == (502, "upstream_unreachable")
        assert not upstream.requests


async def test_key_log_and_proxy_variables_are_not_consulted(
    ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSLKEYLOGFILE would write every session's keys, HTTPS_PROXY send tokens elsewhere."""
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with RawUpstream().running(serving(ca, "127.0.0.1")) as upstream:
        mapping = configuration(upstream.url, upstream={"ca_file": trusting(ca, tmp_path)})
        async with sidecar(mapping, tmp_path) as started:
            assert (await started.ask("/")).status == 200
    assert not (tmp_path / "keys").exists()


@pytest.fixture
async def egress() -> AsyncIterator[tuple[int, list[bytes]]]:
    """An egress proxy that does CONNECT, and what it was asked."""
    asked: list[bytes] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        if b":1 " in head:
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            writer.close()
            return
        host, _, port = head.split()[1].rpartition(b":")
        there = await asyncio.open_connection(host.decode(), int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer), return_exceptions=True)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], asked
    server.close()


async def test_egress_proxy_is_asked_to_connect(
    ca: trustme.CA, tmp_path: Path, egress: tuple[int, list[bytes]]
) -> None:
    """CONNECT with the upstream's authority, TLS end to end inside it."""
    port, asked = egress
    async with RawUpstream().running(serving(ca, "127.0.0.1")) as upstream:
        changes = {"ca_file": trusting(ca, tmp_path), "proxy": f"http://127.0.0.1:{port}"}
        async with sidecar(configuration(upstream.url, upstream=changes), tmp_path) as started:
            assert (await started.ask("/")).body == b"ok"
        assert asked[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % upstream.port)
    changes = {"proxy": f"http://127.0.0.1:{port}"}
    async with sidecar(configuration("http://127.0.0.1:1", upstream=changes), tmp_path) as started:
        assert (await started.ask("/")).error == "upstream_unreachable"


async def test_unix_socket_listener(tmp_path: Path) -> None:
    """Mode 0660; a stale socket is replaced, a living one is not."""
    path = tmp_path / "proxy.sock"
    async with RawUpstream().running() as upstream:
        mapping = configuration(upstream.url, listen=f"unix:{path}")
        for _ in range(2):
            async with sidecar(mapping, tmp_path):
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
                caller = Caller(*await asyncio.open_unix_connection(str(path)))
                assert (await caller.ask("/")).body == b"ok"
                caller.close()
                with pytest.raises(StartError, match="another process listens there"):
                    async with sidecar(mapping, tmp_path):
                        pass
            stale = socket.socket(socket.AF_UNIX)
            stale.bind(str(path))
            stale.close()


async def test_port_in_use_is_named(tmp_path: Path) -> None:
    """Whoever reads the error knows which."""
    async with RawUpstream().running() as upstream, RawUpstream().running() as taken:
        mapping = configuration(upstream.url, listen=f"127.0.0.1:{taken.port}")
        with pytest.raises(
            StartError, match=rf"^cannot listen on 127\.0\.0\.1:{taken.port}: Address already in use$"
        ):
            async with sidecar(mapping, tmp_path):
                pass


# -- reload ------------------------------------------------------------------------------------------------------


async def rewrite(started: Sidecar, mapping: dict[str, object], folder: Path) -> bool:
    path = load_mapping(mapping, folder).files[0]
    return await started.app.reload(path)


async def test_reload_takes_the_new_routes_without_dropping_a_request(tmp_path: Path) -> None:
    """Requests under way keep what they began with; the next ones get the new configuration."""
    async with RawUpstream().running() as upstream, RawUpstream().running() as other:
        before = configuration(upstream.url)
        after = configuration(other.url, routes=[{"path": "/new", "credential": "none", "name": "new"}])
        async with sidecar(before, tmp_path) as started:
            caller = await started.caller()
            await caller.ask("/old")
            stop = asyncio.Event()

            async def load() -> set[int]:
                seen = set()
                mine = await started.caller()
                while not stop.is_set():
                    seen.add((await mine.ask("/new")).status)
                return seen

            loads = [asyncio.create_task(load()) for _ in range(4)]
            assert await rewrite(started, after, tmp_path)
            assert (await caller.ask("/old")).error == "route_not_mapped"
            assert (await caller.ask("/new")).status == 200
            stop.set()
            assert [await task for task in loads] == [{200}] * 4
            assert other.requests
            await until(lambda: upstream.open == 0, "the old upstream's connections closing")
            assert await started.metric("auth_sidecar_config_reloads_total", outcome="ok") == 1


async def test_wrong_configuration_changes_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is logged with file and line; the old one stays, and the metric says so."""
    async with RawUpstream().running() as upstream:
        async with sidecar(configuration(upstream.url), tmp_path) as started:
            wrong = tmp_path / "wrong.yaml"
            wrong.write_text("upstream:\n  url: ftp://x\n")
            assert not await started.app.reload(wrong)
            assert (await started.ask("/")).status == 200
            assert await started.metric("auth_sidecar_config_last_reload_successful") == 0
            assert await started.metric("auth_sidecar_config_reloads_total", outcome="failed") == 1
        assert "wrong.yaml:2" in capfd.readouterr().err


def test_a_symlink_swap_changes_the_stamp(tmp_path: Path) -> None:
    """As the kubelet does it: the file's own name never changes, `..data` points elsewhere."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sidecar.yaml").write_text("same")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "sidecar.yaml").symlink_to("..data/sidecar.yaml")
    file = tmp_path / "sidecar.yaml"
    before = {file: stamp_of(file.stat())}
    assert not changed(before)
    (tmp_path / "..data_tmp").symlink_to("two")
    (tmp_path / "..data_tmp").rename(tmp_path / "..data")
    assert changed(before)
    file.unlink()
    assert changed({file: before[file]})
    assert not changed({file: None})


async def test_ca_file_that_vanishes_during_a_reload_changes_nothing(ca: trustme.CA, tmp_path: Path) -> None:
    """A volume is being swapped: the old configuration goes on as a whole."""
    async with RawUpstream().running(serving(ca, "127.0.0.1")) as upstream:
        mapping = configuration(upstream.url, upstream={"ca_file": trusting(ca, tmp_path)})
        async with sidecar(mapping, tmp_path) as started:
            loaded = load_mapping({**mapping, "routes": []}, tmp_path)
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr("sidecar.app.load", lambda path: loaded)
                (tmp_path / "ca.pem").unlink()
                assert not await started.app.reload(loaded.files[0])
            assert (await started.ask("/")).status == 200
            assert await started.metric("auth_sidecar_config_last_reload_successful") == 0
