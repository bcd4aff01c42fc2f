"""One case of the battery: what is watched while it runs, and what is looked at when it is over.

Owns the collecting: every sidecar, upstream, caller and token of a test reports here (tests/harness.py calls), and
the process is looked at before and after. What is wrong with it is decided in invariants.py.
"""

from __future__ import annotations

import asyncio
import gc
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.errors import SidecarError
from sidecar.proxy.attempt import Attempt
from sidecar.proxy.body import Body
from sidecar.proxy.caller import CallerConnection
from sidecar.proxy.exchange import Exchange
from sidecar.proxy.tunnel import Tunnel
from sidecar.proxy.upstream import Connection
from sidecar.routing.target import parse
from tests import harness
from tests.battery import invariants
from tests.harness import Caller, RawUpstream, Sidecar

PAGES = ("/metrics", "/status", "/status.json", "/config", "/readyz", "/healthz")
_PER_REQUEST = {Exchange, Attempt, CallerConnection, Connection, Tunnel, Body}
_MOST_LOOKS = 400  # at 5 ms


@dataclass
class Watched:
    """A sidecar, and what it said on its pages at the end."""

    sidecar: Sidecar
    pages: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


class Case:
    """Implements `tests.harness.Observer`."""

    _littered = True  # a case before this one may have left objects behind

    def __init__(self, *, other_clients: bool = False) -> None:
        """`other_clients`: somebody else than `Caller` asks, too, so that requests cannot be counted."""
        self.other_clients = other_clients
        self.upstreams: list[RawUpstream] = []
        self.sidecars: list[Watched] = []
        self.callers: list[Caller] = []
        self.tokens: set[str] = set()  # issued in this case
        self.hidden: set[str] = set()  # further texts that must not come out
        self.log: list[str] = []  # every line that a sidecar of this case wrote
        self.told: list[str] = []
        self.left_open: set[int] = set()
        self._descriptors = descriptors()
        self._tasks = tasks()
        self._objects = objects() if Case._littered else []

    # -- what the harness tells ------------------------------------------------------------------------------------

    def upstream(self, upstream: RawUpstream) -> None:
        self.upstreams.append(upstream)

    def caller(self, caller: Caller) -> None:
        self.callers.append(caller)

    def started(self, sidecar: Sidecar) -> None:
        self.sidecars.append(Watched(sidecar))

    async def leaving(self, sidecar: Sidecar) -> None:
        """Its test is over and it still runs: everything about requests comes to rest."""
        (watched,) = [w for w in self.sidecars if w.sidecar is sidecar]
        app = sidecar.app
        if app.metrics.in_flight == 0:
            self.left_open |= {id(c) for c in sidecar.callers if c.open and c.reading}
            await rest(lambda: not self._unanswered(sidecar))
        for caller in sidecar.callers:
            caller.writer.transport.abort()
        pools = app._pools
        quiet = await rest(
            lambda: (
                app.metrics.in_flight == 0
                and not app.listener.connections
                and not any(busy for _, busy in (pool.counts() for pool in pools))
                and not app.proxy.outbox.size
            )
        )
        if not quiet:
            watched.wrong.append(
                f"callers are gone: {app.metrics.in_flight} requests in flight, "
                f"{len(app.listener.connections)} connections, pools {[p.counts() for p in pools]}"
            )
        for page in PAGES:
            watched.pages[page] = await sidecar.page(page)

    def _unanswered(self, sidecar: Sidecar) -> bool:
        return any(
            c.open and c.answers.whole < c.requests.count and not c.answers.ended for c in sidecar.callers
        )

    # -- the verdict -----------------------------------------------------------------------------------------------

    async def violations(self, output: str) -> list[str]:
        """Everything that is wrong, now that all is closed. `output`: what the process wrote."""
        return [*self._about_requests(), *self._about_outputs(output), *await self._about_remains()]

    def _about_requests(self) -> list[str]:
        wrong = [text for watched in self.sidecars for text in watched.wrong]
        for caller in self.callers:
            wrong += invariants.answers(
                caller.requests, caller.answers, still_open=id(caller) in self.left_open
            )
        callers_own = {
            value.decode("latin-1")
            for caller in self.callers
            for fields in caller.requests.fields
            for name, value in fields
            if name == b"authorization"
        }
        seen = [request for u in self.upstreams if u.role == "upstream" for request in u.requests]
        for request in seen:
            wrong += invariants.authorization(request, self._wants_token(request), self.tokens, callers_own)
        wrong += [f"{u.connections} connections to the other host" for u in self.upstreams
                  if u.role == "other host" and u.connections]  # fmt: skip
        if self.sidecars and not self.other_clients:
            wrong += invariants.accounting(
                sent=sum(c.requests.count for c in self.callers),
                most=sum(c.requests.most for c in self.callers),
                answered=sum(len(c.answers.statuses) for c in self.callers),
                accounted=int(self._total("requests_total")),
                upstream=sum(request.answered for request in seen),
                replays=int(self._total("replays_total", "not_replayable")),
            )
        return wrong

    def _wants_token(self, request: harness.RawRequest) -> bool | None:
        """By the route that leads there; None when sidecars disagree, or the configuration was changed."""
        found: set[bool | None] = set()
        for watched in self.sidecars:
            serving = watched.sidecar.app.proxy.serving
            method, target = request.line.split(" ")[:2]
            if watched.sidecar.app.loaded is not watched.sidecar.loaded:
                return None
            try:
                path = parse(target).path.removeprefix(serving.path_prefix)
                found.add(serving.route_for(path, method).credential is not None)
            except SidecarError:
                found.add(None)
        return found.pop() if len(found) == 1 else None

    def _total(self, metric: str, but: str = "\0") -> float:
        return sum(
            float(line.rpartition(" ")[2])
            for watched in self.sidecars
            for line in watched.pages.get("/metrics", "").splitlines()
            if line.startswith(f"auth_sidecar_{metric}{{") and but not in line
        )

    def _about_outputs(self, output: str) -> list[str]:
        outputs = {"the output": output}
        for number, watched in enumerate(self.sidecars):
            outputs |= {f"{page} of sidecar {number}": text for page, text in watched.pages.items()}
        made = [made for caller in self.callers for made in caller.answers.made]
        outputs["an error's answer"] = "\n".join(
            (m.head + b"\r\n\r\n" + bytes(m.body)).decode("latin-1") for m in made
        )
        return [
            *invariants.secrets(outputs, self._hidden(), self._subjects()),
            *invariants.stray(outputs, self.told),
            *invariants.own_answers(m.head for m in made),
        ]

    def _hidden(self) -> set[str]:
        """Tokens issued and shown, and the clients' secrets."""
        found = self.tokens | self.hidden
        for caller in self.callers:
            for fields in caller.requests.fields:
                found |= {
                    value.decode("latin-1").rpartition(" ")[2]
                    for name, value in fields
                    if name in (b"authorization", b"cookie", b"proxy-authorization")
                }
        for watched in self.sidecars:
            client = watched.sidecar.loaded.config.client
            secret = client.secret if client is not None else None
            path = getattr(secret, "file", None)
            if isinstance(path, Path) and path.exists():
                found.add(path.read_text().strip())
        return found

    def _subjects(self) -> set[str]:
        names = {b"x-on-behalf-of", b"x-user", b"x-customer"}
        known = " ".join(str(w.sidecar.loaded.config.credentials) for w in self.sidecars)
        return {
            text
            for caller in self.callers
            for fields in caller.requests.fields
            for name, value in fields
            if name in names and (text := value.decode("latin-1")) not in known
        }

    async def _about_remains(self) -> list[str]:
        await rest(lambda: not invariants.remains("", self._tasks, tasks()))
        gc.collect()
        await rest(lambda: not invariants.remains("", self._descriptors, descriptors()))
        left = objects()
        Case._littered = bool(left)
        return [
            *invariants.remains("tasks", self._tasks, tasks()),
            *invariants.remains("descriptors", self._descriptors, descriptors()),
            *invariants.remains("objects", self._objects, left),
        ]


async def rest(condition: object) -> bool:
    """Wait for a condition that is nearly always true at once; False when it does not come true in time."""
    assert callable(condition)
    for _ in range(_MOST_LOOKS):
        if condition():
            return True
        await asyncio.sleep(0.005)
    return bool(condition())


def descriptors() -> list[str]:
    """What the process has open, without the numbers that never repeat and without what pytest captures with."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            name = os.readlink(f"/proc/self/fd/{number}").partition(":[")[0]
        except OSError:
            continue  # the listing's own
        if name != os.devnull and not name.endswith(" (deleted)"):
            found.append(name)
    return found


def tasks() -> list[str]:
    """Names of what the loop has running besides the test itself."""
    current = asyncio.current_task()
    return [
        getattr(task.get_coro(), "__qualname__", "?") for task in asyncio.all_tasks() if task is not current
    ]


def objects() -> list[str]:
    """Every object that belongs to one request or one connection."""
    counted = Counter(type(thing).__name__ for thing in gc.get_objects() if type(thing) in _PER_REQUEST)
    return list(counted.elements())
