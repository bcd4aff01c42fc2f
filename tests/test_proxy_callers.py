"""Callers leave descriptors for what serves them: more connections than half of the limit are turned away."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar import descriptors, logs
from sidecar.demo.standin import StandIn
from tests.harness import Caller, Sidecar, sidecar, until, with_tokens


def configuration(egain: StandIn, folder: Path) -> dict[str, Any]:
    config = with_tokens(egain, egain.base, folder)
    config["routes"] = [{"path": "/demo/**", "credential": "app", "scopes": ["app.knowledge.portalmgr.read"]}]
    return config


@pytest.fixture
async def proxy(egain: StandIn, tmp_path: Path) -> AsyncIterator[Sidecar]:
    async with sidecar(configuration(egain, tmp_path), tmp_path) as started:
        await until(lambda: not started.app.missing())
        yield started


@pytest.fixture
def three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for three callers."""
    monkeypatch.setattr(descriptors, "for_callers", lambda: 3)


async def refused(proxy: Sidecar) -> bool:
    """Is a new caller turned away?"""
    caller = await proxy.caller()
    with contextlib.closing(caller), contextlib.suppress(ConnectionError):
        return await caller.closed() == b""
    return True


@pytest.mark.usefixtures("case", "three")
async def test_one_caller_too_many_is_turned_away_and_the_others_are_served(proxy: Sidecar) -> None:
    """However often it tries; once one has left there is room again."""
    callers: list[Caller] = [await proxy.caller() for _ in range(3)]
    for caller in callers:
        assert (await caller.ask("/demo/echo/app")).status == 200
    for _ in range(3):
        assert await refused(proxy)
    for caller in callers:
        assert (await caller.ask("/demo/echo/app")).status == 200
    callers[0].close()
    await until(lambda: proxy.app.listener.callers == 2, "the first caller has left")
    assert (await proxy.ask("/demo/echo/app")).status == 200


@pytest.mark.usefixtures("three")
async def test_turning_away_is_said_once_and_not_for_each(
    egain: StandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A flood of callers is no flood of lines."""
    async with sidecar(configuration(egain, tmp_path), tmp_path) as proxy:
        callers = [await proxy.caller() for _ in range(3)]
        await callers[-1].ask("/demo/echo/app")
        for _ in range(5):
            assert await refused(proxy)
    logs.flush()
    assert capfd.readouterr().err.count("callers_turned_away") == 1


@contextlib.contextmanager
def soft_limit(number: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_callers_have_half_of_what_the_process_may_have_now() -> None:
    """The limit may be changed from outside while it runs."""
    for number in (512, 400):
        with soft_limit(number):
            assert descriptors.for_callers() == number // 2


def test_a_process_takes_all_the_descriptors_it_may_have() -> None:
    """1,024, the usual soft limit, is for programs that use select()."""
    program = (
        "import resource as r; from sidecar.descriptors import raise_limit; hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; "
        "r.setrlimit(r.RLIMIT_NOFILE, (256, hard)); raise_limit(); assert r.getrlimit(r.RLIMIT_NOFILE) == (hard, hard)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_no_limit_is_room_for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """`unlimited` is written as a negative number."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert descriptors.for_callers() > 1_000_000
