"""Metrics with hostile label values: both formats are read back by prometheus-client, value for value."""

from __future__ import annotations

from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from sidecar.metrics import Metrics
from tests.admin_state import StillClock

LABELS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.lists(st.sampled_from(["\\", '"', "\n", "\\n", "{", "}", ",", "=", " ", "#", "\r", "\u2028", "é",
        "a"])).map(
            "".join
        ),
    ),
    min_size=1,
    max_size=4,
    unique=True,
)  # fmt: skip


def check_exposition(labels: list[str]) -> None:
    """Every route's label comes back as it was, once, with its number."""
    metrics = Metrics(StillClock(now=1000.0))
    for number, label in enumerate(labels):
        route = metrics.route(label)
        for _ in range(number + 1):
            route.finished("GET", 200, 0.02)
        metrics.tokens.requested(label, "ahead", "ok", 0.1)
    for accept, parse in (("", parse_text), ("application/openmetrics-text", parse_openmetrics)):
        page, _ = metrics.render(accept)
        samples = [sample for family in parse(page.decode()) for sample in family.samples]
        for number, label in enumerate(labels):
            # What is no character cannot be written; it is told by its escape.
            shown = label.encode(errors="backslashreplace").decode()
            found = [
                s.value
                for s in samples
                if s.name == "auth_sidecar_requests_total" and s.labels["route"] == shown
            ]
            assert found == [number + 1], f"{label!r}: {found}"
