"""The whole route map, and the tokens that a configuration needs.

Owns `explain --all` and `explain --tokens`: as data, as text, as a table on a terminal. What is counted is what
requests go through: the scopes come from where the proxy has them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from sidecar import binding
from sidecar.cli import output
from sidecar.cli.explain import scopes_in_order
from sidecar.config.schema import Config
from sidecar.logs.line import printable
from sidecar.oauth.grants import per_subject


def overview(config: Config, tokens: bool, as_json: bool) -> None:
    """Print the route map, or with `tokens` what tokens it needs."""
    if as_json:
        output.as_json(tokens_as_json(config) if tokens else routes_as_json(config))
        return
    show(tokens_as_rows(config) if tokens else routes_as_rows(config))
    if tokens:
        output.say(tokens_summary(config))


def routes_as_json(config: Config) -> dict[str, object]:
    """For programs: every route, in the order of the file; `methods` is null for all."""
    return {
        "routes": [
            {
                "method": method, "path": route.path, "route": route.label, "credential": route.credential,
                "scopes": list(scopes_in_order(config, route)),
            }
            for route in config.routes
            for method in route.methods or ["*"]
        ]
    }  # fmt: skip


def routes_as_rows(config: Config) -> list[list[str]]:
    """For people."""
    rows = [["METHOD", "PATH", "CREDENTIAL", "SCOPES"]]
    for route in config.routes:
        scopes = " ".join(scopes_in_order(config, route))
        rows += [[method, route.path, route.credential, scopes] for method in route.methods or ["*"]]
    return rows


@dataclass(frozen=True, slots=True)
class Needed:
    """A token that a configuration needs; for a per-subject credential one for each subject."""

    credential: str
    scopes: tuple[str, ...]
    routes: int
    per_subject: bool

    def as_json(self) -> dict[str, object]:
        return {
            "credential": self.credential, "scopes": list(self.scopes), "routes": self.routes,
            "per_subject": self.per_subject,
        }  # fmt: skip


def tokens_needed(config: Config, mode: str) -> list[Needed]:
    """With `tokens.scopes` being `per_route` or `union`; by credential, then by scopes."""
    asked = config.model_copy(update={"tokens": config.tokens.model_copy(update={"scopes": mode})})
    counts: dict[tuple[str, tuple[str, ...]], int] = {}
    for route in asked.routes:
        if route.credential != binding.NO_CREDENTIAL:
            key = (route.credential, tuple(sorted(binding.scopes_of(asked, route))))
            counts[key] = counts.get(key, 0) + 1
    return [
        Needed(name, scopes, count, per_subject(config.credentials[name]))
        for (name, scopes), count in sorted(counts.items())
    ]


def tokens_as_json(config: Config) -> dict[str, object]:
    """For programs: what is needed now, and what either way would need."""
    return {
        "scopes": config.tokens.scopes,
        "per_route": [one.as_json() for one in tokens_needed(config, "per_route")],
        "union": [one.as_json() for one in tokens_needed(config, "union")],
    }


def tokens_as_rows(config: Config) -> list[list[str]]:
    """For people: those that are needed now."""
    rows = [["CREDENTIAL", "HELD", "ROUTES", "SCOPES"]]
    for one in tokens_needed(config, config.tokens.scopes):
        held = "one for each subject" if one.per_subject else "one"
        rows.append([one.credential, held, str(one.routes), " ".join(one.scopes) or "(none)"])
    return rows


def tokens_summary(config: Config) -> str:
    """The choice: few tokens or least privilege."""
    few, many = len(tokens_needed(config, "union")), len(tokens_needed(config, "per_route"))
    other = "union" if config.tokens.scopes == "per_route" else "per_route"
    now = many if other == "union" else few
    then = few if other == "union" else many
    cost = (
        "each with all scopes of its credential" if other == "union" else "each with its routes' scopes only"
    )
    return f"{now} with tokens.scopes: {config.tokens.scopes}; {other} would need {then}, {cost}"


def show(rows: list[list[str]]) -> None:
    """Columns, the first row their heading."""
    if sys.stdout.isatty():
        _table(rows)
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        output.say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _table(rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows[1:]:
        # Text, not str: brackets in a name are no markup.
        table.add_row(*map(Text, map(printable, row)))
    Console(highlight=False).print(table)
