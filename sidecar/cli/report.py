"""What the doctor found, as a list for people.

Owns the rendering: a table on a terminal, lines elsewhere.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sidecar.cli.finding import Finding
from sidecar.cli.output import say
from sidecar.logs.line import printable


@contextlib.contextmanager
def waiting(*, quiet: bool) -> Iterator[None]:
    """Something moves on a terminal while checks run."""
    if quiet or not sys.stderr.isatty():
        yield
        return
    with Console(stderr=True).status("checking ..."):
        yield


def findings(found: Sequence[Finding]) -> None:
    """Every finding, each failure with what to do, and the sum."""
    if sys.stdout.isatty():
        Console(highlight=False).print(_table(found))
    else:
        for finding in found:
            say(f"{_mark(finding):<4}  {finding.name}: {finding.detail}")
            if not finding.ok:
                say(f"      -> {finding.remedy}")
    failed = sum(not finding.ok for finding in found)
    say(f"{len(found)} checks, {f'{failed} failed' if failed else 'all fine'}")


def _mark(finding: Finding) -> str:
    return "ok" if finding.ok else "FAIL"


def _table(found: Sequence[Finding]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("check", overflow="fold", max_width=36)
    table.add_column("found", overflow="fold")
    for finding in found:
        # Text, not str: brackets in what was found are no markup.
        said = Text(printable(finding.detail))
        if not finding.ok:
            said.append(f"\n-> {printable(finding.remedy)}", style="yellow")
        mark = Text(_mark(finding), style="green" if finding.ok else "bold red")
        table.add_row(mark, Text(printable(finding.name)), said)
    return table
