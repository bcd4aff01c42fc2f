"""The alert rules where Prometheus adds no labels but `job` and `instance`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.alert_scenarios import FIRING, QUIET, Scenario
from tests.test_alerts_rules import outcome

pytestmark = pytest.mark.alerts


@pytest.mark.parametrize("scenario", [*QUIET, *FIRING], ids=lambda scenario: scenario.name)
def test_the_same_alerts_fire_without_labels_of_kubernetes(scenario: Scenario, tmp_path: Path) -> None:
    """At the same times, and as many."""
    assert outcome(scenario, "plain", tmp_path) == ""
