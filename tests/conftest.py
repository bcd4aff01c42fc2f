"""Tests run on the event loop that the sidecar runs on; TEST_LOOP=asyncio picks the standard library's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Generator, Mapping

import pytest
import uvloop

from sidecar.demo.standin import StandIn
from tests.battery.fixtures import FAILED, _frozen, capfd, case
from tests.fake_clock import FakeClock
from tests.harness import RawUpstream

__all__ = ["_frozen", "capfd", "case"]  # fixtures

# Whoever runs these tests may have signed in with `auth-sidecar login`; no sidecar here may find that.
os.environ["XDG_STATE_HOME"] = "/nonexistent"


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if os.environ.get("TEST_LOOP") == "asyncio":
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know that their test has failed."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def egain() -> AsyncIterator[StandIn]:
    async with StandIn() as standin:
        yield standin


@pytest.fixture
async def upstream() -> AsyncIterator[RawUpstream]:
    async with RawUpstream().running() as served:
        yield served
