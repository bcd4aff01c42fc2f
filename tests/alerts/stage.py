"""What Prometheus watches: the sidecar as anybody runs it, the eGain stand-in behind it, and callers.

Owns the processes, the callers and the troubles that can be made. Knows nothing of alerts and panels.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.ports import free_port, wait_for
from benchmarks.standin import Egain, stand_in
from sidecar.demo.config import write_config
from sidecar.demo.operations import CONTENTMGR, PORTALMGR
from tests.alerts.waiting import status, until

LIFETIME = 20.0  # of tokens, seconds
_START = 30.0
_PORTAL = f"{PORTALMGR}/portals/PROD-1000"
_LANGUAGE = {"Accept-Language": "en-US"}
_ALICE = {"X-On-Behalf-Of": "alice"}
_JANE = {"X-On-Behalf-Of": "jane@example.com"}


@dataclass(frozen=True)
class Asked:
    """A request of a caller."""

    path: str
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "GET"
    body: bytes = b""


@dataclass(frozen=True)
class Sidecar:
    """One sidecar's addresses, `HOST:PORT`; it need not be running."""

    proxy: str
    admin: str


def somewhere() -> Sidecar:
    return Sidecar(f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")


@dataclass
class Stage:
    """What a test acts with."""

    egain: Egain
    folder: Path
    sidecar: Sidecar
    file: Path

    @property
    def usual(self) -> list[Asked]:
        """One request of each of the five ways to get a token."""
        exchanged = {"Authorization": f"Bearer {self.egain.caller_tokens[0]}"}
        return [
            Asked(_PORTAL, _LANGUAGE),
            Asked(f"{_PORTAL}/articles/PROD-2996", _LANGUAGE),
            Asked(f"{_PORTAL}/articles?$filter[topicId]=PROD-1069", _LANGUAGE | _ALICE),
            Asked(f"{_PORTAL}/bookmarks", _LANGUAGE | _JANE),
            Asked(f"{PORTALMGR}/portals", _LANGUAGE | exchanged),
        ]

    @property
    def rejected(self) -> list[Asked]:
        """Requests that the API rejects with 401 once `faults(api=...)` says so; one is too large to be sent again."""
        subjects = [Asked("/demo/echo/agent", {"X-On-Behalf-Of": f"user{n}"}) for n in range(16)]
        return [*subjects, Asked("/demo/upload", method="POST", body=b"x" * 100_000)]

    @property
    def unmapped(self) -> list[Asked]:
        """Requests that lack something in the route map: the persona, a scope, a route, a method."""
        return [
            Asked(f"{CONTENTMGR}/import/content/validate", _LANGUAGE, "POST"),
            Asked(f"{_PORTAL}/bookmarks", _LANGUAGE | _JANE, "POST"),
            Asked("/nowhere"),
            Asked(_PORTAL, _LANGUAGE, "DELETE"),
        ]

    @property
    def slow(self) -> Asked:
        return Asked("/demo/slow?ms=1500")

    def ask(self, asked: Asked) -> int:
        """The status that a caller gets."""
        with contextlib.closing(self.connection()) as connection:
            connection.request(asked.method, asked.path, asked.body or None, asked.headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status

    def leave(self, asked: Asked) -> None:
        """Ask, and be gone before the answer."""
        with contextlib.closing(self.connection()) as connection:
            connection.request(asked.method, asked.path, None, asked.headers)
            assert connection.sock is not None
            connection.sock.shutdown(socket.SHUT_RDWR)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.sidecar.proxy, timeout=30)

    def faults(self, **sides: dict[str, Any]) -> None:
        """What goes wrong from now on: `faults(token={"kind": "down"})`; `{}` is nothing."""
        request = urllib.request.Request(
            f"{self.egain.config['upstream']['url']}/demo/faults",
            json.dumps(sides).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200

    @contextlib.contextmanager
    def calling(self, *asked: Asked, every: float, callers: int = 1) -> Iterator[None]:
        """Callers that send these in turn, so many seconds apart each, until the block ends."""
        over, broken = threading.Event(), list[str]()

        def call() -> None:
            while not over.is_set():
                for one in asked:
                    try:
                        self.ask(one)
                    except (OSError, http.client.HTTPException) as error:
                        broken.append(f"{one.method} {one.path}: {error!r}")
                    if over.wait(every):
                        return

        threads = [threading.Thread(target=call) for _ in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()
        assert not broken, broken[:3]

    @contextlib.contextmanager
    def another(self, at: Sidecar) -> Iterator[None]:
        """A second sidecar, with the same configuration; nobody waits until it is ready."""
        config = yaml.safe_load(self.file.read_text())
        (self.folder / "another").mkdir()
        with _running(self.folder / "another", config, self.egain.secret, at):
            yield


@contextlib.contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Stand-in and sidecar, in processes of their own, until the block ends."""
    at = somewhere()
    with stand_in(LIFETIME) as egain, _running(folder, _configured(egain), egain.secret, at) as file:
        found = Stage(egain, folder, at, file)
        until(lambda: status(f"http://{at.admin}/readyz") == 200, "the sidecar is ready", _START)
        yield found


def _configured(egain: Egain) -> dict[str, Any]:
    """The demo's configuration, with small limits, and a map that asks for too little in two places."""
    routes = [dict(route) for route in egain.config["routes"]]
    for route in routes:
        if route.get("name") == "add-bookmark":
            route["scopes"] = ["knowledge.portalmgr.onbehalfof.read"]
    validate = {
        "name": "validate-import",
        "methods": ["POST"],
        "path": f"{CONTENTMGR}/import/content/validate",
        "credential": "anonymous",
        "scopes": ["knowledge.contentmgr.manage"],
    }
    return {
        **egain.config,
        "refresh": {**egain.config["refresh"], "idle_after": "12s"},
        "tokens": {"max_cached": 60},
        "limits": {"max_in_flight": 30},
        "log": {"level": "info", "format": "json"},
        "routes": [*routes, validate],
    }


@contextlib.contextmanager
def _running(folder: Path, config: dict[str, Any], secret: str, at: Sidecar) -> Iterator[Path]:
    file = write_config(folder, {**config, "listen": at.proxy, "admin": at.admin}, secret)
    with (folder / "sidecar.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "sidecar", "run", str(file)], stderr=log)
    try:
        wait_for(int(at.admin.rpartition(":")[2]), process, time.monotonic() + _START)
        yield file
    finally:
        process.kill()  # how it stops is other tests' matter
        process.wait()
