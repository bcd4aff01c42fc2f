"""How things are said: plain lines for programs, a little more for a person at a terminal.

Owns the two renderings, and that nothing printed can move a cursor or start a line of its own: names come from
files, claims and certificates from the network.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from sidecar.errors import Problem
from sidecar.logs.line import printable

Facts = Iterable[tuple[str, str | Sequence[str]]]


class Failed(click.ClickException):
    """Something live did not work: one line on stderr, exit 1."""

    exit_code = 1

    def show(self, file: Any = None) -> None:
        complain(f"auth-sidecar: {self.message}")


def complain(*lines: str) -> None:
    """Lines for stderr."""
    for line in lines:
        click.echo(printable(line), err=True)


def problems(found: Iterable[Problem]) -> None:
    """What is wrong with a configuration, one a line."""
    complain(*map(str, found))


def say(line: str = "") -> None:
    """A line for stdout."""
    click.echo(printable(line))


def quotable(text: str) -> str:
    """What somebody typed, short enough for a sentence."""
    return repr(printable(text[:60]))


def as_json(value: object) -> None:
    """For programs. ASCII only, so that a terminal that shows it is safe, too."""
    click.echo(json.dumps(value, indent=2))


def facts(rows: Facts) -> None:
    """`label  value`, one below the other; a value of several lines continues under its first."""
    listed = [(label, [value] if isinstance(value, str) else list(value)) for label, value in rows]
    if sys.stdout.isatty():
        _table(listed)
        return
    width = max(len(label) for label, _ in listed)
    for label, lines in listed:
        for number, line in enumerate(lines):
            say(f"{'' if number else label:<{width}}  {line}".rstrip())


def _table(rows: list[tuple[str, list[str]]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, lines in rows:
        # Text, not str: brackets in a value are no markup.
        grid.add_row(Text(printable(label)), Text("\n".join(map(printable, lines))))
    Console(highlight=False).print(grid)
