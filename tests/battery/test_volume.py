"""What takes long: gibibytes, millions of chunks, tens of thousands of requests. `make battery` runs it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.battery.stage import HOST, Stage
from tests.harness import Talk, configuration, until
from tests.test_lifecycle import Process, process

pytestmark = [pytest.mark.battery, pytest.mark.volume, pytest.mark.other_clients]

GIB = float(os.environ.get("BATTERY_GIB", "5"))
BLOCK = os.urandom(1 << 20)
BLOCKS = int(GIB * 1024)
MOST_GROWTH = 64 << 20


def resident(started: Process) -> int:
    """Bytes."""
    fields = Path(f"/proc/{started.process.pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def flat(started: Process) -> AsyncIterator[None]:
    """The process grows by no more than 64 MiB meanwhile."""
    highest = before = resident(started)

    async def looks() -> None:
        nonlocal highest
        while True:
            highest = max(highest, resident(started))
            await asyncio.sleep(0.05)

    looking = asyncio.create_task(looks())
    yield
    looking.cancel()
    assert highest - before <= MOST_GROWTH


def digest_of_all() -> str:
    whole = hashlib.sha256()
    for _ in range(BLOCKS):
        whole.update(BLOCK)
    return whole.hexdigest()


async def test_gibibytes_go_up_whole_in_flat_memory(stage: Stage, tmp_path: Path) -> None:
    """Digest for digest."""
    got = hashlib.sha256()

    async def takes(talk: Talk) -> None:
        left = int(talk.request.all("Content-Length")[0])
        while left:
            data = await talk.reader.read(1 << 20)
            got.update(data)
            left -= len(data)
        await talk.send(b"HTTP/1.1 204 No Content\r\n\r\n")

    stage.upstream.script = takes
    async with process(configuration(stage.upstream.url), tmp_path) as started:
        caller = await started.caller()
        async with flat(started):
            await caller.send(b"PUT /x HTTP/1.1\r\n" + HOST + b"Content-Length: %d\r\n\r\n" % (BLOCKS << 20))
            for _ in range(BLOCKS):
                await caller.send(BLOCK)
            async with asyncio.timeout(600):
                head = await caller.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 204 ")
    assert got.hexdigest() == digest_of_all()


async def test_gibibytes_come_down_whole_in_flat_memory(stage: Stage, tmp_path: Path) -> None:
    """Digest for digest."""

    async def pours(talk: Talk) -> None:
        await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (BLOCKS << 20))
        for _ in range(BLOCKS):
            await talk.send(BLOCK)

    stage.upstream.script = pours
    async with process(configuration(stage.upstream.url), tmp_path) as started:
        caller = await started.caller()
        got, left = hashlib.sha256(), BLOCKS << 20
        async with flat(started):
            await caller.send(b"GET /x HTTP/1.1\r\n" + HOST + b"\r\n")
            await caller.reader.readuntil(b"\r\n\r\n")
            while left:
                data = await caller.reader.read(1 << 20)
                got.update(data)
                left -= len(data)
        assert got.hexdigest() == digest_of_all()


async def test_ten_mebibytes_of_one_byte_chunks_arrive_whole(stage: Stage, tmp_path: Path) -> None:
    """Ten million chunks cost time in proportion to their bytes, and no memory; others are served meanwhile."""
    count = 10 << 20
    size = 0

    async def counts(talk: Talk) -> None:
        nonlocal size
        if talk.request.line.startswith("GET"):
            await talk.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        while True:
            length = int(await talk.reader.readuntil(b"\r\n"), 16)
            await talk.reader.readexactly(length + 2)
            size += length
            if not length:
                await talk.send(b"HTTP/1.1 204 No Content\r\n\r\n")
                return

    stage.upstream.script = counts
    async with process(configuration(stage.upstream.url), tmp_path) as started:
        caller = await started.caller()
        async with flat(started):
            await caller.send(b"PUT /x HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
            piece = b"1\r\nx\r\n" * 65536
            for n in range(count // 65536):
                await caller.send(piece)
                if n % 40 == 0:
                    assert (await started.ask("/other")).status == 204
            await caller.send(b"0\r\n\r\n")
            async with asyncio.timeout(600):
                assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")
        assert size == count


async def test_hostile_variety_makes_no_series_and_no_memory(stage: Stage, tmp_path: Path) -> None:
    """Ten thousand paths, methods, hosts, statuses and subjects: as many metric series as after the first few."""
    number = 0

    async def varies(talk: Talk) -> None:
        nonlocal number
        number += 1
        await talk.body()
        await talk.send(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % (200 + number % 399))

    stage.upstream.script = varies
    methods = ["GET", "POST", "PROPFIND", "REPORT", "SEARCH", "MKCOL", "LOCK", "PURGE"]
    mapping = stage.mapping(tokens={"max_cached": 100}, log={"level": "error"})
    async with process(
        {**mapping, "admin": "127.0.0.1:0", "log": {"level": "info", "requests": False}}, tmp_path
    ) as started:
        await until(lambda: started.happened("token_obtained"))

        async def series() -> int:
            page = (await started.ask("/metrics", "admin")).body.decode()
            return sum(line.startswith("auth_sidecar_") for line in page.splitlines())

        async def ask(first: int, last: int) -> None:
            caller = await started.caller()
            for n in range(first, last):
                target, host, fields = f"/x{n}", "localhost", ()
                if n % 5 == 1:
                    target = f"/app/{n}"
                if n % 5 == 2:
                    host = f"h{n}.example"
                if n % 5 == 3:
                    target, fields = f"/agent/{n}", (f"X-On-Behalf-Of: person-{n}",)  # type: ignore[assignment]
                if n % 5 == 4:
                    target = f"/open/{n}"
                lines = [f"{methods[n % 8]} {target} HTTP/1.1", f"Host: {host}", *fields, f"X-{n}: y", "", ""]
                await caller.send("\r\n".join(lines).encode())
                await caller.answer(methods[n % 8])
            caller.close()

        await ask(0, 2000)
        async with flat(started):
            before = await series()
            await asyncio.gather(*(ask(2000 + k * 1000, 3000 + k * 1000) for k in range(8)))
            assert await series() <= before + 50
        assert before < 1500
