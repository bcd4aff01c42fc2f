"""`make audit` with the real tools: clean, found and unknown are three different answers."""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supply.version import ROOT
from tests.supply.conftest import Done

pytestmark = pytest.mark.supply

LOCKED = len(re.findall(r"^[\w.-]+==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
VULNERABILITY = {
    "id": "PYSEC-2099-1",
    "modified": "2099-01-01T00:00:00Z",
    "summary": "of this test",
    "affected": [
        {
            "package": {"name": "aiohttp", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.1"}]}],
        }
    ],
}


@contextlib.contextmanager
def osv(answer: Callable[[str], tuple[int, object]]) -> Iterator[str]:
    """A service that speaks OSV's protocol; `answer` gets a package's name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(asked["package"]["name"])
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()


def test_clean_when_every_package_was_answered_for(tool: Callable[..., Done]) -> None:
    """Exit 0; the code's findings are all looked at."""
    with osv(lambda name: (200, {})) as url:
        done = tool("-m", "supply.audit", "--osv-url", url)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"pip-audit: CLEAN: {LOCKED} packages, no known vulnerabilities\n" in done.stdout
    assert "bandit: CLEAN: " in done.stdout


def test_found_names_package_advisory_and_remedy(tool: Callable[..., Done]) -> None:
    """Exit 1."""
    with osv(lambda name: (200, {"vulns": [VULNERABILITY]} if name == "aiohttp" else {})) as url:
        done = tool("-m", "supply.audit", "--osv-url", url)
    assert done.returncode == 1
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("pip-audit: FOUND: "))
    assert line.startswith("pip-audit: FOUND: aiohttp 3.")
    assert line.endswith(": PYSEC-2099-1 (mended in 99.1)")


@pytest.mark.parametrize("status", [500, 404])
def test_unknown_when_one_package_could_not_be_asked_about(tool: Callable[..., Done], status: int) -> None:
    """Exit 3: neither clean nor found."""
    with osv(lambda name: (status if name == "yarl" else 200, {})) as url:
        done = tool("-m", "supply.audit", "--osv-url", url)
    assert done.returncode == 3
    assert "pip-audit: UNKNOWN: UNKNOWN whether there are vulnerabilities" in done.stdout
    assert "pip-audit: CLEAN" not in done.stdout


def test_unknown_when_nobody_listens(tool: Callable[..., Done]) -> None:
    """Exit 3, and the reason in one line."""
    with osv(lambda name: (200, {})) as url:
        pass
    done = tool("-m", "supply.audit", "--osv-url", url)
    assert done.returncode == 3
    assert "refused" in done.stdout


def test_code_that_nobody_looked_at_is_found(tool: Callable[..., Done], tmp_path: Path) -> None:
    """By the real bandit, with file, line and test."""
    source = tmp_path / "sidecar"
    source.mkdir()
    (source / "shell.py").write_text("import subprocess\n\nsubprocess.run('ls', shell=True)\n")
    script = "import sys, pathlib; from supply import audit; print(audit.code(pathlib.Path(sys.argv[1])))"
    done = tool("-c", script, source)
    assert "sidecar/shell.py:3: B602 " in done.stdout
