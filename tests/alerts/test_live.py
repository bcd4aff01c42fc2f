"""A real Prometheus watches a real sidecar: alerts fire and end, every panel of the dashboard has data."""

from __future__ import annotations

import math
import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.alerts import story as tale
from tests.alerts.story import OPERATOR, PLAIN, Story, due
from tests.promtool import promtool
from tests.test_alerts_rules import QUERIES, rules
from tests.test_dashboard import ELSEWHERE, expressions, panels, shown, variables

pytestmark = pytest.mark.alerts

NAMES = [rule["alert"] for rule in rules()]
PANELS = {panel["title"]: panel for panel in panels(shown()) if panel["type"] != "row"}
# Panels that have nothing to show here, and why.
EMPTY = {
    "Memory": "the kubelet's numbers: there is no kubelet here",
    "Processor": "the kubelet's numbers: there is no kubelet here",
}
ALL = dict.fromkeys((name for name in variables(shown()) if name != "datasource"), ".*")
CHOICES = {
    "everything": ALL,
    "operator": ALL | {"namespace": "shop", "job": OPERATOR, "pod": "app-1"},
    "plain": ALL | {"job": PLAIN},
}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with tale.told(tmp_path_factory.mktemp("alerts")) as found:
        yield found


def filled(query: str, choice: dict[str, str]) -> str:
    """The query as Grafana sends it."""
    for name, value in {"__rate_interval": "8s", "__range": "600s", **choice}.items():
        query = re.sub(rf"\${name}\b", value.replace("\\", r"\\"), query)
    assert "$" not in query
    return query


def has_data(series: list[dict[str, Any]]) -> bool:
    return any(math.isfinite(float(value)) for one in series for _, value in one["values"])


# -- alerts ----------------------------------------------------------------------------------------------------


def test_nothing_fires_while_all_is_well(story: Story) -> None:
    """Two lives of all tokens, a reload, one rejected token, one cut connection, a caller who left."""
    assert story.while_well == set()


@pytest.mark.parametrize("name", NAMES)
def test_alert_fires(story: Story, name: str) -> None:
    """For a sidecar scraped as Prometheus Operator does it and as a plain list does, or whom else it concerns."""
    assert story.jobs(name) >= due(name)


@pytest.mark.parametrize("name", NAMES)
def test_what_an_alert_says_is_complete(story: Story, name: str) -> None:
    """Templates found their labels, and the workload's pods are one alert."""
    for alert in story.fired[name]:
        said = " ".join(alert["annotations"].values())
        assert "{{" not in said
        assert not re.search(r"<no value>|<error|%!|: *$|  ", said), said
        assert ("instance" in alert["labels"]) == (name == "AuthSidecarNoFirstToken")
        if alert["labels"]["job"] == OPERATOR:
            assert alert["labels"]["namespace"] == "shop"


def test_all_alerts_end(story: Story) -> None:
    """Each by itself, once its cause is gone."""
    assert story.after == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_prometheus_takes_the_rule_as_it_is(story: Story, rule: dict[str, Any]) -> None:
    """With its real durations."""
    story.prometheus.now(rule["expr"])


@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_takes_the_queries_of_the_documentation(story: Story, query: str) -> None:
    """metrics.md and alerts.md, as they stand there."""
    story.prometheus.now(query)


# -- dashboard -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("title", PANELS)
def test_panel_has_data(story: Story, title: str, choice: str) -> None:
    """Each of its queries, whatever labels the scrape has added."""
    for target in PANELS[title]["targets"]:
        series = story.prometheus.since(story.began, filled(target["expr"], CHOICES[choice]))
        assert has_data(series) != (title in EMPTY), EMPTY.get(title)


def test_panels_without_data_are_those_of_others() -> None:
    """No exception for a panel of the sidecar's own metrics."""
    for title in EMPTY:
        assert all(ELSEWHERE.search(target["expr"]) for target in PANELS[title]["targets"])


@pytest.mark.parametrize("expression", expressions(shown()))
def test_one_route_and_one_credential_can_be_chosen(story: Story, expression: str) -> None:
    """Also several values, as Grafana writes them."""
    one = ALL | {"route": "(get-portal|\\\\(unmapped\\\\))", "credential": "app"}
    story.prometheus.since(story.began, filled(expression, one))


@pytest.mark.parametrize("name", ALL)
def test_choices_are_offered(story: Story, name: str) -> None:
    """The values of the label, as Grafana asks for them."""
    query = filled(variables(shown())[name]["query"]["query"], ALL)
    match = re.fullmatch(r"label_values\((.*), (\w+)\)", query)
    assert match is not None
    assert match[2] == name
    offered = story.prometheus.ask(f"label/{name}/values", **{"match[]": match[1]})
    some = {"namespace": "shop", "job": OPERATOR, "pod": "app-1", "route": "get-portal", "credential": "okta"}
    assert some[name] in offered


def test_reloads_are_marked_on_the_graphs(story: Story) -> None:
    """The annotation finds those that were made."""
    (event,) = shown()["annotations"]["list"]
    outcomes = {
        one["metric"]["outcome"] for one in story.prometheus.since(story.began, filled(event["expr"], ALL))
    }
    assert outcomes == {"ok", "failed"}


# -- metrics ---------------------------------------------------------------------------------------------------


def test_promtool_finds_nothing_to_complain_about(story: Story) -> None:
    """In the metrics of a sidecar to which everything has happened."""
    with urllib.request.urlopen(f"http://{story.stage.sidecar.admin}/metrics", timeout=10) as answer:
        text = answer.read()
    checked = promtool(story.stage.folder, "check", "metrics", given=text)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
