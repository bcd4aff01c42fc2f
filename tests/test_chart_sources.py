"""What in helm/ follows from something else is as it must be; needs no Helm. tests/chart has the rest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from helm import readme, values_schema
from sidecar import __version__

CHART = readme.CHART


def test_the_schema_is_current() -> None:
    """values.schema.json has the configuration's schema as it is now; `make chart-files` writes it."""
    assert values_schema.TARGET.read_text() == values_schema.rendered()


def test_the_readmes_table_is_current() -> None:
    """The table of values says what values.yaml says; `make chart-files` writes it."""
    page = readme.README.read_text()
    assert page == readme.rendered(page)


def test_the_table_tells_path_default_and_comment() -> None:
    """Lines of a comment are joined, a comment is the next key's only, mappings are opened unless set as a whole."""
    text = "# A heading\n\n# What a\n# is.\na:\n  # Of b.\n  b: [1]\n  c: ''\n  resources: {x: 1}\n"
    assert list(readme.rows(text)) == [
        ("a", None, "*What a is.*"),
        ("a.b", [1], "Of b."),
        ("a.c", "", ""),
        ("a.resources", {"x": 1}, ""),
    ]


VERSIONS = [
    ("egain-auth-sidecar/Chart.yaml", r"^version: (\S+)$"),
    ("egain-auth-sidecar/Chart.yaml", r'^appVersion: "(\S+)"$'),
    ("egain-auth-sidecar/templates/_helpers.tpl", r'define "egain-auth-sidecar\.version" -}}(\S+){{'),
    ("kustomize/kustomization.yaml", r"newTag: (\S+)$"),
]


@pytest.mark.parametrize(("path", "pattern"), VERSIONS)
def test_every_version_follows_the_packages(path: str, pattern: str) -> None:
    """sidecar/__init__.py is the one place; what cannot read it repeats it."""
    assert re.findall(pattern, (CHART.parent / path).read_text(), re.MULTILINE) == [__version__]


def properties(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[str]:
    """The paths a schema knows, closed objects opened; what is Kubernetes' own, or the configuration, is a leaf."""
    for key, one in schema["properties"].items():
        here = f"{path}{key}"
        if "properties" in one and here not in LEAVES:
            yield from properties(one, definitions, f"{here}.")
        else:
            yield here


LEAVES = {"webhook.certificate.issuerRef", "podMonitor.namespaceSelector"}


def test_the_schema_knows_the_values_that_are_there() -> None:
    """Every value has its place in the schema, and the schema admits none that values.yaml does not have."""
    source = yaml.safe_load(values_schema.SOURCE.read_text())
    known = set(properties(source, source["definitions"]))
    assert {row.path for row in readme.rows(readme.VALUES.read_text()) if row.default is not None} == known


def closed(node: Any) -> bool:
    """Whether every object with listed properties says that there are no others."""
    if isinstance(node, list):
        return all(map(closed, node))
    if not isinstance(node, dict):
        return True
    open_ended = isinstance(node.get("properties"), dict) and "additionalProperties" not in node
    return not open_ended and all(map(closed, node.values()))


def test_the_schema_is_closed() -> None:
    """No misspelt value is let through anywhere, except among a volume's types, which are Kubernetes' own."""
    schema = yaml.safe_load(values_schema.TARGET.read_text())
    del schema["definitions"]["volumes"]
    assert closed(schema)


def test_every_value_is_used() -> None:
    """No value does nothing: each one's key is read by some template."""
    templates = "\n".join(path.read_text() for path in sorted(Path(CHART, "templates").rglob("*.*")))
    unused = [
        row.path
        for row in readme.rows(readme.VALUES.read_text())
        if row.default is not None and not re.search(rf"\.{row.path.rpartition('.')[2]}\b", templates)
    ]
    assert unused == ["global"]
