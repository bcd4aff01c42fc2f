"""The dashboard is what Grafana's own types know, so that no option of it is silently without effect."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.promtool import INSTALLED
from tests.test_dashboard import shown

pytestmark = pytest.mark.alerts

PYTHON = INSTALLED / "grafana" / "bin" / "python"
SCRIPT = Path(__file__).parent / "grafana_types.py"
# Members that Grafana has and these types have not.
UNTYPED = {
    "annotations.list[].step": "of Prometheus' annotations, not of all",
    "annotations.list[].textFormat": "of Prometheus' annotations, not of all",
    "annotations.list[].titleFormat": "of Prometheus' annotations, not of all",
    "templating.list[].definition": "what the list of variables shows",
}


def unknown(dashboard: dict[str, Any]) -> set[str]:
    """Paths of members that are lost when Grafana's types read the dashboard."""
    read = subprocess.run(
        [PYTHON, SCRIPT], input=json.dumps(dashboard), capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr
    return set(read.stdout.split())


def test_grafana_knows_every_member() -> None:
    """Besides those that its types leave out."""
    assert unknown(shown()) == UNTYPED.keys()


@pytest.mark.parametrize("name", ["gridPos", "fieldConfig", "targets"])
def test_a_misspelt_member_would_be_found(name: str) -> None:
    """The judge judges."""
    dashboard = shown()
    panel = dashboard["panels"][1]
    panel[f"{name}s"] = panel.pop(name)
    assert unknown(dashboard) - UNTYPED.keys() == {f"panels[].{name}s"}
