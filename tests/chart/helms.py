"""Both Helm majors, each behind the same two questions: render these values, lint this chart.

Owns starting them (tests/chart/install put them into .chart/) and their output's form. Knows nothing of what is in
the chart.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import yaml

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / ".chart"
CHART = ROOT / "helm" / "egain-auth-sidecar"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
NAME, NAMESPACE = "rel", "egain"

Values = Mapping[str, Any]
Rendered = dict[str, list[str]]  # template's path -> the text of its documents


class Refused(Exception):
    """Helm would not do it; the message is Helm's own."""


class Helm(Protocol):
    """One of the two."""

    def render(self, values: Values, chart: Path = CHART) -> Rendered:
        """What an install would make. Raises Refused."""

    def lint(self, values: Values, chart: Path = CHART) -> list[str]:
        """What `lint --strict` finds, information aside; empty when it is content."""


class Helm3:
    """The helm program of the third major, 3.6: `helm template`, `helm lint`."""

    def __init__(self, kube_version: str = "1.29.0") -> None:
        self._kube_version = kube_version

    def render(self, values: Values, chart: Path = CHART) -> Rendered:
        done = self._run("template", values, NAME, str(chart), "--kube-version", self._kube_version)
        if done.returncode:
            raise Refused(done.stderr)
        templates: Rendered = {}
        for document in _documents(done.stdout):
            source, _, text = document.partition("\n")
            templates.setdefault(source.removeprefix("# Source: "), []).append(text.strip())
        return templates

    def lint(self, values: Values, chart: Path = CHART) -> list[str]:
        done = self._run("lint", values, str(chart), "--strict")
        messages = re.split(r"^(?=\[)", done.stdout, flags=re.MULTILINE)
        found = [message for message in messages if message.startswith(("[WARNING]", "[ERROR]"))]
        return found or ([done.stderr or done.stdout] if done.returncode else [])

    def deploy(self, command: str, values: Values, server: str) -> str:
        """`helm install` or `helm upgrade` with an API server; what is said at the end. Raises Refused."""
        asked = ["--kube-apiserver", server, "--disable-openapi-validation"]
        done = self._run(command, values, NAME, str(CHART), *asked)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    @staticmethod
    def _run(command: str, values: Values, *arguments: str) -> subprocess.CompletedProcess[str]:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(dict(values), file)
            file.flush()
            return subprocess.run(
                [
                    TOOLS / "node_modules/.bin/helm",
                    command,
                    *arguments,
                    "--namespace",
                    NAMESPACE,
                    "--values",
                    file.name,
                ],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )


class Helm4:
    """Helm's Go packages of the fourth major, in a process that is kept (helm4.py)."""

    def __init__(self, stdin: IO[str], stdout: IO[str]) -> None:
        self._stdin, self._stdout = stdin, stdout

    def render(self, values: Values, chart: Path = CHART) -> Rendered:
        answer = self._ask("render", values, chart)
        texts = {path: _documents(text) for path, text in answer.items() if not path.endswith("NOTES.txt")}
        return {path: documents for path, documents in texts.items() if documents}

    def notes(self, values: Values) -> str:
        """What is said after an install."""
        answer = self._ask("render", values, CHART)
        return str(next(text for path, text in answer.items() if path.endswith("NOTES.txt")))

    def lint(self, values: Values, chart: Path = CHART) -> list[str]:
        report = self._ask("lint", values, chart)
        found = [f"{one['path']}: {one['error']}" for one in report["messages"] if one["severity"] >= 2]
        return found or report["errors"]

    def _ask(self, task: str, values: Values, chart: Path) -> Any:
        job = {"task": task, "chart": str(chart), "values": values, "name": NAME, "namespace": NAMESPACE}
        self._stdin.write(json.dumps(job) + "\n")
        self._stdin.flush()
        answer = json.loads(self._stdout.readline())
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["ok"]


@contextmanager
def helm4() -> Iterator[Helm4]:
    """A Helm 4 process, ended at the end."""
    command = [TOOLS / "bin/python", Path(__file__).with_name("helm4.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Helm4(process.stdin, process.stdout)
        process.stdin.close()
        process.wait(timeout=10)


def objects(rendered: Rendered) -> list[dict[str, Any]]:
    """The Kubernetes objects in what was rendered."""
    return [yaml.safe_load(text) for texts in rendered.values() for text in texts]


def one(rendered: Rendered, kind: str, end: str = "") -> dict[str, Any]:
    """The only object of a kind, among those whose name ends so."""
    found = [x for x in objects(rendered) if x["kind"] == kind and x["metadata"]["name"].endswith(end)]
    assert len(found) == 1, [(x["kind"], x["metadata"]["name"]) for x in objects(rendered)]
    return found[0]


def _documents(text: str) -> list[str]:
    """The YAML documents of a text that have anything but comments in them."""
    parts = (part.strip() for part in re.split(r"^---\s*$", text, flags=re.MULTILINE))
    return [part for part in parts if any(line and not line.startswith("#") for line in part.splitlines())]
