"""The kustomize base, rendered by `kubectl kustomize` (tests/chart/install put kubectl into .chart/)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.chart.helms import ROOT, TOOLS

BASE = ROOT / "helm/kustomize"


def kustomized() -> list[dict[str, Any]]:
    """The objects of the base."""
    command: list[str | Path] = [TOOLS / "bin/kubectl", "kustomize", BASE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return list(yaml.safe_load_all(done.stdout))
