"""Tests run on the event loop that the sidecar runs on; TEST_LOOP=asyncio picks the standard library's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if os.environ.get("TEST_LOOP") == "asyncio":
        return {"asyncio": asyncio.new_event_loop}
    return {"uvloop": uvloop.new_event_loop}
