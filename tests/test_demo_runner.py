"""The demo as a whole: the stand-in with the real sidecar in front of it."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import signal
import sys

import aiohttp
import pytest

from sidecar.demo.runner import run_demo

PERSONAS = ["app", "anonymous", "obo_user", "obo_customer", "user"]


async def said_by_demo(lines: list[str]) -> None:
    async with asyncio.timeout(30):
        while not any("Ctrl-C" in line for line in lines):
            await asyncio.sleep(0.01)


async def run(line: str) -> tuple[int, str]:
    """Run a command line as a shell would; status of the answer and its body."""
    process = await asyncio.create_subprocess_exec(
        *shlex.split(line), "-w", "\n%{http_code}", stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    return int(status), body


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_every_printed_curl_line_gives_200_through_the_sidecar() -> None:
    """Copied and pasted, each line is served, as the identity it promises."""
    lines: list[str] = []
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:  # a demo that fails ends the wait
        tasks.create_task(run_demo(0, echo=lines.append, stop=stop))
        try:
            await said_by_demo(lines)
            answers = [await run(line) for line in lines if line.startswith("curl ")]
        finally:
            stop.set()
    assert [status for status, _ in answers] == [200] * 5, answers
    assert [json.loads(body)["servedFor"]["persona"] for _, body in answers] == PERSONAS


async def test_stand_in_runs_alone_as_a_module() -> None:
    """`python -m sidecar.demo` listens, says where, and ends with SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sidecar.demo", "--port", "0", "--lifetime", "5", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        first = (await process.stdout.readline()).decode()
        base = first.split()[-1]
        async with aiohttp.ClientSession() as http, http.get(f"{base}/demo/faults") as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0
