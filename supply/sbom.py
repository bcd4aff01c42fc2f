"""The bill of materials: CycloneDX JSON of what the lock installs, with the sidecar as its root.

Owns how the lock is told in CycloneDX. The same lock, version and SOURCE_DATE_EPOCH give the same bytes. The tool
cyclonedx-py is not used: its `environment` has no hashes and takes every optional dependency for an edge, its
`requirements` has no edges; the library under it writes and validates. Runs in .supply/, where that library is.
"""

from __future__ import annotations

import argparse
import datetime
import email.message
import hashlib
import os
import re
import sys
import uuid
from collections.abc import Iterable
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from supply.graph import Locked, LockError, Project, edges, read_installed, read_lock, read_project
from supply.version import ROOT, current

_CLASSIFIER = re.compile(r"^License :: (?:OSI Approved :: )?(.+)$")


def bill(project: Project, version: str, lock: Path, site_packages: Path, made: datetime.datetime) -> str:
    """The document, as JSON. Raises LockError."""
    locked = read_lock(lock)
    installed = read_installed(site_packages, locked)
    needs = edges(project, locked, installed)
    components = {name: _package(locked[name], installed[name]) for name in locked}
    root = _root(project, version)
    bom = Bom(components=components.values(), metadata=BomMetaData(component=root, timestamp=made))
    bom.metadata.tools.components.add(this_component())
    for name, component in {"": root, **components}.items():
        bom.register_dependency(component, [components[needed] for needed in needs[name]])
    # What it says decides its number: no two different documents have the same one, nor one document two.
    bom.serial_number = uuid.UUID(int=0)
    digest = hashlib.sha256(_text(bom).encode()).hexdigest()
    bom.serial_number = uuid.uuid5(uuid.NAMESPACE_URL, f"{root.purl}#{digest}")
    return _text(bom)


def _text(bom: Bom) -> str:
    return str(JsonV1Dot6(bom).output_as_string(indent=2)) + "\n"


def _root(project: Project, version: str) -> Component:
    purl = PackageURL("pypi", name=project.name, version=version)
    return Component(
        type=ComponentType.APPLICATION,
        name=project.name,
        version=version,
        description=project.description,
        purl=purl,
        bom_ref=str(purl),
        licenses=[_license(project.license)],
    )


def _package(locked: Locked, metadata: email.message.Message) -> Component:
    """One component. Its hashes are those of the files that the lock accepts, so they stand at a reference: a component
    of its own, in CycloneDX's sense, is one of these files."""
    purl = PackageURL("pypi", name=locked.name, version=locked.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        comment="the files that the lock accepts, any one of them",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in locked.sha256],
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=locked.name,
        version=locked.version,
        description=metadata["Summary"],
        purl=purl,
        bom_ref=str(purl),
        scope=ComponentScope.REQUIRED,
        licenses=_licenses(metadata),
        external_references=[files],
    )


def _licenses(metadata: email.message.Message) -> Iterable[License]:
    """As the package declares it: PEP 639's expression, else what the older fields say, word for word."""
    if metadata["License-Expression"]:
        return [_license(metadata["License-Expression"])]
    field = metadata["License"] or ""
    said = {field} if field and "\n" not in field else set()  # some put the whole text there
    for classifier in metadata.get_all("Classifier") or []:
        match = _CLASSIFIER.match(classifier)
        if match and not said:
            said.add(match[1])
    return [_license(name) for name in sorted(said)]


def _license(said: str) -> License:
    return LicenseFactory().make_from_string(said, license_acknowledgement=LicenseAcknowledgement.DECLARED)


def invalid(text: str) -> str | None:
    """What CycloneDX 1.6's strict schema has against this document."""
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    return None if error is None else str(error.data)


def main() -> int:
    """Write the document. Exit status 2 when it cannot be made, with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m supply.sbom", description=__doc__)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.txt")
    parser.add_argument(
        "--site-packages", type=Path, required=True, help="where the locked packages are installed"
    )
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    options = parser.parse_args()
    try:
        made = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC)
        project, version = read_project(ROOT / "pyproject.toml"), current()
        text = bill(project, version, options.lock, options.site_packages, made)
    except KeyError:
        print("sbom: SOURCE_DATE_EPOCH is not set: seconds since 1970, of the last commit", file=sys.stderr)
        return 2
    except LockError as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 2
    wrong = invalid(text)
    if wrong is not None:
        print(f"sbom: not CycloneDX: {wrong}", file=sys.stderr)
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / f"{project.name}-{version}.cdx.json"
    path.write_text(text)
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
