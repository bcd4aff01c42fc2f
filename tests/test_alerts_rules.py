"""The alert rules: they name metrics that exist, fire when they should, once, and never when they should not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.alert_pods import END
from tests.alert_scenarios import FIRING, QUIET, Scenario
from tests.promtool import needs_promtool, promtool
from tests.test_docs import DOCS, ROOT, fences
from tests.test_metrics_exposition import documented

RULES = ROOT / "helm" / "egain-auth-sidecar" / "files" / "alerts.yaml"
QUERIES = [
    text
    for page in ("metrics.md", "alerts.md")
    for language, text in fences(DOCS / page)
    if language == "promql"
]
pytestmark = pytest.mark.alerts


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def test_rules_and_queries_name_only_metrics_that_exist() -> None:
    """A metric that was renamed would make a rule silent, not wrong."""
    named = set(re.findall(r"auth_sidecar_\w+", "\n".join([rule["expr"] for rule in rules()] + QUERIES)))
    assert named
    assert {
        re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name) for name in named
    } <= documented().keys()


def test_every_rule_fires_in_a_scenario() -> None:
    """A new rule comes with trouble that sets it off."""
    assert {alert for scenario in FIRING for alert in scenario.fires} == {rule["alert"] for rule in rules()}
    assert not any(scenario.fires for scenario in QUIET)


@needs_promtool
def test_promtool_accepts_rules_and_queries(tmp_path: Path) -> None:
    """Syntax, templates and PromQL of the rules, and of everything in the documentation."""
    recorded = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(QUERIES)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": recorded}]}))
    checked = promtool(tmp_path, "check", "rules", str(RULES), "queries.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def expectations(scenario: Scenario) -> Iterator[dict[str, Any]]:
    """What promtool asks of the scenario: first which alerts fired at all, and in how many series."""

    def expect(query: str, minute: int, *samples: tuple[str, int]) -> dict[str, Any]:
        wanted = [{"labels": labels, "value": value} for labels, value in samples]
        return {"expr": query, "eval_time": f"{minute}m", "exp_samples": wanted}

    fired = f'count by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{END}m]))'
    yield expect(
        fired, END, *((f'{{alertname="{name}"}}', fires.series) for name, fires in scenario.fires.items())
    )
    for alert, fires in scenario.fires.items():
        firing = f'(count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0))'
        unbroken = f"min_over_time({firing}[{fires.until - fires.firing_at}m:1m])"
        yield expect(firing, fires.quiet_at, ("{}", 0))
        yield expect(unbroken, fires.until, ("{}", fires.series))
        if fires.over_at is not None:
            yield expect(firing, fires.over_at, ("{}", 0))


def outcome(scenario: Scenario, style: str, folder: Path) -> str:
    """What promtool finds wrong; nothing, when exactly what is expected happens."""
    series = [
        {"series": name, "values": values} for pod in scenario.pods for name, values in pod.series(style)
    ]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": list(expectations(scenario))}
    case = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}
    (folder / "case.yaml").write_text(json.dumps(case))  # which is YAML, too
    tested = promtool(folder, "test", "rules", "case.yaml")
    return "" if tested.returncode == 0 else tested.stdout + tested.stderr


@needs_promtool
@pytest.mark.parametrize("scenario", [*QUIET, *FIRING], ids=lambda scenario: scenario.name)
def test_exactly_the_alerts_that_are_due_fire(scenario: Scenario, tmp_path: Path) -> None:
    """Scrapes of two and a half hours: which alerts fire, from when to when, and how many of each."""
    assert outcome(scenario, "operator", tmp_path) == ""
