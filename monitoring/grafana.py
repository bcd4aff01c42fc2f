"""The few words of Grafana's dashboard JSON that are needed here.

Owns the JSON: panels, variables, and where things go on the grid. Knows nothing of what is shown. Written for
Grafana 10 and newer; `make test-alerts` reads the result with Grafana's own types.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

JsonObject = dict[str, Any]
Kind = Literal["stat", "timeseries", "heatmap", "table"]

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS = 24
_HEIGHTS: dict[Kind, int] = {"stat": 4, "timeseries": 8, "heatmap": 8, "table": 8}


@dataclass(frozen=True)
class Query:
    """A PromQL expression and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel; `steps` are where its value turns a colour: `{0.01: "orange", 0.05: "red"}`."""

    title: str
    about: str
    queries: Sequence[Query]
    unit: str
    kind: Kind = "timeseries"
    width: int = 8
    stacked: bool = False
    lowest: float | None = 0
    base: str = "green"
    steps: Mapping[float, str] | None = None


@dataclass(frozen=True)
class Row:
    title: str
    panels: Sequence[Panel]
    collapsed: bool = False


@dataclass(frozen=True)
class Variable:
    """A choice of label values, several at once; `All` also matches series that lack the label."""

    name: str
    series: str

    @property
    def query(self) -> str:
        return f"label_values({self.series}, {self.name})"


def dashboard(
    *, uid: str, title: str, about: str, variables: Iterable[Variable], rows: Iterable[Row], events: Mapping[str, Query]
) -> JsonObject:  # fmt: skip
    """The whole dashboard; `events` become marks on all graphs."""
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["egain", "oauth2", "auth-sidecar"],
        "schemaVersion": 38,
        "editable": True,
        "graphTooltip": 1,  # one cross-hair on all panels
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_event(name, query) for name, query in events.items()]},
        "templating": {"list": [_datasource(), *map(_variable, variables)]},
        "panels": list(_laid_out(rows)),
    }


def _laid_out(rows: Iterable[Row]) -> Iterator[JsonObject]:
    """From left to right, then down; the panels of a collapsed row are inside it."""
    numbers, y = itertools.count(1), 0
    for row in rows:
        number, place = next(numbers), {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        placed, y = _placed(row.panels, numbers, y + 1)
        yield {
            "type": "row",
            "id": number,
            "title": row.title,
            "gridPos": place,
            "collapsed": row.collapsed,
            "panels": placed if row.collapsed else [],
        }
        if row.collapsed:
            y = place["y"] + 1
        else:
            yield from placed


def _placed(panels: Iterable[Panel], numbers: Iterator[int], y: int) -> tuple[list[JsonObject], int]:
    found, x, height = [], 0, 0
    for panel in panels:
        if x + panel.width > _COLUMNS:
            x, y, height = 0, y + height, 0
        tall = _HEIGHTS[panel.kind]
        found.append(_panel(panel, next(numbers), {"x": x, "y": y, "w": panel.width, "h": tall}))
        x, height = x + panel.width, max(height, tall)
    return found, y + height


def _panel(panel: Panel, number: int, place: JsonObject) -> JsonObject:
    return {
        "type": panel.kind,
        "id": number,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "gridPos": place,
        "targets": [_target(panel.kind, query, ref) for ref, query in zip("ABCDEFGH", panel.queries, strict=False)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        **_without_time(panel),
    }  # fmt: skip


def _target(kind: Kind, query: Query, ref: str) -> JsonObject:
    at_once = kind == "table"
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": at_once,
        "range": not at_once,
        "format": {"heatmap": "heatmap", "table": "table"}.get(kind, "time_series"),
        "editorMode": "code",
    }


def _defaults(panel: Panel) -> JsonObject:
    steps: list[JsonObject] = [{"color": panel.base, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in (panel.steps or {}).items()]
    found: JsonObject = {"unit": panel.unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.lowest is not None:
        found["min"] = panel.lowest
    if panel.kind == "timeseries":
        found["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 20 if panel.stacked else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return found


def _options(panel: Panel) -> JsonObject:
    match panel.kind:
        case "stat":
            return {"reduceOptions": {"calcs": ["lastNotNull"], "values": False}, "graphMode": "area"}
        case "heatmap":
            return {
                "calculate": False,
                "yAxis": {"unit": panel.unit},
                "color": {"mode": "scheme", "scheme": "Spectral", "steps": 64},
                "tooltip": {"show": True, "yHistogram": False},
            }
        case "table":
            return {"showHeader": True}
        case "timeseries":
            legend = {"displayMode": "list", "placement": "bottom", "showLegend": True}
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _without_time(panel: Panel) -> JsonObject:
    """A table of the present has no use for a column of times."""
    if panel.kind != "table":
        return {}
    return {"transformations": [{"id": "organize", "options": {"excludeByName": {"Time": True}}}]}


def _datasource() -> JsonObject:
    return {"type": "datasource", "name": "datasource", "label": "data source", "query": "prometheus"}


def _variable(variable: Variable) -> JsonObject:
    return {
        "type": "query",
        "name": variable.name,
        "datasource": DATASOURCE,
        "query": {"query": variable.query, "refId": f"variable-{variable.name}"},
        "definition": variable.query,
        "refresh": 2,  # whenever the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


def _event(name: str, query: Query) -> JsonObject:
    return {
        "name": name,
        "enable": True,
        "datasource": DATASOURCE,
        "expr": query.expr,
        "titleFormat": name,
        "textFormat": query.legend,
        "iconColor": "blue",
        "step": "60s",
    }
