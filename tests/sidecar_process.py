"""The sidecar as a process of its own: for tests that kill it, or that want it as anybody runs it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.harness import DEADLINE, until


@dataclass
class SidecarProcess:
    """`auth-sidecar run`, while it lives; and what it logged."""

    child: asyncio.subprocess.Process
    proxy: str = ""
    admin: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    _reading: asyncio.Task[None] | None = None

    @property
    def proxy_address(self) -> tuple[str, int]:
        host, _, port = self.proxy.rpartition(":")
        return host, int(port)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log lines of this event, so far."""
        return [line for line in self.log if line.get("event") == name]

    async def metric(self, name: str, **labels: str) -> float | None:
        """One sample of the exposition, None when there is none."""
        async with aiohttp.ClientSession() as http, http.get(f"http://{self.admin}/metrics") as answer:
            text = await answer.text()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None

    async def kill(self) -> None:
        """SIGKILL: it has no chance to finish anything."""
        with contextlib.suppress(ProcessLookupError):
            self.child.kill()
        await self._ended()

    async def stop(self) -> int:
        """SIGTERM, and its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self.child.terminate()
        await self._ended()
        assert self.child.returncode is not None
        return self.child.returncode

    async def _ended(self) -> None:
        async with asyncio.timeout(DEADLINE):
            await self.child.wait()
            if self._reading is not None:
                await self._reading

    async def read(self) -> None:
        assert self.child.stderr is not None
        async for line in self.child.stderr:
            with contextlib.suppress(ValueError):
                told = json.loads(line)
                self.log.append(told)
                if told.get("event") == "listening":
                    self.proxy, self.admin = told["proxy"], told["admin"]

    def keep_reading(self) -> None:
        self._reading = asyncio.get_running_loop().create_task(self.read())


@contextlib.asynccontextmanager
async def sidecar_process(config: Path, **environment: str) -> AsyncIterator[SidecarProcess]:
    """Started, and listening; killed at the end if it still runs. Its log must be JSON, at level info."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "run", str(config),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        limit=1 << 20, env={**os.environ, "HOME": "/nonexistent", **environment},
    )  # fmt: skip
    running = SidecarProcess(child)
    running.keep_reading()
    try:
        await until(lambda: running.proxy or child.returncode is not None, "the sidecar's start")
        assert running.proxy, running.log
        yield running
    finally:
        await running.kill()
