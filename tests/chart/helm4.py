"""Helm 4 as a program: runs under `.chart/bin/python`, which has Helm's Go packages (helm-python-sdk); see helms.py.

Reads one job a line as JSON on stdin: {"task": "render" | "lint" | "values", "chart": DIR, ...}; answers each with a
line on stdout: {"ok": RESULT} or {"error": MESSAGE}. One process serves all jobs, since starting it takes a second.
"""

import json
import sys
from typing import Any

from helm_python.chart import Chart, lint, values_from_yaml


def do(job: dict[str, Any]) -> Any:
    if job["task"] == "lint":
        return lint(job["chart"], job["values"], strict=True, namespace=job["namespace"])
    if job["task"] == "values":
        return values_from_yaml(job["text"])
    with Chart.load(job["chart"]) as chart:
        return chart.render(job["values"], name=job["name"], namespace=job["namespace"])


for line in sys.stdin:
    try:
        answer = {"ok": do(json.loads(line))}
    except Exception as refused:
        answer = {"error": f"{type(refused).__name__}: {refused}"}
    print(json.dumps(answer), flush=True)
