"""The alert rules and queries of docs/metrics.md: they name metrics that exist, and fire when they should."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.test_metrics_exposition import DOCS, TABLE

PROMTOOL = shutil.which("promtool")
RULES = re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)[0]
QUERIES = re.findall(r"^```promql\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not installed (Debian package prometheus)"
)

# alert -> (series in which it fires, series in which it does not): one sample a minute, and every name
# begins with auth_sidecar_
CASES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "AuthSidecarTokenRunsOut": (
        {
            'token_expires_in_seconds{credential="app"}': "1740-60x60",
            'token_lifetime_seconds{credential="app"}': "3600x60",
        },
        {
            'token_expires_in_seconds{credential="app"}': "1800x60",
            'token_lifetime_seconds{credential="app"}': "3600x60",
        },
    ),
    "AuthSidecarNoFirstToken": (
        {'token_requests_total{credential="app",trigger="startup",outcome="unavailable"}': "0+2x60"},
        {
            'token_requests_total{credential="app",trigger="startup",outcome="ok"}': "0 1x59",
            'token_requests_total{credential="app",trigger="startup",outcome="unavailable"}': "0x60",
            'token_requests_total{credential="app",trigger="ahead",outcome="refused"}': "0+2x60",
        },
    ),
    "AuthSidecarCredentialRefused": (
        {'token_failures_total{credential="app",reason="invalid_client"}': "0+2x60"},
        {'token_failures_total{credential="agent",reason="invalid_grant"}': "0+2x60"},
    ),
    "AuthSidecarRequestsWithoutToken": (
        {'errors_total{route="a",code="token_unavailable"}': "0+5x60"},
        {'errors_total{route="a",code="route_not_mapped"}': "0+5x60"},
    ),
    "AuthSidecarReplaysRising": (
        {
            'replays_total{route="a",outcome="ok"}': "0+5x60",
            'requests_total{route="a",method="GET",status="200"}': "0+100x60",
        },
        {
            'replays_total{route="a",outcome="ok"}': "0 1x59",
            'requests_total{route="a",method="GET",status="200"}': "0+100x60",
        },
    ),
    "AuthSidecarFreshTokenRejected": (
        {'replays_total{route="a",outcome="rejected_again"}': "0+5x60"},
        {'replays_total{route="a",outcome="ok"}': "0+5x60"},
    ),
    "AuthSidecarReloadFailed": (
        {"config_last_reload_successful": "1 0x59"},
        {"config_last_reload_successful": "1 0 1x58"},
    ),
    "AuthSidecarOverloaded": (
        {'errors_total{route="a",code="overloaded"}': "0+5x60"},
        {'errors_total{route="a",code="overloaded"}': "3x60"},
    ),
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES)["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def promtool(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    return subprocess.run([PROMTOOL, *arguments], cwd=directory, capture_output=True, text=True, check=False)


def test_rules_and_queries_name_only_metrics_that_exist() -> None:
    """A metric that was renamed would make a rule silent, not wrong."""
    named = set(re.findall(r"auth_sidecar_\w+", "\n".join([rule["expr"] for rule in rules()] + QUERIES)))
    assert named
    assert {re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name) for name in named} <= TABLE.keys()


def test_every_rule_has_a_case() -> None:
    """A new rule comes with series that set it off."""
    assert {rule["alert"] for rule in rules()} == CASES.keys()


@needs_promtool
def test_promtool_accepts_rules_and_queries(tmp_path: Path) -> None:
    """Syntax, templates and PromQL of everything in the documentation."""
    recorded = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(QUERIES)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "docs", "rules": recorded}]}))
    (tmp_path / "rules.yaml").write_text(RULES)
    checked = promtool(tmp_path, "check", "rules", "rules.yaml", "queries.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
@pytest.mark.parametrize("alert", CASES)
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "keeps-quiet"])
def test_alert(alert: str, fires: bool, tmp_path: Path) -> None:
    """Each rule fires on the trouble it is for, half an hour in, and not on its harmless neighbour."""
    (tmp_path / "rules.yaml").write_text(RULES)
    series = CASES[alert][0 if fires else 1]
    case = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f"auth_sidecar_{name}", "values": values} for name, values in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)',
                        "eval_time": "35m",
                        "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}],
                    }
                ],
            }
        ],
    }
    (tmp_path / "case.yaml").write_text(yaml.safe_dump(case))
    tested = promtool(tmp_path, "test", "rules", "case.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
