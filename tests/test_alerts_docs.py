"""docs/alerts.md: for each alert a section with all that somebody needs at night, and no section besides."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.test_alerts_rules import rules
from tests.test_docs import DOCS, anchors, rows

pytestmark = pytest.mark.alerts

PAGE = DOCS / "alerts.md"
SEVERITIES = ("critical", "warning")
PARTS = ["Means", "Users notice", "Look", "Do", "Over"]
alerts = pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])


def sections() -> dict[str, str]:
    """Each second-level section of the page by its heading."""
    _, *parts = re.split(r"^## (.*)$", PAGE.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    """In the order of the rules, so that the page reads as the file does."""
    assert list(sections()) == [rule["alert"] for rule in rules()]


@alerts
def test_section_says_what_it_means_who_notices_where_to_look_what_to_do_and_when_it_is_over(
    rule: dict[str, Any],
) -> None:
    """All five, in that order, with a command or a query to look with."""
    text = sections()[rule["alert"]]
    assert re.findall(r"^\*\*([\w ]+)\.?\*\*", text, re.MULTILINE) == PARTS
    assert "```" in text.partition("**Look.**")[2]


@alerts
def test_runbook_leads_to_the_section(rule: dict[str, Any]) -> None:
    """The chart puts an address before it; what follows must be right."""
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    assert page == "docs/alerts.md"
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(PAGE)


@alerts
def test_rule_has_severity_and_texts(rule: dict[str, Any]) -> None:
    """What routing and people need; no template but Prometheus' own, so that a chart can take the file as it is."""
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert len(rule["annotations"]["summary"]) < 100
    for action in re.findall(r"\{\{(.*?)\}\}", str(rule)):
        assert not re.search(r"\.Values|include|\.Release|-\s*$|^-", action), action


def test_table_has_each_alert_with_its_severity() -> None:
    """The overview at the top of the page agrees with the rules."""
    table = [(row[0].split("]")[0].strip(" ["), row[1].strip()) for row in rows(PAGE, "alert")]
    assert table == [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]
