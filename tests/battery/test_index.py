"""INDEX.md tells the truth: every line is held by something that exists, and every test of this folder by a line."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ABOUT_THE_HARNESS = {"test_invariants.py", "test_index.py"}
HARNESS = {"test_stage_says_whom_a_token_is_for"}  # elsewhere in this folder


def lines_of(text: str) -> dict[str, str]:
    """What each line of the tables says, and what holds it."""
    found: dict[str, str] = {}
    for row in text.splitlines():
        cells = [cell.strip() for cell in row.strip("|").split(" | ")] if row.startswith("| ") else []
        if len(cells) == 2 and cells != ["line", "held by"]:
            assert cells[0] not in found, f"twice: {cells[0]}"
            found[cells[0]] = cells[1]
    return found


@cache
def names_in(path: Path) -> frozenset[str]:
    if not path.exists():
        return frozenset()
    return frozenset(
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def wrong_with(held: str) -> list[str]:
    """What a line names that does not exist; one that names nothing is wrong, too."""
    tests = re.findall(r"`((?:\.\./)?test_\w+\.py)::(test_\w+)`", held)
    wrong = [
        f"no test {file}::{name}" for file, name in tests if name not in names_in((HERE / file).resolve())
    ]
    sentences = re.findall(r"`(docs/[\w/]+\.md)`: \"([^\"]+)\"", held)
    for page, sentence in sentences:
        if sentence not in " ".join((ROOT / page).read_text().split()):
            wrong.append(f"{page} does not say: {sentence}")
    if not tests and not sentences:
        wrong.append("held by nothing")
    return wrong


LINES = lines_of((HERE / "INDEX.md").read_text())


@pytest.mark.parametrize("line", LINES)
def test_every_line_is_held(line: str) -> None:
    """By tests that exist, or by a sentence that says why there is none."""
    assert wrong_with(LINES[line]) == []


def test_every_test_of_the_battery_is_named() -> None:
    """A test that no line names is one that nobody finds."""
    named = set(re.findall(r"`(test_\w+\.py::test_\w+)`", (HERE / "INDEX.md").read_text()))
    there = {
        f"{path.name}::{test}"
        for path in HERE.glob("test_*.py")
        if path.name not in ABOUT_THE_HARNESS
        for test in names_in(path) - HARNESS
    }
    assert there - named == set()


@pytest.mark.parametrize(
    ("held", "wrong"),
    [
        ("", "held by nothing"),
        ("`invariants`", "held by nothing"),
        ("`test_paths.py::test_no_such_thing`", "no test"),
        ("`test_nowhere.py::test_x`", "no test"),
        ("`../test_proxy_plain.py::test_no_such_thing`", "no test"),
        ('`docs/security.md`: "It never said so"', "does not say"),
    ],
)
def test_untrue_line_is_caught(held: str, wrong: str) -> None:
    """The check can fail."""
    assert wrong in wrong_with(held)[0]


def test_table_is_read() -> None:
    """Both cells of each row, without the heads."""
    assert lines_of("| line | held by |\n|---|---|\n| a | b |\ntext | no\n") == {"a": "b"}
    assert len(LINES) > 90
