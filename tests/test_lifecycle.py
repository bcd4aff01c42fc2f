"""The process: start, SIGTERM, SIGHUP, a changed file, a second signal. Real processes, real signals."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.demo.standin import StandIn
from tests.harness import (
    DEADLINE,
    OK,
    Answer,
    Caller,
    RawUpstream,
    Talk,
    answer_ok,
    configuration,
    until,
    with_tokens,
)


@dataclass
class Process:
    """`auth-sidecar run` as it is started in a pod."""

    process: asyncio.subprocess.Process
    config: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    callers: list[Caller] = field(default_factory=list)

    async def read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            with contextlib.suppress(ValueError):
                self.events.append(json.loads(line))

    def happened(self, event: str) -> list[dict[str, Any]]:
        return [e for e in self.events if e["event"] == event]

    def _address(self, which: str) -> tuple[str, int]:
        host, _, port = self.happened("listening")[0][which].rpartition(":")
        return host, int(port)

    async def caller(self, which: str = "proxy") -> Caller:
        caller = Caller(*await asyncio.open_connection(*self._address(which)))
        self.callers.append(caller)
        return caller

    async def ask(self, target: str, which: str = "proxy") -> Answer:
        caller = await self.caller(which)
        try:
            return await caller.ask(target)
        finally:
            caller.close()

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    def rewrite(self, mapping: dict[str, Any]) -> None:
        """As an editor does it, and the kubelet: a new file takes the old one's place."""
        new = self.config.with_suffix(".new")
        new.write_text(yaml.safe_dump(mapping))
        new.rename(self.config)


@contextlib.asynccontextmanager
async def process(mapping: dict[str, Any], folder: Path, **environ: str) -> AsyncIterator[Process]:
    config = folder / "sidecar.yaml"
    config.write_text(yaml.safe_dump(mapping))
    started = Process(
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar", "run", str(config),
            stderr=asyncio.subprocess.PIPE, env={"PATH": os.environ["PATH"], **environ},
        ),
        config,
    )  # fmt: skip
    log = asyncio.create_task(started.read_log())
    try:
        await until(lambda: started.happened("listening") or log.done(), "listening")
        yield started
    finally:
        for caller in started.callers:
            caller.close()
        if started.process.returncode is None:
            started.process.kill()
        await started.process.wait()
        await log


async def test_sigterm_lets_the_app_finish(upstream: RawUpstream, tmp_path: Path) -> None:
    """Not ready at once, still serving, `Connection: close`, exit 0 when all is quiet."""
    hold = asyncio.Event()

    async def slow(talk: Talk) -> None:
        if "slow" in talk.request.line:
            await hold.wait()
        await answer_ok(talk)

    upstream.script = slow
    async with process(configuration(upstream.url, shutdown={"quiet": "300ms"}), tmp_path) as started:
        assert (await started.ask("/readyz", "admin")).status == 200
        waiting = asyncio.create_task(started.ask("/slow"))
        await until(lambda: upstream.requests)
        started.process.send_signal(signal.SIGTERM)
        await until(lambda: started.happened("draining"))
        ready = await started.ask("/readyz", "admin")
        assert ready.status == 503
        for _ in range(3):
            answer = await started.ask("/quick")
            assert (answer.status, answer.all("Connection")) == (200, ["close"])
        hold.set()
        assert (await waiting).status == 200
        assert await started.ended() == 0
        assert "Traceback" not in str(started.events)


async def test_app_that_asks_now_and_then_is_served_to_its_end(upstream: RawUpstream, tmp_path: Path) -> None:
    """Complaint: the sidecar is gone first. It stays while the pauses are shorter than `quiet`; then the job ends."""
    async with process(configuration(upstream.url, shutdown={"quiet": "2s"}), tmp_path) as started:
        started.process.send_signal(signal.SIGTERM)
        await until(lambda: started.happened("draining"))
        for _ in range(8):
            await asyncio.sleep(0.3)  # the app's own pace; all of them take longer than `quiet`
            assert (await started.ask("/quick")).status == 200
        assert await started.ended() == 0
        assert started.happened("stopped")[0]["cut"] == 0


async def test_request_under_way_is_waited_for_however_quiet_it_is(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    """Nothing else arrives for many times `quiet`: its answer is still the app's to get."""
    hold = asyncio.Event()

    async def slow(talk: Talk) -> None:
        await hold.wait()
        await answer_ok(talk)

    upstream.script = slow
    async with process(configuration(upstream.url, shutdown={"quiet": "50ms"}), tmp_path) as started:
        waiting = asyncio.create_task(started.ask("/slow"))
        await until(lambda: upstream.requests)
        started.process.send_signal(signal.SIGTERM)
        await until(lambda: started.happened("draining"))
        await asyncio.sleep(0.8)  # sixteen times `quiet`
        assert not waiting.done()
        hold.set()
        assert (await waiting).status == 200
        assert await started.ended() == 0
        assert started.happened("stopped")[0]["cut"] == 0


async def test_what_never_ends_is_cut_after_drain_timeout(upstream: RawUpstream, tmp_path: Path) -> None:
    """An event stream does not hold the pod; exit 0 all the same."""

    async def endless(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\n\r\ndata: x\n\n")
        await talk.reader.read()

    upstream.script = endless
    mapping = configuration(upstream.url, shutdown={"quiet": "50ms", "drain_timeout": "400ms"})
    async with process(mapping, tmp_path) as started:
        caller = await started.caller()
        await caller.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await caller.head()
        started.process.send_signal(signal.SIGTERM)
        assert await started.ended() == 0
        assert b"\r\n0\r\n" not in await caller.closed()
        assert started.happened("stopped")[0]["cut"] == 1


async def test_second_signal_ends_it_at_once(upstream: RawUpstream, tmp_path: Path) -> None:
    """For whoever is in a hurry."""

    async def never(talk: Talk) -> None:
        await talk.reader.read()

    upstream.script = never
    async with process(configuration(upstream.url), tmp_path) as started:
        caller = await started.caller()
        await caller.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until(lambda: upstream.requests)
        started.process.send_signal(signal.SIGINT)
        await until(lambda: started.happened("draining"))
        started.process.send_signal(signal.SIGTERM)
        await started.ended()
        assert not started.happened("stopped")


@pytest.mark.parametrize("how", ["SIGHUP", "a changed file"])
async def test_configuration_is_read_again(upstream: RawUpstream, tmp_path: Path, how: str) -> None:
    """A wrong one is logged with file and line and changes nothing; the next good one is taken."""
    mapping = configuration(upstream.url)
    async with process(mapping, tmp_path) as started:
        good = {**mapping, "routes": [{"path": "/new", "credential": "none"}], "listen": "127.0.0.1:1"}
        for wanted, after in (
            ({**mapping, "nonsense": 1}, "config_reload_failed"),
            (good, "config_reloaded"),
        ):
            started.rewrite(wanted)
            if how == "SIGHUP":
                started.process.send_signal(signal.SIGHUP)
            while not started.happened(after):
                await asyncio.sleep(0.01)
            assert (await started.ask("/new")).status == 200
        assert "sidecar.yaml:" in started.happened("config_problem")[0]["problem"]
        assert started.happened("config_needs_restart")[0]["key"] == "listen"
        assert (await started.ask("/old")).error == "route_not_mapped"


async def test_both_servers_down_at_start_is_no_reason_not_to_start(tmp_path: Path) -> None:
    """Alive, not ready, 503 and 502; it recovers without a restart, and needs neither HOME nor a temporary folder."""
    async with StandIn() as egain, RawUpstream().running() as upstream:
        mapping = with_tokens(
            egain, upstream.url, tmp_path, refresh={"retry": {"initial": "100ms", "max": "200ms"}}
        )
        egain.faults.token.on(kind="close")
        async with process(mapping, tmp_path, TMPDIR="/nonexistent") as started:
            assert (await started.ask("/healthz", "admin")).status == 200
            ready = await started.ask("/readyz", "admin")
            assert ready.status == 503
            assert json.loads(ready.body)
            assert (await started.ask("/app/x")).error == "token_unavailable"
            egain.faults.clear()
            await until(lambda: started.happened("token_obtained"))
            assert (await started.ask("/readyz", "admin")).status == 200
            upstream.script = answer_ok
            assert (await started.ask("/app/x")).body == OK[-2:]


async def test_wrong_configuration_does_not_start(tmp_path: Path) -> None:
    """Exit 2 with every problem on a line of its own, before a port is opened."""
    config = tmp_path / "wrong.yaml"
    config.write_text("upstream:\n  url: ftp://x\n  urll: y\nlisten: 8080\n")
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", str(config), stderr=asyncio.subprocess.PIPE
    )
    _, err = await run.communicate()
    assert run.returncode == 2
    lines = [line for line in err.decode().splitlines() if line.startswith(f"{config}:")]
    assert len(lines) == 3


async def test_port_in_use_ends_the_start(upstream: RawUpstream, tmp_path: Path) -> None:
    """Exit 1, one line that names the port, no traceback."""
    async with RawUpstream().running() as taken:
        config = tmp_path / "sidecar.yaml"
        config.write_text(yaml.safe_dump(configuration(upstream.url, listen=f"127.0.0.1:{taken.port}")))
        run = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "sidecar", "run", str(config), stderr=asyncio.subprocess.PIPE
        )
        _, err = await run.communicate()
    assert run.returncode == 1
    assert f"127.0.0.1:{taken.port}" in err.decode()
    assert "Traceback" not in err.decode()


async def test_included_file_that_was_wrong_is_noticed_when_it_is_mended(
    upstream: RawUpstream, tmp_path: Path
) -> None:
    """What a failed reload has read is watched, too."""
    mapping = configuration(upstream.url)
    async with process(mapping, tmp_path) as started:
        include = tmp_path / "routes.yaml"
        include.write_text("- path: nonsense\n")
        started.rewrite({**mapping, "routes": [{"include": "routes.yaml"}]})
        await until(lambda: started.happened("config_reload_failed"))
        include.write_text("- {path: /mended, credential: none}\n")
        await until(lambda: started.happened("config_reloaded"))
        assert (await started.ask("/mended")).status == 200
