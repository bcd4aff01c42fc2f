"""`run` and `demo` as processes: how they start, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from sidecar.cli import loop, process
from tests.commands import call, write
from tests.harness import DEADLINE, OK, RawUpstream, Talk, configuration, until
from tests.log_state import _restored_logging  # noqa: F401  (autouse)

DOUBTFUL = {
    "client": {"id": "x", "auth": "none"},
    "credentials": {"app": {"grant": "client_credentials", "token_url": "https://as.invalid/token"}},
    "routes": [{"path": "/a", "credential": "app", "scopes": ["knowledge.portalmgr.read"]}],
}


async def started(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", *arguments, env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


def bug(error: Exception) -> Any:
    def run(*arguments: object) -> Coroutine[Any, Any, None]:
        async def fail() -> None:
            raise error

        return fail()

    return run


@pytest.mark.parametrize(
    "error",
    [KeyError("SECRET-SUBJECT"), ExceptionGroup("g", [ValueError("SECRET-SUBJECT")])],
    ids=["exception", "group"],
)
def test_bug_ends_the_process_with_one_line_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """JSON, exit 1, where it was, not what it held."""
    monkeypatch.setattr(process, "run", bug(error))
    result = call("run", write(tmp_path, configuration("http://127.0.0.1:1")))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    said = json.loads(line)
    assert (said["event"], said["exception_type"]) == ("crashed", type(error).__name__)
    assert "test_cli_process.py" in said["at"]
    assert "SECRET" not in result.stderr


def test_warnings_are_logged_and_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A doubt is no reason not to start."""
    ran: list[Path] = []

    async def run(path: Path, loaded: object) -> None:
        ran.append(path)

    monkeypatch.setattr(process, "run", run)
    path = write(tmp_path, configuration("http://127.0.0.1:1", **DOUBTFUL))
    result = call("run", path)
    assert (result.exit_code, ran) == (0, [path])
    (line,) = map(json.loads, result.stderr.splitlines())
    assert (line["event"], line["level"]) == ("config_warning", "warning")
    assert "warning: routes[0].scopes[0]: " in line["warning"]


def test_address_in_use_is_one_line_that_names_it(tmp_path: Path) -> None:
    """Exit 1, no log line, no traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = call("run", write(tmp_path, configuration("http://127.0.0.1:1", listen=address)))
        assert result.exit_code == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"auth-sidecar: cannot listen on {address}: ")
        shown = call("demo", "--port", str(taken.getsockname()[1]))
    assert (shown.exit_code, shown.stdout) == (1, "")
    (line,) = shown.stderr.splitlines()
    assert address in line
    assert "--port" in line


@pytest.mark.parametrize("command", ["run", "demo"])
async def test_missing_c_parser_is_one_line_that_says_what_to_do(tmp_path: Path, command: str) -> None:
    """Exit 1, before a port is opened, with no advice about ports: aiohttp's other parser reads by other rules."""
    path = str(write(tmp_path, configuration("http://127.0.0.1:1")))
    arguments = [path] if command == "run" else ["--port", "0"]
    ended = await started(command, *arguments, AIOHTTP_NO_EXTENSIONS="1")
    async with asyncio.timeout(DEADLINE):
        _, err = await ended.communicate()
    assert ended.returncode == 1
    (line,) = err.decode().splitlines()
    assert line.startswith("auth-sidecar: aiohttp's C parser is missing; ")
    assert line.endswith("without AIOHTTP_NO_EXTENSIONS")


def test_uvloop_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own loop where it is not."""
    factory = loop.loop_factory()
    assert factory is not None
    assert factory.__module__ == "uvloop"
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop.loop_factory() is None


async def test_demo_says_what_to_try_and_ends_with_sigterm() -> None:
    """A curl line per grant, at once also into a pipe; exit 0."""
    demo = await started("demo", "--port", "0")
    assert demo.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(DEADLINE):
            while not (lines and lines[-1].startswith("Ctrl-C")):
                lines.append((await demo.stdout.readline()).decode())
                assert lines[-1], "it ended"
            demo.send_signal(signal.SIGTERM)
            _, err = await demo.communicate()
    finally:
        if demo.returncode is None:
            demo.kill()
            await demo.communicate()
    assert demo.returncode == 0
    assert sum(line.startswith("curl ") for line in lines) == 5
    assert b"Traceback" not in err


async def test_bug_of_any_command_is_one_line(tmp_path: Path) -> None:
    """The console script's last resort, in a process of its own: no traceback quotes what an exception holds."""
    script = (
        "import sidecar.cli.commands as c, sidecar.__main__ as m\n"
        "def load(path): raise KeyError('SECRET')\n"
        "c.load = load\n"
        "m.main()"
    )
    ended = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, "explain", "x", "GET", "/",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await ended.communicate()
    assert ended.returncode == 1
    (line,) = err.decode().splitlines()
    assert json.loads(line)["exception_type"] == "KeyError"
    assert "SECRET" not in line


@pytest.mark.parametrize("warm", [False, True], ids=["in a task", "without a task"])
async def test_request_that_the_drain_cuts_has_its_line(tmp_path: Path, warm: bool) -> None:
    """Every request ends in one line, also the last one, and nothing that was gathered is lost at the exit."""
    hold = asyncio.Event()

    async def script(talk: Talk) -> None:
        if talk.request.target == "/slow":
            await hold.wait()
        await talk.send(OK)

    async with RawUpstream(script).running() as upstream:
        mapping = configuration(upstream.url, shutdown={"quiet": "10ms", "drain_timeout": "300ms"})
        child = await started("run", str(write(tmp_path, mapping)))
        assert child.stderr is not None
        async with asyncio.timeout(DEADLINE):
            host, _, port = json.loads(await child.stderr.readline())["proxy"].rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            for target in ("/first", "/slow") if warm else ("/slow",):
                writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                if target != "/slow":
                    await reader.readexactly(len(OK))
            await until(lambda: upstream.requests and upstream.requests[-1].target == "/slow")
            child.send_signal(signal.SIGTERM)
            said = [json.loads(line) for line in (await child.stderr.read()).splitlines()]
            assert await child.wait() == 0
        writer.close()
        hold.set()
    statuses = [line["status"] for line in said if line["event"] == "request"]
    assert statuses == ([200, 499] if warm else [499])


async def test_second_signal_loses_no_line(tmp_path: Path) -> None:
    """It ends at once, but what was served was told."""
    async with RawUpstream().running() as upstream:
        mapping = configuration(upstream.url, shutdown={"quiet": "10s", "drain_timeout": "20s"})
        child = await started("run", str(write(tmp_path, mapping)))
        assert child.stderr is not None
        async with asyncio.timeout(DEADLINE):
            host, _, port = json.loads(await child.stderr.readline())["proxy"].rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            child.send_signal(signal.SIGTERM)
            assert b'"draining"' in await child.stderr.readline()
            writer.write(b"GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"ok")
            child.send_signal(signal.SIGTERM)
            said = [json.loads(line) for line in (await child.stderr.read()).splitlines()]
            assert await child.wait() == 0
        writer.close()
    assert [line["event"] for line in said] == ["request"]
