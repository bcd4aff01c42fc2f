"""eGain's own three documents: what is in them, and that their maps pass `check --strict`.

The documents are not part of this repository; without them these tests are skipped (tests/specs/__init__.py).
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from pathlib import Path

import pytest

from sidecar.openapi.collecting import collect
from sidecar.openapi.operations import Document, document
from sidecar.openapi.reading import read
from sidecar.openapi.rendering import render
from sidecar.routing.routes import RouteTable
from tests.map_check import strict_warnings
from tests.openapi import EVERYBODY, plan
from tests.specs import EGAINS, egains_missing

PORTALMGR, CONTENTMGR, AISERVICES = EGAINS
REASON = egains_missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")


@functools.cache
def opened(path: Path) -> Document:
    return document(read(path.read_bytes()))


@pytest.mark.parametrize(
    ("path", "paths", "operations", "internal"),
    [(PORTALMGR, 66, 73, 6), (CONTENTMGR, 13, 17, 11), (AISERVICES, 103, 173, 169)],
    ids=["portalmgr", "contentmgr", "aiservices"],
)
def test_every_operation_is_found(path: Path, paths: int, operations: int, internal: int) -> None:
    """As many as the text itself has, counted without a YAML reader."""
    text = path.read_text().partition("\npaths:\n")[2]
    text = re.split(r"^\S", text, maxsplit=1, flags=re.MULTILINE)[0]
    assert len(re.findall(r"^  ['\"]?/", text, re.MULTILINE)) == paths
    assert (
        len(re.findall(r"^    (?:get|put|post|delete|patch|head|options):", text, re.MULTILINE)) == operations
    )
    assert len(re.findall(r"^      x-internal: true", text, re.MULTILINE)) == internal
    found = opened(path)
    assert len({one.path for one in found.operations}) == paths
    assert len(found.operations) == operations
    assert sum(one.internal for one in found.operations) == internal
    assert found.flaws == ()
    assert not [one for one in found.operations if one.unroutable]


@pytest.mark.parametrize(
    ("credentials", "counts"),
    [
        (("agent=obo_user", "app=app"), {PORTALMGR: 67, CONTENTMGR: 6, AISERVICES: 1}),
        (("app=app", "anonymous=anonymous"), {PORTALMGR: 39, CONTENTMGR: 6, AISERVICES: 4}),
        (("app=app",), {PORTALMGR: 10, CONTENTMGR: 6, AISERVICES: 1}),
        (("agent=obo_user",), {PORTALMGR: 61, CONTENTMGR: 0, AISERVICES: 0}),
    ],
    ids=[
        "on behalf of a user and application",
        "application and anonymous",
        "application",
        "on behalf of a user",
    ],
)
def test_so_many_public_operations_are_covered(credentials: tuple[str, ...], counts: dict[Path, int]) -> None:
    """By the credentials that people have; x-internal ones are left out."""
    by = plan(*credentials)
    for path, count in counts.items():
        (section,) = collect([(path.name, opened(path))], by)
        assert len(section.mapped) == count, path.name
        public = [one for one in opened(path).operations if not one.internal]
        assert len(section.mapped) + len(section.unmapped) == len(public)


@pytest.mark.parametrize("internal", [False, True], ids=["public", "all"])
@pytest.mark.parametrize(
    "credentials",
    [
        ("agent=obo_user", "app=app"),
        ("app=app", "anonymous=anonymous"),
        ("user=user", "shopper=obo_customer"),
    ],
    ids="+".join,
)
def test_map_passes_check_strict(credentials: tuple[str, ...], internal: bool, tmp_path: Path) -> None:
    """All three in one file, with a configuration that has the credentials."""
    by = plan(*credentials, include_internal=internal)
    text = render(collect([(path.name, opened(path)) for path in EGAINS], by), by)
    assert strict_warnings(text, by, tmp_path) == ()


def test_each_kind_of_token_has_a_map_that_passes(tmp_path: Path) -> None:
    """All personas at once, and .default for the commercial cloud."""
    for by in (EVERYBODY, plan("app=app", default_scope=True), plan("app=app", superset=True)):
        text = render(collect([(path.name, opened(path)) for path in EGAINS], by), by)
        assert strict_warnings(text, by, tmp_path) == ()


def test_scopes_follow_no_method() -> None:
    """Reads that need manage and writes that need only read are there, and are mapped as they are."""
    by = plan("user=user", include_internal=True)
    kinds: Counter[tuple[bool, str]] = Counter()
    for section in collect([(path.name, opened(path)) for path in EGAINS], by):
        for one in section.mapped:
            kinds[one.operation.method == "GET", one.scopes[0].rpartition(".")[2]] += 1
    assert kinds[False, "read"] > 0
    assert kinds[True, "read"] > kinds[False, "read"]


@pytest.mark.parametrize("turn", [1, -1], ids=["in order", "turned round"])
def test_overlapping_templates_are_kept_apart(turn: int) -> None:
    """A request for each operation finds that operation, whatever the order: literals win."""
    by = plan("user=user", "agent=obo_user", "app=app", "anonymous=anonymous", include_internal=True)
    sections = collect([(path.name, opened(path)) for path in EGAINS], by)
    mapped = [one for section in sections for one in section.mapped][::turn]
    table = RouteTable((one.operation.path, [one.operation.method], one) for one in mapped)
    assert len({one.operation.path for one in mapped}) > 70
    for one in mapped:
        methods = table.find(re.sub(r"\{[^}]*\}", "PROD-1000", one.operation.path))
        assert methods is not None
        assert methods.find(one.operation.method) is one
