"""What is in the image, and what is not."""

from __future__ import annotations

import datetime
import json
import subprocess
from pathlib import Path, PurePosixPath

import pytest

from sidecar import __version__
from tests.image.layers import Layers, added
from tests.image.podman import ROOT, build, inspect, podman

pytestmark = pytest.mark.image

LIMIT = 40_000_000  # bytes above the base image
HADOLINT = ROOT / ".image" / "tools" / "bin" / "hadolint"
# Whoever gets into the container finds no help there. (The base image has its own pip; nothing of ours needs it.)
TOOLS = {"pip", "pip3", "setuptools", "wheel", "ensurepip", "gcc", "cc", "ld", "as", "strip", "make", "uv"}
SOURCES = {".c", ".h", ".a", ".o", ".pyx", ".pxd", ".pyi", ".whl"}


@pytest.fixture(scope="module")
def layers(image: str, tmp_path_factory: pytest.TempPathFactory) -> Layers:
    """Ours."""
    return added(image, tmp_path_factory.mktemp("layers"))


def git(*words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_user_command_and_labels_are_what_a_pod_relies_on(image: str) -> None:
    """A number as the user, the command as the entrypoint, no health check, labels with this version and commit."""
    described = inspect("image", image)
    config, labels = described["Config"], described["Labels"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/auth-sidecar/bin/auth-sidecar"]
    assert not config.get("Cmd")
    assert described["ManifestType"].startswith(
        "application/vnd.docker"
    )  # (OCI's has no health checks at all)
    assert "healthcheck" not in json.dumps(described).lower()
    prefix = "org.opencontainers.image."
    told = {name.removeprefix(prefix): text for name, text in labels.items() if name.startswith(prefix)}
    made = datetime.datetime.fromisoformat(told.pop("created"))
    assert told.pop("description")
    assert told == {
        "title": "egain-auth-sidecar",
        "licenses": "MIT",
        "version": __version__,
        "revision": git("rev-parse", "HEAD"),
    }
    assert made.timestamp() == int(git("log", "-1", "--format=%ct"))


def test_layers_above_the_base_stay_below_40_megabytes(layers: Layers) -> None:
    """All of the project, its dependencies and their bytecode."""
    print(
        f"\nabove the base: {layers.size / 1e6:.1f} MB ({layers.size_of_files / 1e6:.1f} MB of files in"
        f" {len(layers.files)}), {layers.compressed / 1e6:.1f} MB compressed"
    )
    assert len(layers.files) > 1000
    assert layers.size <= LIMIT


def test_files_are_roots_and_nobody_else_may_write_them(layers: Layers) -> None:
    """No setuid or setgid bit, no device, no other owner."""
    for member in layers.members:
        assert member.uid == member.gid == 0, member.name
        assert member.issym() or not member.mode & 0o7022, f"{member.name} has mode {member.mode:o}"
        assert member.isfile() or member.isdir() or member.issym(), member.name


def test_no_tool_that_builds_or_installs_is_left(layers: Layers) -> None:
    """No pip, no setuptools, no compiler, nothing to compile; of commands, only the project's and python."""
    paths = [PurePosixPath(member.name) for member in layers.members]
    assert not [path for path in paths if TOOLS.intersection(path.parts)]
    assert not [path for path in paths if path.name.startswith(("pip-", "setuptools-", "wheel-"))]
    assert not [path for path in paths if path.suffix in SOURCES]
    commands = {path.name for path in paths if path.parent.name in ("bin", "sbin")}
    assert {name for name in commands if not name.startswith("python")} == {"auth-sidecar"}


def test_each_module_has_its_bytecode_once(layers: Layers) -> None:
    """Beside the source (the project's, the base's) or instead of it (the dependencies'); for one interpreter."""
    paths = {PurePosixPath(member.name) for member in layers.files}
    compiled = {path for path in paths if path.suffix == ".pyc"}
    cached = {path for path in compiled if path.parent.name == "__pycache__"}
    assert len({path.suffixes[-2] for path in cached}) == 1
    assert len(cached) > 250
    assert len(compiled - cached) > 250
    assert not [path for path in compiled - cached if path.with_suffix(".py") in paths]
    ours = {path for path in paths if "sidecar" in path.parts and path.suffix == ".py"}
    assert {path.parent.parent / path.name.split(".")[0] for path in cached if "sidecar" in path.parts} == {
        path.with_suffix("") for path in ours
    }


def test_every_distribution_has_its_metadata_for_scanners(layers: Layers) -> None:
    """Name, version and licence of what is there can be told from the image."""
    paths = [PurePosixPath(member.name) for member in layers.files]
    inside = [PurePosixPath(*path.parts[5:]) for path in paths if path.parts[4:5] == ("site-packages",)]
    about = {path.parts[0] for path in inside if path.parts[0].endswith(".dist-info")}
    assert f"egain_auth_sidecar-{__version__}.dist-info" in about
    assert len(about) > 15
    for one in about:
        assert PurePosixPath(one, "METADATA") in inside
        assert any("LICENSE" in path.name for path in inside if path.parts[0] == one), one


def test_the_same_commit_gives_the_same_layers(image: str) -> None:
    """Built again from nothing, every layer has the same digest."""
    again = f"{image}-again"
    build(again)
    try:
        first, second = (inspect("image", name)["RootFS"]["Layers"] for name in (image, again))
        assert first == second
    finally:
        podman("rmi", again)


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "tests/pod/Dockerfile"])
def test_hadolint_has_no_complaint(dockerfile: str) -> None:
    """The linter for Dockerfiles, with its defaults."""
    if not HADOLINT.exists():
        pytest.skip("hadolint is not installed; tests/image/install does that")
    done = subprocess.run([HADOLINT, Path(dockerfile)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
