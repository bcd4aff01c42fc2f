"""The tasks in which tokens are fetched.

Owns their lifetime: none outlives the `async with`, and a bug in one ends it, loudly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class Fetches:
    """Tasks, cancelled at the end of the context at the latest."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._group.__aexit__(kind, error, traceback)

    async def finish(self, timeout: float) -> None:
        """Let those under way come to their end, for so many seconds at most."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    def spawn(self, fetch: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run it, as long as the context lasts."""
        task = self._group.create_task(fetch)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
