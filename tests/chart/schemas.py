"""Kubernetes objects judged by schemas: Kubernetes' own for its releases, the custom resources' definitions.

Owns starting the judges, which live in .chart/ (tests/chart/install).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.chart.helms import TOOLS

RELEASES = ("1.29", "1.30", "1.31", "1.32", "1.33")
CUSTOM = ("cert-manager.io/v1", "monitoring.coreos.com/v1")


def kubernetes_finds(objects: Iterable[dict[str, Any]], release: str, folder: Path) -> list[str]:
    """What `kubernetes-validate --strict` says against a release about objects that are Kubernetes' own.

    An object it has no schema for counts as found: nothing goes unjudged.
    """
    file = folder / "objects.yaml"
    file.write_text(yaml.safe_dump_all(objects))
    done = subprocess.run(
        [TOOLS / "bin/kubernetes-validate", "--strict", "-k", release, file],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = (done.stdout + done.stderr).splitlines()
    found = [line for line in said if line.startswith(("ERROR", "WARN"))]
    return found if found or not done.returncode else said


def definitions_find(objects: list[dict[str, Any]]) -> list[str]:
    """What the definitions of the custom resources say about objects of theirs."""
    done = subprocess.run(
        [TOOLS / "bin/python", Path(__file__).with_name("custom_resources.py")],
        input=json.dumps(objects),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found
