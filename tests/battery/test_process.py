"""The process as it runs in a pod: signals in every moment, files that change under it, and what it leaves alone."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest
import yaml

from tests.battery.stage import SECRET, Stage
from tests.harness import Caller, Talk, answer_ok, until
from tests.test_lifecycle import Process, process

pytestmark = [pytest.mark.battery, pytest.mark.other_clients]  # the sidecar is another process here


def clean(started: Process) -> None:
    """Nothing in its log says that something went wrong which nobody expected."""
    for line in map(str, started.events):
        for sign in (
            "Traceback",
            "exc_info",
            "internal_error",
            "crashed",
            "never retrieved",
            SECRET,
            "canary",
        ):
            assert sign not in line


def descriptors(started: Process) -> int:
    return len(os.listdir(f"/proc/{started.process.pid}/fd"))


async def test_sigterm_during_a_token_fetch_is_clean(stage: Stage, tmp_path: Path) -> None:
    """The endpoint hangs; exit 0 all the same, and whoever waits is told."""

    async def hangs(talk: Talk) -> None:
        await talk.reader.read()

    stage.tokens.script = hangs
    mapping = stage.mapping(shutdown={"quiet": "50ms", "drain_timeout": "500ms"})
    async with process(mapping, tmp_path) as started:
        await until(lambda: stage.tokens.calls)
        started.process.send_signal(signal.SIGTERM)
        assert await started.ended() == 0
        clean(started)


async def test_sigterm_during_a_reload_is_clean(stage: Stage, tmp_path: Path) -> None:
    """Both signals at once, with a file that changes, too."""
    mapping = stage.mapping(shutdown={"quiet": "50ms"})
    async with process(mapping, tmp_path) as started:
        for n in range(3):
            started.rewrite({**mapping, "allowed_origins": [f"https://{n}.example"]})
            started.process.send_signal(signal.SIGHUP)
        started.process.send_signal(signal.SIGTERM)
        assert await started.ended() == 0
        clean(started)


@pytest.mark.parametrize("after", [0.0, 0.1, 0.3])
async def test_sigterm_during_the_start_is_clean(stage: Stage, tmp_path: Path, after: float) -> None:
    """At any moment of it: by the signal or with 0, never with a traceback."""
    config = tmp_path / "sidecar.yaml"
    config.write_text(yaml.safe_dump(stage.mapping(shutdown={"quiet": "10ms"})))
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", str(config), stderr=asyncio.subprocess.PIPE
    )
    await asyncio.sleep(after)  # a moment of the start, not a wait for one
    run.terminate()
    _, said = await run.communicate()
    assert run.returncode in (0, -signal.SIGTERM)
    assert b"Traceback" not in said


async def test_reload_under_load_fails_no_request_and_keeps_tokens(stage: Stage, tmp_path: Path) -> None:
    """Ten reloads, every other one wrong: all 200, no token fetched again, ready all the time, and the metric tells."""
    mapping = stage.mapping()
    async with process(mapping, tmp_path) as started:
        await until(lambda: started.happened("token_obtained"))
        stop = asyncio.Event()

        async def load() -> set[int]:
            caller, seen = await started.caller(), set()
            while not stop.is_set():
                seen.add((await caller.ask("/app/x")).status)
            return seen

        loads = [asyncio.create_task(load()) for _ in range(4)]
        await started.ask("/app/x")
        before = descriptors(started)
        for n in range(10):
            new = (
                {**mapping, "allowed_origins": [f"https://{n}.example"]} if n % 2 else {**mapping, "wrong": n}
            )
            started.rewrite(new)
            started.process.send_signal(signal.SIGHUP)
            event = "config_reloaded" if n % 2 else "config_reload_failed"
            await until(lambda e=event, n=n: len(started.happened(e)) > n // 2)  # type: ignore[misc]
            metrics = (await started.ask("/metrics", "admin")).body
            assert b"\nauth_sidecar_config_last_reload_successful %d" % (n % 2) in metrics
            assert (await started.ask("/readyz", "admin")).status == 200
        assert {p["problem"].partition(": ")[0].rpartition(":")[2].isdigit() for p in
                started.happened("config_problem")} == {True}  # fmt: skip
        stop.set()
        assert [await task for task in loads] == [{200}] * 4
        assert stage.tokens.calls == 1
        for caller in started.callers:
            caller.close()
        await until(lambda: descriptors(started) <= before)
        clean(started)


def volume(folder: Path, number: int, files: dict[str, str]) -> None:
    """Put files there as the kubelet does it: a new folder, then `..data` points to it."""
    new = folder / f"..{number}"
    new.mkdir()
    for name, text in files.items():
        (new / name).write_text(text)
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(new.name)
    (folder / "..data_tmp").rename(folder / "..data")


async def test_volumes_that_are_swapped_are_noticed(stage: Stage, tmp_path: Path) -> None:
    """Configuration and secret in one swap: the next token request has the new secret, the new route is served."""
    folder = tmp_path / "volume"
    folder.mkdir()
    mapping = stage.mapping()
    mapping["client"]["secret"] = {"file": str(folder / "secret")}
    volume(folder, 1, {"sidecar.yaml": yaml.safe_dump(mapping), "secret": "canary-first"})
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", str(folder / "sidecar.yaml"), stderr=asyncio.subprocess.PIPE
    )
    started = Process(run, folder / "sidecar.yaml")
    log = asyncio.create_task(started.read_log())
    try:
        await until(lambda: started.happened("token_obtained"))
        assert stage.tokens.forms[0]["client_secret"] == ["canary-first"]
        mapping["routes"].append({"path": "/new", "credential": "app", "scopes": ["more"], "name": "new"})
        volume(folder, 2, {"sidecar.yaml": yaml.safe_dump(mapping), "secret": "canary-second\n"})
        await until(lambda: started.happened("config_reloaded"), "the reload")
        assert (await started.ask("/new")).status == 200
        assert stage.tokens.forms[-1]["client_secret"] == ["canary-second"]
        clean(started)
    finally:
        run.kill()
        await run.wait()
        await log
        for caller in started.callers:
            caller.close()


@pytest.mark.parametrize("half", ["", "\n", "\ufeff", "  \n"])
async def test_half_written_secret_is_never_sent(stage: Stage, tmp_path: Path, half: str) -> None:
    """An empty file is a failed try: held tokens serve, the endpoint hears nothing until there is a secret."""
    async with stage.sidecar() as proxy:
        secret = tmp_path / "client-secret"
        secret.write_text(half, encoding="utf-8")
        answer = await proxy.ask("/agent/x", "X-On-Behalf-Of: person-a")
        assert (answer.status, answer.error) == (503, "token_unavailable")
        assert (await proxy.ask("/app/x")).status == 200
        assert stage.tokens.calls == 1
        secret.write_text(f"\ufeff{SECRET}-two\r\n", encoding="utf-8")
        assert (await proxy.ask("/agent/x", "X-On-Behalf-Of: person-b")).status == 200
        assert stage.tokens.forms[-1]["client_secret"] == [f"{SECRET}-two"]


WATCHED = """
import os, sys
def hook(event, args):
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if isinstance(args[0], (str, bytes)) and os.fspath(args[0]) != os.devnull:
            os.write(2, b"WRITES %r\\n" % (args[0],))
    if event in ("os.mkdir", "os.rename", "os.remove", "os.symlink", "tempfile.mkstemp", "tempfile.mkdtemp"):
        os.write(2, b"WRITES %r\\n" % (event,))
sys.addaudithook(hook)
from sidecar.__main__ import main
sys.argv[0] = "auth-sidecar"
main()
"""


async def test_nothing_is_written_to_the_file_system(stage: Stage, tmp_path: Path) -> None:
    """A read-only root, no HOME, no TMPDIR: no file is opened for writing, none is made, from the start to the end."""
    config = tmp_path / "sidecar.yaml"
    config.write_text(yaml.safe_dump(stage.mapping(shutdown={"quiet": "20ms"})))
    stage.upstream.script = answer_ok
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WATCHED, "run", str(config), stderr=asyncio.subprocess.PIPE, cwd="/",
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": "/nonexistent"},
    )  # fmt: skip
    started = Process(run, config)
    said = run.stderr
    assert said is not None
    lines: list[bytes] = []

    async def read() -> None:
        async for line in said:
            lines.append(line)
            if line.startswith(b"{"):
                started.events.append(json.loads(line))

    log = asyncio.create_task(read())
    await until(lambda: started.happened("token_obtained"))
    assert (await started.ask("/app/x")).status == 200
    assert (await started.ask("/metrics", "admin")).status == 200
    started.process.send_signal(signal.SIGHUP)
    await until(lambda: started.happened("config_reloaded"))
    run.terminate()
    assert await started.ended() == 0
    await log
    assert [line for line in lines if line.startswith(b"WRITES")] == []
    for caller in started.callers:
        caller.close()


async def test_failed_connections_leave_no_descriptor_behind(stage: Stage, tmp_path: Path) -> None:
    """Refused, reset, malformed and abandoned ones, two hundred of them: the process has open what it had before."""
    async with process(stage.mapping(), tmp_path) as started:
        await until(lambda: started.happened("token_obtained"))
        await started.ask("/app/x")
        await until(lambda: stage.upstream.open == 1)
        before = descriptors(started)
        for n in range(200):
            caller: Caller = await started.caller()
            await caller.send(
                (b"GET /app/x HTTP/1.1\r\n", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", b"")[n % 4]
            )
            caller.writer.transport.abort()
        await until(lambda: descriptors(started) <= before)
        clean(started)
