"""Secrets stay where they are: what the callers, the API and the authorization server bring comes out nowhere else.

Each case here brings canaries in one place; that none of them is in the log, on a page or in an error is the invariant
that holds after every case of the battery.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from pathlib import Path

import pytest

from tests.battery.case import Case
from tests.battery.stage import SECRET, Stage, http
from tests.harness import Sidecar, Talk, answering

pytestmark = pytest.mark.battery

HOSTILE = [
    "\x1b[31mcanary",
    "canary\u2028x",
    'canary"}{',
    "x" * 20_000 + "canary",
    "\xe2\x80\xaecanary",
    "%0acanary",
]


@pytest.mark.parametrize("name", ["access_token", "code", "token", "signature", "sig", "anything"])
async def test_query_is_no_part_of_any_output(proxy: Sidecar, stage: Stage, case: Case, name: str) -> None:
    """None of it, whatever its names are; it crosses byte for byte."""
    for target in (f"/app/x?{name}=canary-1", f"/nowhere?{name}=canary-2", f"/app/%2f?{name}=canary-3"):
        await proxy.ask(target)
    lines = [line for line in case.log if '"event": "request"' in line]
    assert len(lines) == 3
    assert "?" not in "".join(lines)
    assert stage.upstream.requests[0].target == f"/app/x?{name}=canary-1"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_fields_and_bodies_are_no_part_of_any_output(
    proxy: Sidecar, stage: Stage, case: Case, text: str
) -> None:
    """Cookies, user agents, referrers, credentials of other schemes, bodies both ways: log lines stay one line each."""
    stage.upstream.script = answering(
        http(500, b"canary of the upstream", "Set-Cookie: canary=1", "WWW-Authenticate: canary")
    )
    value = text.replace("\x1b", "").encode().decode("latin-1")
    fields = [
        f"{name}: {value}" for name in ("User-Agent", "Cookie", "Referer", "X-Request-Id", "Authorization")
    ]
    for target in ("/app/x", "/agent/x", "/nowhere", "/app/..%2f"):
        await proxy.ask(target, *fields, method="POST", body=b"canary of the caller")
    assert case.log
    for line in case.log:
        assert line[:-1].isprintable()
        assert len(line) < 2000
        json.loads(line)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /app/canary HTTP/1.1\r\nHost: canary.example\r\n\r\n",
        b"GET /app/canary HTTP/1.1\r\nHost: localhost\r\nOrigin: http://canary.example\r\n\r\n",
        b"GET /nowhere/canary HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"DELETE /canary%2f HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT canary.example:443 HTTP/1.1\r\nHost: canary.example\r\n\r\n",
        b"GET http://canary:canary@canary.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /agent/x HTTP/1.1\r\nHost: localhost\r\nX-On-Behalf-Of: canary bird\r\n\r\n",
        b"GET /app/x HTTP/1.1\r\nHost: localhost\r\nExpect: canary\r\n\r\n",
        b"GET /app/x HTTP/1.1\r\nHost: localhost\r\ncanary\r\n\r\n",
        b"canary\r\n\r\n",
        b"GET /canary" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=lambda d: repr(d)[:50],
)
async def test_refusals_repeat_nothing(proxy: Sidecar, stage: Stage, data: bytes) -> None:
    """Each error is made of its own words and of names from the configuration."""
    caller = await proxy.caller()
    await caller.send(data)
    answer = await caller.answer()
    assert answer.error
    assert b"canary" not in answer.head + answer.body
    for word in (b"Traceback", b".py", b"aiohttp", b"http://", b"127.0.0.1", SECRET.encode()):
        assert word not in answer.head + answer.body.replace(b"use an http:// base URL", b"")
    stage.nothing_happened()


async def test_upstream_that_echoes_our_fields_does_not_reach_the_log(proxy: Sidecar, stage: Stage) -> None:
    """What it sends is the caller's to read (docs/security.md), and nobody else's."""

    async def echoes(talk: Talk) -> None:
        await talk.send(http(403, talk.request.head))

    stage.upstream.script = echoes
    assert b"Authorization: Bearer canary" in (await proxy.ask("/app/x")).body


def test_no_option_takes_a_secret() -> None:
    """An argument is seen by every process of the machine; what asks for a secret asks for where it is."""
    import click

    from sidecar.cli.commands import cli

    def options(command: click.Command, path: str) -> list[str]:
        if isinstance(command, click.Group):
            return [o for name, one in command.commands.items() for o in options(one, f"{path} {name}")]
        return [f"{path} {option}" for parameter in command.params for option in parameter.opts]

    found = options(cli, "auth-sidecar")
    assert len(found) > 10
    telling = [o for o in found if any(word in o for word in ("secret", "token", "password", "key"))]
    allowed = ("-file", "-env", "token-url", "auth-sidecar token ", "private-key", "explain --tokens")
    assert [o for o in telling if not any(word in o for word in allowed)] == []


async def test_process_shows_no_secret_to_its_neighbours(stage: Stage, tmp_path: Path) -> None:
    """Neither the command line nor the environment of `auth-sidecar run` holds what is in the secret's file."""
    import yaml

    config = tmp_path / "sidecar.yaml"
    config.write_text(yaml.safe_dump(stage.mapping()))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar",
        "run",
        str(config),
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"]},
    )
    assert process.stderr is not None
    try:
        said = b""
        async with asyncio.timeout(30):
            while b"token_obtained" not in said:
                line = await process.stderr.readline()
                assert line, said
                said += line
        for name in ("cmdline", "environ"):
            assert SECRET.encode() not in Path(f"/proc/{process.pid}/{name}").read_bytes()
        assert SECRET.encode() not in said
        assert not [name for name in os.listdir(tmp_path) if "core" in name]
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.communicate()
    assert process.returncode == 0
