"""What the lock holds and who needs what: the packages of requirements.txt, and the edges between them.

Owns the reading of the lock and of installed metadata. An edge is there when any supported Python needs it on Linux, so
that the answer is the same on every machine that asks. Knows nothing of bills of materials.
"""

from __future__ import annotations

import email.message
import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_CPYTHON_ON_LINUX = {
    "implementation_name": "cpython",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
}


class LockError(Exception):
    """The lock, the project and what is installed do not agree; the text says where."""


@dataclass(frozen=True)
class Locked:
    """One package of the lock: any of these SHA-256 digests is one of its files."""

    name: str  # canonical (PEP 503)
    version: str
    sha256: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """What pyproject.toml says."""

    name: str
    description: str
    license: str  # an SPDX expression (PEP 639)
    requires: tuple[Requirement, ...]
    pythons: tuple[str, ...]  # "3.11", ...: its classifiers


def read_project(path: Path) -> Project:
    """The project of this pyproject.toml."""
    table = tomllib.loads(path.read_text())["project"]
    return Project(
        table["name"],
        table["description"],
        table["license"],
        tuple(map(Requirement, table["dependencies"])),
        tuple(re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(table["classifiers"]))),
    )


def read_lock(path: Path) -> dict[str, Locked]:
    """Each package by its canonical name. Raises LockError for a line without version or digest."""
    found: dict[str, Locked] = {}
    for line in path.read_text().replace("\\\n", " ").splitlines():
        said, *_ = re.split(r"\s--hash=", line, maxsplit=1)
        if not said.strip() or said.startswith("#"):
            continue
        requirement = Requirement(said)
        name, digests = canonicalize_name(requirement.name), tuple(_HASH.findall(line))
        exact = re.fullmatch(r"==([^,*]+)", str(requirement.specifier))
        if exact is None or not digests or name in found:
            raise LockError(f"{path.name}: {requirement.name}: one exact version with its hashes is wanted")
        found[name] = Locked(name, exact[1], digests)
    return found


def read_installed(site_packages: Path, lock: Mapping[str, Locked]) -> dict[str, email.message.Message]:
    """The core metadata of each locked package. Raises LockError for one that is missing or of another version."""
    found: dict[str, importlib.metadata.Distribution] = {
        canonicalize_name(distribution.metadata["Name"]): distribution
        for distribution in importlib.metadata.distributions(path=[str(site_packages)])
    }
    for name, locked in lock.items():
        version = found[name].version if name in found else "not installed"
        if version != locked.version:
            raise LockError(f"{name} is {version} where its metadata is read, {locked.version} in the lock")
    return {name: _message(found[name]) for name in lock}


def _message(distribution: importlib.metadata.Distribution) -> email.message.Message:
    return email.message_from_string(distribution.read_text("METADATA") or "")


def edges(
    project: Project, lock: Mapping[str, Locked], installed: Mapping[str, email.message.Message]
) -> dict[str, set[str]]:
    """Who directly needs whom, by canonical name; the project's own needs are under "".

    Optional dependencies count where somebody asks for the extra. Raises LockError when the lock lacks a package or
    has one that nobody needs.
    """
    needs: dict[str, set[str]] = {"": set(), **{name: set() for name in lock}}
    extras: dict[str, set[str]] = {}
    to_do: list[tuple[str, str, Iterable[Requirement]]] = [("", "", project.requires)]
    while to_do:
        name, extra, requires = to_do.pop()
        for requirement in requires:
            if not _applies(requirement, extra, project.pythons):
                continue
            needed = canonicalize_name(requirement.name)
            if needed not in lock:
                raise LockError(f"{name or project.name} needs {needed}, which is not in the lock")
            needs[name].add(needed)
            for wanted in {"", *requirement.extras} - extras.setdefault(needed, set()):
                extras[needed].add(wanted)
                said = installed[needed].get_all("Requires-Dist") or []
                to_do.append((needed, wanted, map(Requirement, said)))
    idle = sorted(lock.keys() - extras.keys())
    if idle:
        raise LockError(f"nobody needs {', '.join(idle)}, which the lock has")
    return needs


def _applies(requirement: Requirement, extra: str, pythons: Iterable[str]) -> bool:
    if requirement.marker is None:
        return True
    environments = (
        {**_CPYTHON_ON_LINUX, "python_version": v, "python_full_version": f"{v}.0", "extra": extra}
        for v in pythons
    )
    return any(requirement.marker.evaluate(environment) for environment in environments)
