"""The token endpoint is away for longer than a token lives: the sidecar beside Envoy's credential_injector.

    python -m benchmarks.outage [--json FILE] [--lifetime 60] [--outage 90]

All run at once, each with a token endpoint and an API of its own, which count what reaches them. The endpoints do not
vanish but misbehave alike, so that every try is counted: one kind of outage after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks import peers, tokens
from benchmarks.asking import READ, Ask, Who, judge
from benchmarks.faults.stage import ask, python
from benchmarks.goals import table
from benchmarks.machine import describe
from benchmarks.peers import Peer
from benchmarks.ports import free_port
from benchmarks.program import Program
from benchmarks.stream import Sent, Stream
from benchmarks.wire import Wire

OURS, OURS_SOONER = "sidecar", "sidecar, retry.max 4s"
CLIENT, SECRET = "bench", "bench"  # Envoy's configuration here knows that one
_REALM = "/system/auth/TMPRODB88619984-U/oauth2/token"
_CALM, _AFTER = 20.0, 30.0  # seconds before and after the outage
_START = 20.0
# What the endpoint does, in the words of sidecar/demo/faults.py.
KINDS: dict[str, dict[str, object]] = {
    "answers 503": {"kind": "status", "status": 503},
    "resets connections": {"kind": "down"},
    "says nothing": {"kind": "hang"},
}


@dataclass
class Side:
    """A proxy, what is behind it, and what came of its requests."""

    peer: Peer
    token_port: int
    sins: Path
    sent: list[Sent] = field(default_factory=list)
    arrived: list[tuple[float, int]] = field(default_factory=list)  # (the loop's time, token requests so far)


class Trio:
    """Folder by folder: everything that runs for one kind of outage."""

    def __init__(self, folder: Path, lifetime: float) -> None:
        self._folder, self._lifetime = folder, lifetime
        self._key = tokens.write_key(folder / "signing.pem")

    @contextlib.contextmanager
    def sides(self) -> Iterator[list[Side]]:
        with contextlib.ExitStack() as stack:
            found = []
            for name, build in ((OURS, self._sidecar), (OURS_SOONER, self._sooner), ("envoy", self._envoy)):
                token_port, api_port = free_port(), free_port()
                for program in self._behind(name, token_port, api_port):
                    stack.enter_context(program.running())
                peer = build(name, token_port, api_port)
                stack.enter_context(peer.running())
                found.append(Side(peer, token_port, self._sins(name)))
            yield found

    def _sins(self, name: str) -> Path:
        return self._folder / f"{name}-sins.txt"

    def _behind(self, name: str, token_port: int, api_port: int) -> list[Program]:
        endpoint = python(
            "benchmarks.tokens", token_port, self._folder / f"{name}-tokens",
            key=self._key, lifetime=self._lifetime, client=CLIENT, secret=SECRET,
        )  # fmt: skip
        folder, sins = self._folder / f"{name}-api", self._sins(name)
        return [endpoint, python("benchmarks.api", api_port, folder, key=self._key, sins=sins)]

    def _sooner(self, name: str, token_port: int, api_port: int) -> Peer:
        """With a shorter longest wait between two tries."""
        return self._sidecar(name, token_port, api_port, refresh={"retry": {"max": "4s"}})

    def _sidecar(self, name: str, token_port: int, api_port: int, **changes: Any) -> Peer:
        """With the defaults of everything that matters here."""
        secret, file = self._folder / "secret", self._folder / f"{name}.yaml"
        secret.write_text(SECRET, encoding="ascii")
        port, admin = free_port(), free_port()
        mapping = {
            "listen": f"127.0.0.1:{port}",
            "admin": f"127.0.0.1:{admin}",
            "upstream": {"url": f"http://127.0.0.1:{api_port}"},
            "client": {"id": CLIENT, "secret": {"file": str(secret)}},
            "credentials": {
                "app": {
                    "grant": "client_credentials",
                    "token_url": f"http://127.0.0.1:{token_port}{_REALM}",
                }
            },
            "routes": [{"path": "/app/read", "credential": "app", "scopes": [READ]}],
            **changes,
        }
        file.write_text(yaml.safe_dump(mapping), encoding="utf-8")
        return Peer(name, port, [sys.executable, "-m", "sidecar", "run", str(file)], admin)

    def _envoy(self, name: str, token_port: int, api_port: int) -> Peer:
        port = free_port()
        clusters = [peers.cluster("api", api_port), peers.cluster("tokens", token_port)]
        token_url = f"http://127.0.0.1:{token_port}{_REALM}"
        config = peers.envoy_config(port, token_url, clusters, log=False)
        return peers.envoy_peer(self._folder / "envoy.json", name, port, config)


# -- one outage --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Times:
    """The loop's."""

    began: float
    down: float
    up: float
    ended: float


def asks() -> Iterator[Ask]:
    who = Who("/app/read", CLIENT, READ)
    for number in itertools.count():
        yield who.ask(number)


async def served(side: Side) -> None:
    """The first 200."""
    wire = Wire(f"127.0.0.1:{side.peer.port}")
    async with asyncio.timeout(_START):
        while True:
            ask_one = next(asks())
            with contextlib.suppress(OSError, EOFError):
                if judge(ask_one, await wire.ask(ask_one.wire)).kind == "right":
                    wire.close()
                    return
            await asyncio.sleep(0.05)


async def watch(sides: list[Side], until: float) -> None:
    """How many token requests have arrived, every half second."""
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        for side in sides:
            side.arrived.append((loop.time(), int(await ask(side.token_port, tokens.COUNT))))
        await asyncio.sleep(0.5)


async def outage(sides: list[Side], fault: dict[str, object], rate: float, seconds: float) -> Times:
    """Calm, the outage, and what follows."""
    loop = asyncio.get_running_loop()
    for side in sides:
        await served(side)
    streams = [Stream(f"127.0.0.1:{side.peer.port}", asks(), rate, side.sent.append) for side in sides]
    began = loop.time()
    down, up = began + _CALM, began + _CALM + seconds
    ended = up + _AFTER
    async with asyncio.TaskGroup() as tasks_:
        for stream in streams:
            tasks_.create_task(stream.run())
        tasks_.create_task(watch(sides, ended))
        for at, wanted in ((down, fault), (up, {})):
            await asyncio.sleep(at - loop.time())
            for side in sides:
                await ask(side.token_port, "/demo/faults", json.dumps({"token": wanted}))
        await asyncio.sleep(ended - loop.time())
        for stream in streams:
            stream.stop()
    return Times(began, down, up, ended)


# -- what came of it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """One proxy's."""

    kind: str
    proxy: str
    token_requests: int  # that arrived during the outage
    sent: int
    failed: Counter[str]
    wrong: int  # of those: not seen as failures by the caller, or none of the sidecar's errors
    expired: int  # tokens that the API was shown after their end
    served_for: float  # seconds from the outage's beginning to the first failure; the outage's length if there was none
    recovered: float  # seconds from its end to the last failure
    series: list[dict[str, float]]

    def row(self) -> list[str]:
        failed = ", ".join(f"{count} {what}" for what, count in self.failed.most_common()) or "none"
        return [
            self.kind, self.proxy, str(self.token_requests), str(self.sent), failed, str(self.expired),
            f"{self.served_for:.1f}", f"{self.recovered:.1f}",
        ]  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "failed": dict(self.failed)}


def result(kind: str, side: Side, times: Times) -> Result:
    bad = [one for one in side.sent if one.verdict.kind != "right"]
    sins = side.sins.read_text(encoding="utf-8").splitlines() if side.sins.exists() else []
    return Result(
        kind,
        side.peer.name,
        _arrived(side, times.up) - _arrived(side, times.down),
        len(side.sent),
        Counter(one.verdict.what for one in bad),
        sum(one.verdict.kind == "wrong" for one in bad),
        sum("expired" in sin for sin in sins),
        min((one.due for one in bad), default=times.up) - times.down,
        max(0.0, max((one.ended for one in bad), default=times.up) - times.up),
        _series(side, times),
    )


def _arrived(side: Side, at: float) -> int:
    return max((count for when, count in side.arrived if when <= at), default=0)


def _series(side: Side, times: Times) -> list[dict[str, float]]:
    """Second by second from the outage's beginning: token requests since then, good and failed answers."""
    first = _arrived(side, times.down)
    good: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for one in side.sent:
        (good if one.verdict.kind == "right" else failed)[int((one.due - times.down) // 1)] += 1
    return [
        {
            "t": at,
            "token_requests": _arrived(side, times.down + at) - first,
            "good": good[at],
            "failed": failed[at],
        }
        for at in range(-int(_CALM), int(times.ended - times.down))
    ]


async def everything(kinds: list[str], lifetime: float, seconds: float, rate: float) -> list[Result]:
    found = []
    for kind in kinds:
        with (
            tempfile.TemporaryDirectory(prefix="auth-sidecar-outage-") as name,
            Trio(Path(name), lifetime).sides() as sides,
        ):
            times = await outage(sides, KINDS[kind], rate, seconds)
            found += [result(kind, side, times) for side in sides]
        print(f"  {kind}: done", file=sys.stderr, flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=__doc__.splitlines()[0])
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this one")
    parser.add_argument("--lifetime", type=float, default=60.0, help="of tokens, in seconds (default: 60)")
    parser.add_argument("--outage", type=float, default=90.0, help="in seconds (default: 90)")
    parser.add_argument("--rate", type=float, default=50.0, help="requests a second to each (default: 50)")
    parser.add_argument("--json", type=Path, help="write everything here as well")
    given = parser.parse_args()
    if not peers.ENVOY.exists():
        print("Envoy is not installed; run benchmarks/install", file=sys.stderr)
        return 2
    found = asyncio.run(everything(given.kind or list(KINDS), given.lifetime, given.outage, given.rate))
    head = ["the endpoint", "proxy", "token requests", "sent", "failed", "expired at the API"]
    print(table([[*head, "served for s", "recovered s"], *(one.row() for one in found)]))
    print(f"\n{describe()}\n{peers.versions()}")
    if given.json:
        about = {"machine": describe(), "versions": peers.versions(), "lifetime": given.lifetime}
        outages = [one.as_json() for one in found]
        everything_ = {**about, "outage": given.outage, "rate": given.rate, "results": outages}
        given.json.write_text(json.dumps(everything_, indent=1) + "\n", encoding="utf-8")
    ours = [one for one in found if one.proxy in (OURS, OURS_SOONER)]
    return 1 if any(one.expired or one.wrong for one in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
