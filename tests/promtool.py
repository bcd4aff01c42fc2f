"""Where Prometheus' programs are: on the path, or where `make test-alerts` put them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALLED = Path(__file__).parent.parent / ".alerts"


def found(program: str) -> str | None:
    """`promtool` or `prometheus` as a path, or None."""
    path = os.pathsep.join(
        [os.environ.get("PATH", os.defpath), str(INSTALLED / "prometheus" / "usr" / "bin")]
    )
    return shutil.which(program, path=path)


needs_promtool = pytest.mark.skipif(
    found("promtool") is None,
    reason="promtool is not installed (Debian package prometheus, make test-alerts)",
)


def promtool(directory: Path, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[str]:
    """Run it there; its exit status says whether it is content."""
    program = found("promtool")
    assert program is not None
    done = subprocess.run([program, *arguments], cwd=directory, input=given, capture_output=True, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
