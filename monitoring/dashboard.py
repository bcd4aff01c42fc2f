"""Writes the dashboard into the chart: `python -m monitoring.dashboard`.

Owns where it goes. The same sources give the same bytes, so a test can say when the file is stale.
"""

from __future__ import annotations

import json
from pathlib import Path

from monitoring.grafana import dashboard
from monitoring.panels import EVENTS, ROWS, VARIABLES

FILE = Path(__file__).parent.parent / "helm" / "egain-auth-sidecar" / "files" / "dashboard.json"


def text() -> str:
    """The dashboard as it stands in the file."""
    made = dashboard(
        uid="egain-auth-sidecar",
        title="Auth sidecar",
        about="Traffic, latency, errors and tokens of egain-auth-sidecar.",
        variables=VARIABLES,
        rows=ROWS,
        events=EVENTS,
    )
    return json.dumps(made, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    FILE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
