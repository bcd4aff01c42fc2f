"""The version stands in one place, and whatever repeats it follows."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import pytest

from sidecar import __version__
from supply import version
from supply.version import WrongVersionError

TODAY = datetime.date(2031, 2, 3)
CHART = 'apiVersion: v2\nname: a\nversion: 0.1.0\nappVersion: "0.1.0"\nkubeVersion: ">=1.29.0"\n'
HELPERS = '{{- define "a.version" -}}0.1.0{{- end }}\n{{- define "a.name" -}}0.1.0{{- end }}\n'
DEPLOYMENT = "spec:\n  - name: a\n    image: localhost/egain-auth-sidecar:0.1.0\n  - image: other:0.1.0\n"
LOCKED = re.compile(r"^([a-z0-9-]+==\S+)", re.MULTILINE)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with all places that repeat the version."""
    for name, text in {
        "sidecar/__init__.py": '__version__ = "0.1.0"\n',
        "CHANGELOG.md": "# Changelog\n\n## [Unreleased]\n\n- new\n\n## [0.1.0] - 2030-01-01\n",
        "Dockerfile": "ARG PYTHON=3.12.1\nARG VERSION=0.1.0\n",
        "helm/a/Chart.yaml": CHART,
        "helm/a/templates/_helpers.tpl": HELPERS,
        "helm/kustomize/base/deployment.yaml": DEPLOYMENT,
        "helm/kustomize/kustomization.yaml": 'images:\n  - name: egain-auth-sidecar\n    newTag: "0.1.0"\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_all_places_of_this_project_agree() -> None:
    """Chart, manifests and the changelog's newest entry have the package's version."""
    assert version.current() == __version__
    assert version.problems() == []


def test_release_writes_every_place_and_the_date(project: Path) -> None:
    """And nothing else: other images and version constraints stay."""
    assert len(version.release("0.2.0", TODAY, project)) == 7
    assert version.current(project) == "0.2.0"
    assert version.problems(project) == []
    assert (
        (project / "CHANGELOG.md").read_text().startswith("# Changelog\n\n## [0.2.0] - 2031-02-03\n\n- new")
    )
    assert (project / "helm/a/Chart.yaml").read_text() == CHART.replace("0.1.0", "0.2.0")
    assert (project / "helm/a/templates/_helpers.tpl").read_text() == HELPERS.replace("0.1.0", "0.2.0", 1)
    assert "image: other:0.1.0\n" in (project / "helm/kustomize/base/deployment.yaml").read_text()


def test_release_of_the_same_version_dates_its_entry(project: Path) -> None:
    """A first version is prepared under its own number."""
    changelog = project / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## [0.1.0] - unreleased (2030-01-01)\n")
    assert version.release("0.1.0", TODAY, project) == ["CHANGELOG.md"]
    assert changelog.read_text() == "# Changelog\n\n## [0.1.0] - 2031-02-03\n"


@pytest.mark.parametrize("wanted", ["0.0.9", "1.0", "1.0.0rc1", "v1.0.0", "01.0.0", ""])
def test_release_refuses_what_is_no_later_version(project: Path, wanted: str) -> None:
    """Lower ones, and spellings that a chart or a package would not take."""
    with pytest.raises(WrongVersionError):
        version.release(wanted, TODAY, project)
    assert version.current(project) == "0.1.0"


def test_release_without_an_entry_writes_nothing(project: Path) -> None:
    """A version that nobody described is not released by half."""
    (project / "CHANGELOG.md").write_text("# Changelog\n\n## [0.1.0] - 2030-01-01\n")
    with pytest.raises(WrongVersionError, match="no entry"):
        version.release("0.2.0", TODAY, project)
    assert version.current(project) == "0.1.0"
    assert version.problems(project) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Dockerfile", "VERSION=0.1.0", "VERSION=0.1.1"),
        ("helm/a/Chart.yaml", "version: 0.1.0", "version: 0.1.1"),
        ("helm/a/Chart.yaml", 'appVersion: "0.1.0"', 'appVersion: "0.1.1"'),
        ("helm/a/Chart.yaml", 'appVersion: "0.1.0"', "appVersion: latest"),
        ("helm/a/templates/_helpers.tpl", "0.1.0{{- end }}\n{{- define", "0.1.1{{- end }}\n{{- define"),
        ("helm/kustomize/base/deployment.yaml", "sidecar:0.1.0", "sidecar:0.1.1"),
        ("helm/kustomize/kustomization.yaml", "0.1.0", "0.1.1"),
        ("CHANGELOG.md", "Unreleased", "0.1.1"),
    ],
)
def test_a_place_that_differs_is_named(project: Path, name: str, old: str, new: str) -> None:
    """One problem, with the file's name."""
    path = project / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert [line.split(":")[0] for line in version.problems(project)] == [name]


def test_both_locks_have_the_same_versions() -> None:
    """What is tested is what is shipped."""
    shipped, tested = (
        set(LOCKED.findall((version.ROOT / name).read_text()))
        for name in ("requirements.txt", "requirements-dev.txt")
    )
    assert len(shipped) > 20
    assert shipped <= tested
