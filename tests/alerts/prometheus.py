"""A real Prometheus on loopback, and its HTTP API.

Owns the process, its configuration, and how time is shortened: in the rules a minute lasts `MINUTE` seconds, and
a sidecar is scraped every half of one. Knows nothing of what is scraped.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.ports import free_port, wait_for
from tests.alerts.waiting import status, until
from tests.promtool import found, promtool

MINUTE = 2.0
_START = 30.0


class QueryFailed(AssertionError):
    """Prometheus did not take a query; it says why."""


@dataclass(frozen=True)
class Prometheus:
    base: str

    def ask(self, path: str, **parameters: str) -> Any:
        """`data` of an answer; QueryFailed when there is none, or a warning."""
        url = f"{self.base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                found = json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise QueryFailed(f"{parameters}: {error.read().decode()[:500]}") from None
        if found["status"] != "success" or found.get("warnings"):
            raise QueryFailed(f"{parameters}: {found}")
        return found["data"]

    def now(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        result: list[dict[str, Any]] = self.ask("query", query=query)["result"]
        return result

    def since(self, start: float, query: str) -> list[dict[str, Any]]:
        """The series of a range query, a sample a second."""
        data = self.ask("query_range", query=query, start=f"{start}", end=f"{time.time()}", step="1")
        result: list[dict[str, Any]] = data["result"]
        return result

    def alerts(self, *states: str) -> dict[str, list[dict[str, Any]]]:
        """Alerts by name, pending and firing ones if not said otherwise."""
        found: dict[str, list[dict[str, Any]]] = {}
        for alert in self.ask("alerts")["alerts"]:
            if not states or alert["state"] in states:
                found.setdefault(alert["labels"]["alertname"], []).append(alert)
        return found


def hurried(rules: str) -> str:
    """The same rules, with each duration in minutes or hours so much shorter; ages and thresholds stay."""

    def shorter(match: re.Match[str]) -> str:
        minutes = int(match[2]) * (60 if match[3] == "h" else 1)
        return f"{match[1]}{round(minutes * MINUTE * 1000)}ms{match[4]}"

    in_ranges = re.sub(r"(\[)(\d+)([mh])(\])", shorter, rules)
    return re.sub(r"(for: )(\d+)([mh])()$", shorter, in_ranges, flags=re.MULTILINE)


@contextlib.contextmanager
def prometheus(folder: Path, rules: Path, scrapes: list[dict[str, Any]]) -> Iterator[Prometheus]:
    """Prometheus with these rules in a hurry, until the block ends."""
    program = found("prometheus")
    if program is None:
        pytest.fail("prometheus is not installed: tests/alerts/install")
    (folder / "alerts.yaml").write_text(hurried(rules.read_text()))
    every = f"{round(MINUTE * 500)}ms"
    configuration = {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["alerts.yaml"],
        "scrape_configs": scrapes,
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    checked = promtool(folder, "check", "config", "prometheus.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                "--config.file=prometheus.yaml",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--log.level=warn",
            ],
            cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    try:
        base = f"http://127.0.0.1:{port}"
        wait_for(port, process, time.monotonic() + _START)
        until(lambda: status(f"{base}/-/ready") == 200, "Prometheus is ready", _START)
        yield Prometheus(base)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
