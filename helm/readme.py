"""Write the table of values in the chart's README.md from values.yaml and its comments.

Owns the table between the markers, nothing else of the page. The comment above a key is its description, down to the
next key; a key without one is described by its parent, and must have a name that needs no more.

    python -m helm.readme            # writes it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

CHART = Path(__file__).parent / "egain-auth-sidecar"
README = CHART / "README.md"
VALUES = CHART / "values.yaml"
BEGIN, END = "<!-- values: made by `make chart-files` -->\n", "<!-- end of values -->\n"
# Mappings that a user sets as a whole or by Kubernetes' own keys: one row for all.
WHOLE = re.compile(
    r"(resources|securityContext|podSecurityContext|Probe|namespaceSelector|labels|Constraints)$"
)
_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):( |$)")
_COMMENT = re.compile(r"^ *# ?(?P<text>.*)$")


class Row(NamedTuple):
    """One value: its path with dots, its default, what its comment says."""

    path: str
    default: Any
    text: str


def rows(text: str) -> Iterator[Row]:
    """The values of a values.yaml, in its order: leaves, and mappings that are set as a whole."""
    values = yaml.safe_load(text)
    said = _comments(text)

    def walk(node: dict[str, Any], parents: tuple[str, ...]) -> Iterator[Row]:
        for key, value in node.items():
            path = (*parents, key)
            if isinstance(value, dict) and value and not WHOLE.search(key):
                if heading := said.get(path):
                    yield Row(".".join(path), None, f"*{heading}*")
                yield from walk(value, path)
            else:
                yield Row(".".join(path), value, said.get(path, ""))

    return walk(values, ())


def _comments(text: str) -> dict[tuple[str, ...], str]:
    """What stands above each key, lines joined; a blank line ends a comment that belongs to none."""
    found: dict[tuple[str, ...], str] = {}
    path: list[str] = []
    pending: list[str] = []
    for line in text.splitlines():
        if match := _COMMENT.match(line):
            pending.append(match["text"].strip())
            continue
        if match := _KEY.match(line):
            path = [*path[: len(match["indent"]) // 2], match["key"]]
            if pending:
                found[tuple(path)] = " ".join(pending)
        pending = []
    return found


def table(text: str) -> str:
    """The values as a Markdown table."""
    lines = ["| value | default | |", "|---|---|---|"]
    for row in rows(text):
        default = "" if row.text.startswith("*") and row.default is None else f"`{_short(row.default)}`"
        lines.append(f"| `{row.path}` | {default} | {row.text.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def _short(value: Any) -> str:
    flow = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False).strip()
    return flow.removesuffix("\n...").replace("|", r"\|")


def rendered(page: str) -> str:
    """The page with the table as it has to be now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table(VALUES.read_text())}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(rendered(README.read_text()))
