"""OpenAPI documents from files, for people who wait.

Owns reading them from disk, the progress bar, and how what is odd about them is said.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sidecar.config.document import WHOLE_FILE
from sidecar.config.draft import unreadable
from sidecar.errors import ConfigError, Problem
from sidecar.openapi.building import DocumentError, Flaw, shown
from sidecar.openapi.collecting import Section
from sidecar.openapi.operations import Document, document
from sidecar.openapi.reading import MAX_BYTES, read

_LONG = 64 * 1024  # bytes; less is read before a bar could be seen
_MOST = 20  # doubts of one kind that anybody reads

Advance = Callable[[float], None]


def documents(paths: Sequence[Path], base_path: str | None) -> list[tuple[str, Document]]:
    """(file name, document) of each. Raises ConfigError with a problem for every one that cannot be used."""
    found: list[tuple[str, Document]] = []
    problems: list[Problem] = []
    raws = [(path, raw) for path in paths if (raw := _bytes(path, problems)) is not None]
    done = 0
    with _bar(sum(len(raw) for _, raw in raws)) as advance:
        for path, raw in raws:
            try:
                found.append(
                    (shown(path.name), document(read(raw, _part(advance, done, len(raw))), base_path))
                )
            except DocumentError as error:
                problems.append(Problem(str(path), error.line, WHOLE_FILE, error.message))
            done += len(raw)
    if problems:
        raise ConfigError(problems)
    return found


def _bytes(path: Path, problems: list[Problem]) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        problems.append(Problem(str(path), 1, WHOLE_FILE, unreadable(error)))
        return None


def _part(advance: Advance, done: int, size: int) -> Advance:
    """The share of one document as bytes of all."""
    return lambda share: advance(done + share * size)


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Advance]:
    """Something moves on a terminal while long documents are read."""
    if total < _LONG or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("reading", total=total)
        yield lambda done: progress.update(task, completed=done)


def doubts(paths: Sequence[Path], sections: Sequence[Section]) -> Iterator[Problem]:
    """What is odd about the documents, or not known of them."""
    for path, section in zip(paths, sections, strict=True):
        flaws = section.document.flaws
        for flaw in flaws[:_MOST]:
            yield _problem(path, flaw)
        if len(flaws) > _MOST:
            yield _problem(path, Flaw(flaws[_MOST].line, f"and {len(flaws) - _MOST} more such doubts"))
        unknown: dict[str, int] = {}
        operations = [m.operation for m in section.mapped] + [u.operation for u in section.unmapped]
        for operation in operations:
            for one in operation.security.alternatives:
                if one.persona is None:
                    unknown.setdefault("+".join(one.schemes), operation.line)
        for scheme, line in list(unknown.items())[:_MOST]:
            yield _problem(path, Flaw(line, f"no persona is known for the security scheme {scheme}"))
        if not section.document.operations:
            yield _problem(path, Flaw(1, "has no operations"))


def _problem(path: Path, flaw: Flaw) -> Problem:
    return Problem(str(path), flaw.line, WHOLE_FILE, flaw.message)
