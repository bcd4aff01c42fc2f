"""`auth-sidecar demo`, as it is: what it prints about signing in works in a browser."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from sidecar.demo.directory import CLIENT_SECRET
from tests.browser.visitor import visiting
from tests.harness import DEADLINE

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop


@pytest_asyncio.fixture(loop_scope="session")
async def said() -> AsyncIterator[str]:
    """The line about signing in, of a demo that runs."""
    demo = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar", "demo", "--port", "0", stdout=asyncio.subprocess.PIPE
    )
    assert demo.stdout is not None
    try:
        lines: list[str] = []
        async with asyncio.timeout(DEADLINE):
            while not (lines and lines[-1].startswith("Ctrl-C")):
                lines.append((await demo.stdout.readline()).decode())
                assert lines[-1], "it ended"
        (line,) = (line for line in lines if line.startswith("sign in"))
        yield line
    finally:
        demo.terminate()
        await demo.communicate()


async def test_printed_page_names_and_password_work(browser: Any, said: str, tmp_path: Path) -> None:
    """For the user and for the customer; each is served by the API as who they are."""
    found = re.search(r"(http://\S+) as (\S+) or (\S+); password: (\S+)", said)
    assert found is not None, said
    url, user, customer, password = found.groups()
    async with visiting(browser, tmp_path) as visitor:
        for credential, name in (("user", user), ("customer", customer)):
            await visitor.go(url)
            row = visitor.window.locator("form", has_text=f"{credential}:")
            await row.locator("a").click()
            await visitor.window.wait_for_selector("#password")
            await visitor.sign_in(name, password)
            await row.locator("button", has_text="Call").click()
            await visitor.window.locator("pre", has_text=f'"subject": "{name}"').wait_for()
        await visitor.shot("demo")
        await visitor.leave(b"", [CLIENT_SECRET])
