"""Known vulnerabilities of what the lock installs (pip-audit), and suspicious places in the sidecar's code (bandit).

Owns what counts as an answer. pip-audit says "no known vulnerabilities" and exits with 0 when its service knew none of
the packages, or could not be asked about them; here that is UNKNOWN, which is neither clean nor found. Runs in
.supply/, where the tools are.
"""

from __future__ import annotations

import argparse
import enum
import fnmatch
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supply.version import ROOT

LOOKED_AT = Path(__file__).parent / "looked_at.toml"
_TIMEOUT = 15  # seconds for each question to a service


class Status(enum.IntEnum):
    """The exit status. The two checks together have FOUND before UNKNOWN before CLEAN."""

    CLEAN = 0
    FOUND = 1
    UNKNOWN = 3  # 2 is what argparse and make use


@dataclass(frozen=True)
class Verdict:
    """What one check came to, and the lines that tell it."""

    status: Status
    lines: tuple[str, ...]


def vulnerabilities(lock: Path, osv_url: str | None = None) -> Verdict:
    """Ask the package index, then OSV when the former has no answer for all packages; with `osv_url` only that."""
    services = [["-s", "osv", "--osv-url", osv_url]] if osv_url else [["-s", "pypi"], ["-s", "osv"]]
    said: list[str] = []
    for service in services:
        verdict = judged(*_pip_audit(lock, service))
        if verdict.status is not Status.UNKNOWN:
            return Verdict(verdict.status, (*said, *verdict.lines))
        said += [f"{service[1]}: {line}" for line in verdict.lines]
    return Verdict(
        Status.UNKNOWN, (*said, "UNKNOWN whether there are vulnerabilities: no service could be asked")
    )


def _pip_audit(lock: Path, service: Sequence[str]) -> tuple[str, str]:
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "-r", str(lock), *service,
         "--format", "json", "--progress-spinner", "off", "--timeout", str(_TIMEOUT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout, done.stderr


def judged(output: str, errors: str) -> Verdict:
    """What pip-audit's JSON comes to. Its exit status says too little to be asked."""
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = errors.strip().splitlines()[-1:] or ["no output"]
        return Verdict(Status.UNKNOWN, (f"pip-audit failed: {last[0]}",))
    found = [
        f"{package['name']} {package['version']}: {vulnerability['id']}"
        f" (mended in {', '.join(vulnerability['fix_versions']) or 'no version yet'})"
        for package in dependencies
        for vulnerability in package.get("vulns", [])
    ]
    if found:
        return Verdict(Status.FOUND, tuple(found))
    silent = [package["name"] for package in dependencies if "skip_reason" in package]
    if silent or not dependencies:
        return Verdict(
            Status.UNKNOWN,
            (f"no answer for {len(silent)} of {len(dependencies)} packages: {', '.join(silent[:3])} ...",),
        )
    return Verdict(Status.CLEAN, (f"{len(dependencies)} packages, no known vulnerabilities",))


def code(source: Path = ROOT / "sidecar") -> Verdict:
    """What bandit has to say about the code, without what was looked at and found right."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "bandit", "--recursive", "--quiet", "--format", "json", str(source)],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    try:
        report = json.loads(done.stdout)
    except ValueError:
        return Verdict(Status.UNKNOWN, (f"bandit failed: {done.stderr.strip()}",))
    return sifted(report, tomllib.loads(LOOKED_AT.read_text())["looked_at"], source.parent)


def sifted(report: Mapping[str, Any], looked_at: Sequence[Mapping[str, str]], root: Path) -> Verdict:
    """The findings that nobody has looked at, and the entries that no finding needs any more."""
    lines = [f"{error['filename']}: {error['reason']}" for error in report["errors"]]
    needed: set[int] = set()
    for finding in report["results"]:
        name = str(Path(finding["filename"]).relative_to(root))
        line = _line(finding)
        fitting = [
            number for number, entry in enumerate(looked_at) if _fits(entry, finding["test_id"], name, line)
        ]
        needed.update(fitting)
        if not fitting:
            lines.append(
                f"{name}:{finding['line_number']}: {finding['test_id']} {finding['issue_text']}: {line}"
            )
    for number, entry in enumerate(looked_at):
        if number not in needed:
            lines.append(f"{LOOKED_AT.name}: nothing is found any more for {entry['test']} {entry['file']}")
    if lines:
        return Verdict(Status.FOUND, tuple(lines))
    return Verdict(Status.CLEAN, (f"{len(report['results'])} findings, all looked at before",))


def _line(finding: Mapping[str, Any]) -> str:
    """The line of code that was found, without bandit's line number."""
    for text in finding["code"].splitlines():
        number, _, line = text.partition(" ")
        if number == str(finding["line_number"]):
            return str(line.strip())
    return ""


def _fits(entry: Mapping[str, str], test: str, name: str, line: str) -> bool:
    return (
        entry["test"] == test
        and fnmatch.fnmatchcase(name, entry["file"])
        and fnmatch.fnmatchcase(line, entry["line"])
    )


def main() -> int:
    """Both checks. Exit status: 0 clean, 1 something was found, 3 nobody could be asked, and nothing else was found."""
    parser = argparse.ArgumentParser(prog="python -m supply.audit", description=__doc__)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.txt")
    parser.add_argument("--osv-url", help="ask this OSV service only, such as a mirror inside")
    options = parser.parse_args()
    verdicts = {"bandit": code(), "pip-audit": vulnerabilities(options.lock, options.osv_url)}
    for name, verdict in verdicts.items():
        for line in verdict.lines:
            print(f"{name}: {verdict.status.name}: {line}")
    return max((verdict.status for verdict in verdicts.values()), key=[0, 3, 1].index).value


if __name__ == "__main__":
    sys.exit(main())
