"""What counts as an answer of pip-audit and bandit: silence is never clean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from supply.audit import Status, judged, sifted

ENTRY = {"test": "B101", "file": "sidecar/*", "line": "assert * is not None", "why": "narrows"}


def answer(**packages: dict[str, Any]) -> str:
    return json.dumps(
        {"dependencies": [{"name": name, "version": "1", **rest} for name, rest in packages.items()]}
    )


CLEAN: dict[str, Any] = {"vulns": []}
SILENT = {"skip_reason": "Dependency not found on PyPI and could not be audited"}
BAD = {"vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
UNMENDED = {"vulns": [{"id": "PYSEC-2", "fix_versions": []}]}


@pytest.mark.parametrize(
    ("output", "status", "says"),
    [
        (answer(a=CLEAN, b=CLEAN), Status.CLEAN, "2 packages, no known vulnerabilities"),
        (answer(a=CLEAN, b=BAD), Status.FOUND, "b 1: PYSEC-1 (mended in 2)"),
        (answer(a=UNMENDED), Status.FOUND, "a 1: PYSEC-2 (mended in no version yet)"),
        (answer(a=SILENT, b=BAD), Status.FOUND, "b 1: PYSEC-1 (mended in 2)"),
        (answer(a=SILENT, b=SILENT), Status.UNKNOWN, "no answer for 2 of 2 packages: a, b ..."),
        (answer(a=SILENT, b=CLEAN), Status.UNKNOWN, "no answer for 1 of 2 packages: a ..."),
        (answer(), Status.UNKNOWN, "no answer for 0 of 0 packages:  ..."),
        ("", Status.UNKNOWN, "pip-audit failed: ConnectionError: no route"),
        ("[]", Status.UNKNOWN, "pip-audit failed: ConnectionError: no route"),
        ("{}", Status.UNKNOWN, "pip-audit failed: ConnectionError: no route"),
    ],
)
def test_answers_are_told_apart(output: str, status: Status, says: str) -> None:
    """pip-audit itself ends with 0 in half of the cases that are unknown."""
    verdict = judged(output, "Traceback\n  somewhere\nConnectionError: no route\n")
    assert (verdict.status, verdict.lines) == (status, (says,))


def report(*lines: str, test: str = "B101") -> dict[str, Any]:
    return {
        "errors": [],
        "results": [
            {
                "filename": "/p/sidecar/a.py",
                "line_number": 7,
                "test_id": test,
                "issue_text": "Issue.",
                "code": f"6 before\n7     {line}\n8 after\n",
            }
            for line in lines
        ],
    }


def test_finding_that_was_looked_at_is_clean() -> None:
    """Test, file and line fit one entry."""
    verdict = sifted(report("assert a is not None"), [ENTRY], Path("/p"))
    assert (verdict.status, verdict.lines) == (Status.CLEAN, ("1 findings, all looked at before",))


def test_finding_without_an_entry_is_told_with_its_place() -> None:
    """Another line, and another test in the same line."""
    both = [*report("assert a > 0", "assert a is not None")["results"]]
    both += report("assert b is not None", test="B999")["results"]
    verdict = sifted({"errors": [], "results": both}, [ENTRY], Path("/p"))
    assert verdict.status is Status.FOUND
    assert verdict.lines == (
        "sidecar/a.py:7: B101 Issue.: assert a > 0",
        "sidecar/a.py:7: B999 Issue.: assert b is not None",
    )


def test_entry_that_nothing_needs_is_told() -> None:
    """The list does not outlive the code it excuses."""
    verdict = sifted(report(), [ENTRY], Path("/p"))
    assert (verdict.status, len(verdict.lines)) == (Status.FOUND, 1)
    assert "nothing is found any more for B101 sidecar/*" in verdict.lines[0]


def test_file_that_could_not_be_read_is_no_clean_file() -> None:
    """Bandit goes on without it."""
    broken = {"errors": [{"filename": "/p/sidecar/a.py", "reason": "syntax error"}], "results": []}
    assert sifted(broken, [], Path("/p")).status is Status.FOUND
