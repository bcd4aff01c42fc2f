"""The Grafana dashboard: as its sources say, whole, and about metrics that exist."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.dashboard import FILE, text
from tests.promtool import needs_promtool, promtool
from tests.test_metrics_exposition import documented

pytestmark = pytest.mark.alerts

ELSEWHERE = re.compile(r"container_(cpu_usage_seconds_total|memory_working_set_bytes)")  # the kubelet's


def shown() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Rows and panels, those of collapsed rows too."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def expressions(dashboard: dict[str, Any]) -> list[str]:
    """Every PromQL expression: of panels, and of the marks on them."""
    targets = [target for panel in panels(dashboard) for target in panel.get("targets", [])]
    return [one["expr"] for one in targets + dashboard["annotations"]["list"]]


def variables(dashboard: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in dashboard["templating"]["list"]}


def test_file_is_what_its_sources_make() -> None:
    """`make dashboard` writes it anew."""
    assert FILE.read_text() == text(), "dashboard.json is stale: make dashboard"


def test_every_metric_is_shown_and_every_one_that_is_shown_exists() -> None:
    """A metric that was renamed would leave an empty panel."""
    named = set(re.findall(r"\b[a-z]+_[a-z_]+(?=\{|\[| |\))", " ".join(expressions(shown()))))
    ours = {name for name in named if name.startswith(("auth_sidecar_", "container_"))}
    ours = {name for name in ours if not ELSEWHERE.fullmatch(name)}
    assert {re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name) for name in ours} == documented().keys()


def test_choices_are_used_and_those_that_are_used_exist() -> None:
    """Grafana leaves an unknown variable in the query as it is, and the query is an error."""
    dashboard = shown()
    queries = [one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"]
    used = set(re.findall(r"\$\{?(\w+)", " ".join([*expressions(dashboard), *queries]))) | {"datasource"}
    assert {name for name in used if not name.startswith("__")} == variables(dashboard).keys()


def test_panels_have_a_title_a_description_a_unit_and_a_place_of_their_own() -> None:
    """Numbers are unique, and nothing lies on something else or beside the grid."""
    dashboard = shown()
    numbers = [panel["id"] for panel in panels(dashboard)]
    assert len(set(numbers)) == len(numbers)
    for panel in panels(dashboard):
        if panel["type"] != "row":
            assert panel["title"]
            assert panel["description"]
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["targets"]
    for one, other in itertools.combinations([panel["gridPos"] for panel in dashboard["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels(dashboard))


@needs_promtool
def test_promtool_accepts_every_query(tmp_path: Path) -> None:
    """PromQL, with an interval where Grafana puts one."""
    filled = [re.sub(r"\$__\w+", "5m", expression) for expression in expressions(shown())]
    recorded = [{"record": f"query:{n}", "expr": query} for n, query in enumerate(filled)]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    checked = promtool(tmp_path, "check", "rules", "queries.yaml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("word", ["Infinity", "NaN", "http://", "https://"])
def test_nothing_in_it_is_of_one_installation(word: str) -> None:
    """Addresses and numbers that JSON does not know have no business there."""
    assert word not in FILE.read_text()
