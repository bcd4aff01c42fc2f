"""The fixture that watches a case, for every test of the battery and for those elsewhere that ask for it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from sidecar.demo.tokens import Mint
from sidecar.logs.sink import Sink
from tests import harness
from tests.battery.case import Case

FAILED = pytest.StashKey[bool]()


class Kept:
    """`capfd`, keeping what a test has read from it."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture
        self.text = ""

    def readouterr(self) -> Any:
        found = self._capture.readouterr()
        self.text += found.out + found.err
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)


@pytest.fixture
def capfd(capfd: pytest.CaptureFixture[str]) -> Kept:
    return Kept(capfd)


@pytest.fixture(scope="session")
def _frozen() -> Iterator[None]:
    """What was imported is here to stay: looking for garbage after each case must not look through it."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
async def case(
    request: pytest.FixtureRequest, capfd: Kept, monkeypatch: pytest.MonkeyPatch, _frozen: None
) -> AsyncIterator[Case]:
    """Everything a test starts is watched; when it has passed, the invariants must hold."""
    loop = asyncio.get_running_loop()
    watching = Case(other_clients=request.node.get_closest_marker("other_clients") is not None)
    issue = Mint.issue

    def recorded(mint: Mint, *args: Any, **named: Any) -> str:
        token = issue(mint, *args, **named)
        watching.tokens.add(token)
        return token

    class Recording(Sink):
        """What it is given is known, also where pytest has taken the stream away between two phases of a test."""

        def gather(self, line: str) -> None:
            watching.log.append(line)
            super().gather(line)

        def write(self, line: str) -> None:
            watching.log.append(line)
            super().write(line)

    monkeypatch.setattr("sidecar.logs.loggers.Sink", Recording)
    monkeypatch.setattr(Mint, "issue", recorded)
    loop.set_exception_handler(lambda _, context: watching.told.append(str(context.get("message"))))
    monkeypatch.setattr(harness, "observers", [watching])
    yield watching
    if request.node.stash.get(FAILED, False):
        Case._littered = True
        return  # what it left behind is of no interest
    capfd.readouterr()
    wrong = await watching.violations(capfd.text + "".join(watching.log))
    if wrong:
        pytest.fail("invariants of the battery:\n  " + "\n  ".join(wrong[:12]), pytrace=False)
