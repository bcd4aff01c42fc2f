"""The version: one place has it, and these follow. `make version` prints and compares, `make release` writes.

Owns the list of places. Knows nothing of how images and charts are built; a place that does not exist yet is left out.
"""

from __future__ import annotations

import argparse
import datetime
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
NUMBER = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)"


class WrongVersionError(Exception):
    """The version cannot be read or cannot be set; the text says why."""


@dataclass(frozen=True)
class Place:
    """Lines that repeat the version, in files that this pattern finds."""

    files: str  # a glob, relative to the project's folder
    line: str  # a regular expression: the version is its only group; may match often in one file


SOURCE = Place("sidecar/__init__.py", rf'^__version__ = "({NUMBER})"$')
_CHART = Place("helm/*/Chart.yaml", rf'^(?:version|appVersion): "?({NUMBER})"?$')
FOLLOWERS = (
    _CHART,
    Place("Dockerfile", rf"^ARG VERSION=({NUMBER})$"),
    Place("helm/*/templates/_helpers.tpl", rf'^.*define "[\w.-]+\.version" -\}}\}}({NUMBER})\{{\{{.*$'),
    Place(
        "helm/kustomize/**/*.yaml",
        rf'^\s*(?:- )?(?:newTag: "?|image: [\w./-]*egain-auth-sidecar:)({NUMBER})"?$',
    ),
)
CHANGELOG = "CHANGELOG.md"
_HEADING = re.compile(rf"^## \[(?P<name>Unreleased|{NUMBER})\](?P<rest>.*)$", re.MULTILINE)


def current(root: Path = ROOT) -> str:
    """The version of the source. Raises WrongVersionError."""
    found = re.findall(SOURCE.line, (root / SOURCE.files).read_text(), re.MULTILINE)
    if len(found) != 1:
        raise WrongVersionError(f'{SOURCE.files} has no line __version__ = "x.y.z"')
    return str(found[0])


def problems(root: Path = ROOT) -> list[str]:
    """What does not follow the source's version, one `FILE: what is wrong` each. Raises WrongVersionError."""
    version = current(root)
    found = [
        f"{path.relative_to(root)}: {other} is not {version}"
        for place, path in _files(root)
        for other in re.findall(place.line, path.read_text(), re.MULTILINE)
        if other != version
    ]
    found += [
        f"{path.relative_to(root)}: version and appVersion are wanted, as x.y.z"
        for path in sorted(root.glob(_CHART.files))
        if len(re.findall(_CHART.line, path.read_text(), re.MULTILINE)) != 2
    ]
    newest = _HEADING.search((root / CHANGELOG).read_text())
    if newest is None or newest["name"] not in ("Unreleased", version):
        found.append(f"{CHANGELOG}: the newest entry is neither [Unreleased] nor [{version}]")
    return found


def release(version: str, today: datetime.date, root: Path = ROOT) -> list[str]:
    """Write this version everywhere, and today's date over its changelog entry. Returns the files that changed.

    The entry is the newest one, [Unreleased] or this version's own. Nothing is written unless all can be. Raises
    WrongVersionError, also for a version lower than the current one.
    """
    if not re.fullmatch(NUMBER, version):
        raise WrongVersionError(f"{version!r} is not a version: x.y.z is wanted")
    if _numbers(version) < _numbers(current(root)):
        raise WrongVersionError(f"{version} is lower than {current(root)}")
    changed = {root / CHANGELOG: _dated((root / CHANGELOG).read_text(), version, today)}
    for place, path in [(SOURCE, root / SOURCE.files), *_files(root)]:
        changed[path] = re.sub(place.line, lambda m: _put(m, version), path.read_text(), flags=re.MULTILINE)
    written = [path for path, text in changed.items() if text != path.read_text()]
    for path in written:
        path.write_text(changed[path])
    return sorted(str(path.relative_to(root)) for path in written)


def _files(root: Path) -> Iterator[tuple[Place, Path]]:
    for place in FOLLOWERS:
        for path in sorted(root.glob(place.files)):
            yield place, path


def _put(match: re.Match[str], version: str) -> str:
    start, end = match.start(1) - match.start(), match.end(1) - match.start()
    return match[0][:start] + version + match[0][end:]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _dated(text: str, version: str, today: datetime.date) -> str:
    newest = _HEADING.search(text)
    if newest is None or newest["name"] not in ("Unreleased", version):
        raise WrongVersionError(f"{CHANGELOG} has no entry for it: begin one with `## [Unreleased]`")
    return f"{text[: newest.start()]}## [{version}] - {today.isoformat()}{text[newest.end() :]}"


def main() -> int:
    """Print the version, or set it. Exit status 1 when places differ, 2 when it cannot be set."""
    parser = argparse.ArgumentParser(prog="python -m supply.version", description=__doc__)
    parser.add_argument("release", nargs="?", metavar="VERSION", help="set this version, dated today")
    wanted = parser.parse_args().release
    try:
        if wanted is not None:
            for name in release(wanted, datetime.datetime.now(datetime.UTC).date()):
                print(f"{name}: {wanted}", file=sys.stderr)
        wrong = problems()
        print(current())
    except WrongVersionError as error:
        print(f"version: {error}", file=sys.stderr)
        return 2
    for line in wrong:
        print(f"version: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
