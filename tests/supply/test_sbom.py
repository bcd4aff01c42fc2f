"""The bill of materials: CycloneDX that its schema takes, complete, and the same each time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sidecar import __version__
from supply.version import ROOT
from tests.supply.conftest import Done

pytestmark = pytest.mark.supply

LOCK = (ROOT / "requirements.txt").read_text()
ROOT_PURL = f"pkg:pypi/egain-auth-sidecar@{__version__}"
# The schema's own validator, once more and without our code.
VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read())
"""


@pytest.fixture(scope="session")
def bill(tool: Callable[..., Done], site_packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that `make sbom` writes."""
    folder = tmp_path_factory.mktemp("sbom")
    done = tool("-m", "supply.sbom", "--site-packages", site_packages, "--output", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(folder / f"egain-auth-sidecar-{__version__}.cdx.json")
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def said(bill: Path) -> dict[str, Any]:
    """What it says."""
    document: dict[str, Any] = json.loads(bill.read_text())
    return document


def test_the_schema_takes_it(tool: Callable[..., Done], bill: Path) -> None:
    """And refuses a document with a field it does not know."""
    script = (
        f"{VALIDATE.replace('sys.stdin.read()', 'open(sys.argv[1]).read()')}\nsys.exit(error is not None)"
    )
    assert tool("-c", script, bill).returncode == 0
    broken = bill.with_name("broken.json")
    broken.write_text(bill.read_text().replace('"bomFormat"', '"bomformat"'))
    assert tool("-c", script, broken).returncode == 1


def test_it_has_exactly_the_lock(said: dict[str, Any]) -> None:
    """Names, versions, and every SHA-256 that the lock accepts."""
    locked = {
        match[1]: set(re.findall(r"sha256:(\w+)", match[0]))
        for match in re.finditer(r"^([a-z0-9-]+==[^\s;]+)(?:.*\\\n)+.*", LOCK, re.MULTILINE)
    }
    told = {
        f"{component['name']}=={component['version']}": {
            digest["content"]
            for reference in component["externalReferences"]
            for digest in reference["hashes"]
        }
        for component in said["components"]
    }
    assert len(told) == len(said["components"])
    assert told == locked


def test_every_package_has_its_purl_and_a_license(said: dict[str, Any]) -> None:
    """What a scanner asks for first."""
    for component in said["components"]:
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        assert component["licenses"]


def test_the_sidecar_is_the_root_of_the_graph(said: dict[str, Any]) -> None:
    """With its direct dependencies; all packages are reached from there, and optional ones are no edges."""
    assert said["metadata"]["component"]["purl"] == ROOT_PURL
    assert said["metadata"]["component"]["version"] == __version__
    graph = {node["ref"]: set(node.get("dependsOn", ())) for node in said["dependencies"]}
    names = {ref: {purl.split("/")[1].split("@")[0] for purl in needed} for ref, needed in graph.items()}
    assert {"aiohttp", "pyjwt", "httptools", "uvloop"} <= names[ROOT_PURL]
    assert "multidict" not in names[ROOT_PURL]
    (pyjwt,) = (ref for ref in graph if "/pyjwt@" in ref)
    assert names[pyjwt] == {"cryptography"}  # an extra that is asked for
    (uvloop,) = (ref for ref in graph if "/uvloop@" in ref)
    assert names[uvloop] == set()  # its extras for tests and docs are not
    reached, ahead = set[str](), [ROOT_PURL]
    while ahead:
        reached.add(ref := ahead.pop())
        ahead += graph[ref] - reached
    assert reached == graph.keys() == {ROOT_PURL, *(component["purl"] for component in said["components"])}


def test_the_same_bytes_each_time(
    tool: Callable[..., Done], bill: Path, site_packages: Path, tmp_path: Path
) -> None:
    """In another folder, time zone and order of hashing; the number follows from what it says."""
    arguments = ("-m", "supply.sbom", "--site-packages", site_packages, "--output", tmp_path)
    done = tool(*arguments, cwd=tmp_path, TZ="Pacific/Auckland", PYTHONHASHSEED="7")
    again = Path(done.stdout.strip())
    assert again.read_bytes() == bill.read_bytes()
    assert json.loads(again.read_text())["metadata"]["timestamp"] == "2030-01-01T00:00:00+00:00"
    later = Path(tool(*arguments, SOURCE_DATE_EPOCH="1893456001").stdout.strip())
    numbers = {json.loads(path.read_text())["serialNumber"] for path in (bill, later)}
    assert len(numbers) == 2


def _edited(old: str, new: str) -> Callable[[str], str]:
    return lambda text: re.sub(old, new, text, count=1, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (_edited(r"^aiohttp==\S+", "aiohttp==3.14.4"), "aiohttp is "),
        (_edited(r"^aiohttp==", "aiohttp>="), "aiohttp: one exact version with its hashes"),
        (_edited(r"(^multidict==\S+)(.*\n +--hash=\S+)+", r"\1"), "multidict: one exact version"),
        (_edited(r"^multidict==.*\n( +--hash=.*\n)+", ""), "needs multidict, which is not in the lock"),
        (lambda text: text + f"packaging==1 \\\n    --hash=sha256:{'0' * 64}\n", "packaging is "),
    ],
    ids=["other version", "range", "no hash", "missing", "not needed"],
)
def test_a_lock_that_does_not_fit_is_refused(
    tool: Callable[..., Done], site_packages: Path, tmp_path: Path, edit: Callable[[str], str], says: str
) -> None:
    """Rather than told wrong: exit 2, nothing written."""
    lock = tmp_path / "requirements.txt"
    lock.write_text(edit(LOCK))
    assert lock.read_text() != LOCK
    done = tool(
        "-m", "supply.sbom", "--lock", lock, "--site-packages", site_packages, "--output", tmp_path / "out"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert not (tmp_path / "out").exists()
