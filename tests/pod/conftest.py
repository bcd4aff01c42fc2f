"""The images of the pod, and why these tests do not run with the others."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.image.podman import BASE, ENVIRONMENT, ROOT, built
from tests.pod.manifest import APP_TAG, HERE


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """These need root, buildah and podman: only when asked for."""
    if "pod" in config.getoption("markexpr"):
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs buildah and podman: make test-pod"))


@pytest.fixture(scope="session")
def images() -> None:
    """The sidecar's, and the applications'."""
    installed = ROOT / ".image"
    if not (installed / "sdk" / "egain_api_python").exists():
        pytest.skip("eGain's SDK is not installed; tests/image/install sdk does that")
    built()
    done = subprocess.run(
        ["buildah", "build", "--isolation=chroot", "--layers", "--pull-never", "--build-arg", f"PYTHON_IMAGE={BASE}",
         "-t", APP_TAG, "-f", HERE / "Dockerfile", installed],
        env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
