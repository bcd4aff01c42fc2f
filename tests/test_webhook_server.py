"""The webhook's server: TLS and its certificate, pages, bad clients, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import socket
import ssl
import sys
import warnings
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
import trustme

from sidecar import logs
from sidecar.webhook import certificate as certificates
from sidecar.webhook import server
from sidecar.webhook.settings import load
from tests.commands import call
from tests.harness import DEADLINE, until
from tests.log_state import _restored_logging  # noqa: F401 - a fixture
from tests.webhook_harness import SERVICE, Asked, Pki, patch_of, pki, webhook
from tests.webhook_pods import asking, settings


@pytest.fixture
def lines() -> io.StringIO:
    stream = io.StringIO()
    logs.configure(stream=stream)
    return stream


@pytest.fixture
async def asked(tmp_path: Path, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asked]:
    monkeypatch.setattr(certificates, "_LOOK", 0.01)
    async with webhook(tmp_path) as found:
        yield found


def said(lines: io.StringIO, event: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, lines.getvalue().splitlines()) if line["event"] == event]


async def shown(asked: Asked, context: ssl.SSLContext | None = None, name: str | None = SERVICE) -> int:
    """The serial number of the certificate that a new connection is shown."""
    from cryptography import x509

    context = context or asked.pki.client()
    if name is None:
        context.check_hostname = False
    _, writer = await asyncio.open_connection(
        "127.0.0.1", asked.port, ssl=context, server_hostname=name or ""
    )
    found = x509.load_der_x509_certificate(writer.get_extra_info("ssl_object").getpeercert(True))
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return found.serial_number


def serial(made: trustme.LeafCert) -> int:
    from cryptography import x509

    return x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes()).serial_number


# -- certificates ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [SERVICE, None], ids=["named", "unnamed"])
@pytest.mark.parametrize("kind", [trustme.KeyType.ECDSA, trustme.KeyType.RSA])
async def test_certificate_is_shown_to_every_client(
    asked: Asked, version: ssl.TLSVersion, name: str | None, kind: trustme.KeyType
) -> None:
    """Of either version, whether it says whom it wants (SNI) or not, whatever the key; also a rotated one."""
    made = asked.pki.issue(key_type=kind)
    await until(lambda: asked.webhook._numbers.reloads["ok"])
    context = asked.pki.client()
    context.minimum_version = context.maximum_version = version
    assert await shown(asked, context, name) == serial(made)


async def test_older_versions_are_not_spoken(asked: Asked, lines: io.StringIO) -> None:
    """TLS 1.1 ends in the handshake."""
    context = asked.pki.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await shown(asked, context)


def swap(folder: Path, name: str, made: trustme.LeafCert) -> None:
    """As the kubelet does: a new directory, and one rename of the link that leads to it."""
    new = folder / name
    new.mkdir()
    made.cert_chain_pems[0].write_to_path(str(new / "tls.crt"))
    made.private_key_pem.write_to_path(str(new / "tls.key"))
    (folder / "..data_tmp").symlink_to(name)
    (folder / "..data_tmp").rename(folder / "..data")


async def test_symlink_swap_is_noticed_and_kept_connections_go_on(
    tmp_path: Path, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten rotations, a connection that is kept through all of them, and not one that fails."""
    monkeypatch.setattr(certificates, "_LOOK", 0.01)
    folder = tmp_path / "tls"
    folder.mkdir()
    made = Pki(trustme.CA(), folder)
    swap(folder, "..0", made.ca.issue_cert(SERVICE))
    for name in ("tls.crt", "tls.key"):
        (folder / name).symlink_to(f"..data/{name}")
    loaded = load(settings(tmp_path, made.certificate, made.key))
    connector = aiohttp.TCPConnector(ssl=made.client())
    async with server.serving(loaded) as serves, aiohttp.ClientSession(connector=connector) as session:
        asked = Asked(serves, made, session)
        for n in range(1, 11):
            assert patch_of(await asked.ask(asking()))
            issued = made.ca.issue_cert(SERVICE)
            swap(folder, f"..{n}", issued)
            await until(lambda n=n: asked.webhook._numbers.reloads["ok"] >= n)  # type: ignore[misc]
            assert await shown(asked) == serial(issued)
        assert len(connector._conns) == 1  # the one connection was enough for all reviews
    assert len(said(lines, "certificate_reloaded")) == 10


@pytest.mark.parametrize("broken", ["key of another", "empty key", "empty certificate", "gone"])
async def test_broken_pair_is_told_and_the_old_one_stays(
    asked: Asked, lines: io.StringIO, broken: str
) -> None:
    """Until the files are whole again; told once, not once a second."""
    before = await shown(asked)
    if broken == "key of another":
        trustme.CA().issue_cert(SERVICE).private_key_pem.write_to_path(str(asked.pki.key))
    elif broken == "gone":
        asked.pki.key.unlink()
    else:
        (asked.pki.key if "key" in broken else asked.pki.certificate).write_text("")
    numbers = asked.webhook._numbers
    await until(lambda: numbers.reloads["failed"])
    assert await shown(asked) == before
    found = await asked.numbers()
    assert found["certificate_last_reload_successful"] == 0
    assert found["certificate_reloads_total failed"] == 1
    (line,) = said(lines, "certificate_reload_failed")
    assert line["problem"] == ("tls.certificate" if broken == "empty certificate" else "tls.key")
    issued = asked.pki.issue()
    await until(lambda: numbers.last_reload_ok)
    assert await shown(asked) == serial(issued)
    assert patch_of(await asked.ask(asking()))


async def test_end_of_the_certificate_is_a_metric(asked: Asked) -> None:
    """Of the one in use, so that an alert can be ahead of it."""
    ends = datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)
    asked.pki.issue(not_after=ends)
    numbers = asked.webhook._numbers
    await until(lambda: numbers.reloads["ok"])
    assert (await asked.numbers())["certificate_not_after_timestamp_seconds"] == ends.timestamp()


def test_chain_ends_with_the_first_of_its_certificates(tmp_path: Path) -> None:
    """An intermediate that is over is as bad."""
    made = pki(tmp_path)
    early = datetime(2030, 1, 1, tzinfo=UTC)
    made.certificate.write_bytes(
        made.certificate.read_bytes() + made.ca.issue_cert("x", not_after=early).cert_chain_pems[0].bytes()
    )
    assert certificates.load_pair(made.certificate, made.key).not_after == early


# -- bad clients -----------------------------------------------------------------------------------------------


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(DEADLINE):
            return await reader.read()
    return b""


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
async def test_clients_that_speak_no_tls_leave_nothing_behind(asked: Asked, lines: io.StringIO) -> None:
    """Plain HTTP, half a handshake, nothing at all, a reset: no line, no descriptor, and others are served."""
    assert patch_of(await asked.ask(asking()))
    before = descriptors()
    for raw in (
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00" * 1000,
        b"",
    ):
        for reset in (False, True):
            reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
            writer.write(raw)
            await writer.drain()
            if reset:
                linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                writer.write_eof()
                await read_to_the_end(reader)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    await until(lambda: descriptors() <= before)
    assert patch_of(await asked.ask(asking()))
    assert [line["event"] for line in map(json.loads, lines.getvalue().splitlines())] == [
        "listening",
        "review",
        "review",
    ]


async def test_handshake_that_does_not_go_on_is_ended(
    tmp_path: Path, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody holds a descriptor for ever."""
    monkeypatch.setattr(server, "_HANDSHAKE", 0.05)
    async with webhook(tmp_path) as asked:
        reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert await read_to_the_end(reader) == b""
        writer.close()
        assert patch_of(await asked.ask(asking()))
    assert "exception_type" not in lines.getvalue()


async def test_end_does_not_wait_for_half_a_handshake(tmp_path: Path, lines: io.StringIO) -> None:
    """Nor does it leave a warning."""
    async with asyncio.timeout(server._HANDSHAKE), webhook(tmp_path) as asked:
        reader, writer = await asyncio.open_connection("127.0.0.1", asked.port)
        writer.write(b"\x16\x03\x01\x02\x00\x01")
        assert patch_of(await asked.ask(asking()))
    writer.close()
    del reader
    assert "exception_type" not in lines.getvalue()


# -- pages -----------------------------------------------------------------------------------------------------


async def test_pages_for_the_kubelet_and_prometheus(asked: Asked) -> None:
    """Healthy, ready, and every series there from the start."""
    for path in ("/healthz", "/readyz"):
        answer, _ = await asked.fetch("GET", path)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-store")
        assert "Server" not in answer.headers
    found = await asked.numbers()
    for outcome in ("injected", "untouched", "refused", "malformed"):
        assert found[f"reviews_total {outcome}"] == 0
    assert found["certificate_reloads_total failed"] == 0
    assert found["certificate_last_reload_successful"] == 1
    answer, body = await asked.fetch("GET", "/nothing")
    assert (answer.status, json.loads(body)["code"]) == (404, 404)
    answer, _ = await asked.fetch("POST", "/metrics")
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


# -- the process -----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def process(folder: Path, **more: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, Asked]]:
    """`auth-sidecar webhook` as a program."""
    made = pki(folder)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "webhook", str(settings(folder, made.certificate, made.key, **more)),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE):
            line = json.loads(await child.stderr.readline())
        assert line["event"] == "listening"
        connector = aiohttp.TCPConnector(ssl=made.client())
        async with aiohttp.ClientSession(connector=connector) as session:
            yield child, Asked(_There(line["webhook"]), made, session)  # type: ignore[arg-type]
    finally:
        if child.returncode is None:
            child.kill()
        await child.communicate()


class _There:
    """Only the address is known of another process's webhook."""

    def __init__(self, address: str) -> None:
        self.address = address


async def test_sigterm_is_unready_at_once_but_serves_on(tmp_path: Path) -> None:
    """Until the cluster has learned that it goes: new connections, too. A second one ends it at once, with exit 0."""
    async with process(tmp_path, drain="1h") as (child, asked):
        assert patch_of(await asked.ask(asking()))
        child.send_signal(signal.SIGTERM)
        await told(child, "draining")
        answer, body = await asked.fetch("GET", "/readyz")
        assert (answer.status, json.loads(body)) == (503, ["draining"])
        assert (
            answer.headers["Connection"] == "close"
        )  # whoever keeps connections opens the next one elsewhere
        answer, _ = await asked.fetch("GET", "/healthz")
        assert answer.status == 200
        assert patch_of(await asked.ask(asking()))
        child.send_signal(signal.SIGTERM)
        async with asyncio.timeout(DEADLINE):
            assert await child.wait() == 0


async def test_sigterm_ends_it_after_the_drain(tmp_path: Path) -> None:
    """Exit 0, with nothing else said."""
    async with process(tmp_path, drain="50ms") as (child, _):
        child.send_signal(signal.SIGTERM)
        assert child.stderr is not None
        async with asyncio.timeout(DEADLINE):
            said = [json.loads(line)["event"] for line in (await child.stderr.read()).splitlines()]
            assert await child.wait() == 0
    assert said == ["draining", "stopped"]


async def told(child: asyncio.subprocess.Process, event: str) -> None:
    """Read its log up to this event."""
    assert child.stderr is not None
    async with asyncio.timeout(DEADLINE):
        while json.loads(await child.stderr.readline())["event"] != event:
            pass


def test_address_in_use_is_one_line_that_names_it(tmp_path: Path) -> None:
    """Exit 1."""
    made = pki(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = settings(tmp_path, made.certificate, made.key)
        path.write_text(path.read_text().replace("127.0.0.1:0", address))
        result = call("webhook", path)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"auth-sidecar: cannot listen on {address}: ")


async def test_other_commands_do_not_wait_for_it() -> None:
    """`--help` and `check` import neither the webhook nor a web server."""
    script = (
        "import sys; import sidecar.cli.commands\n"
        "print([m for m in sys.modules if m.startswith(('sidecar.webhook', 'aiohttp', 'cryptography'))])"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    out, _ = await child.communicate()
    assert out == b"[]\n"
