"""The layers that the project adds to its base image, as tar archives that can be looked into.

Owns reading an exported image. Which layers are ours is known from the base's own list, never from their number.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.image.podman import BASE, inspect, podman


@dataclass(frozen=True)
class Layers:
    """What our layers come to."""

    members: tuple[tarfile.TarInfo, ...]
    size: int  # bytes of the archives, as stored
    compressed: int  # and as a registry keeps them

    @property
    def files(self) -> list[tarfile.TarInfo]:
        return [member for member in self.members if not member.isdir()]

    @property
    def size_of_files(self) -> int:
        """Bytes, without what an archive adds."""
        return sum(member.size for member in self.files)


def added(image: str, folder: Path) -> Layers:
    """The layers of this image that its base does not have. `folder` is for the export, 200 MB."""
    base, ours = (inspect("image", name)["RootFS"]["Layers"] for name in (BASE, image))
    assert ours[: len(base)] == base, "the image does not begin with its base"
    path = folder / "image.tar"
    podman("save", "--quiet", "--format=docker-archive", "--output", path, image)
    members: list[tarfile.TarInfo] = []
    size = compressed = 0
    with tarfile.open(path) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        (described,) = json.load(manifest)
        for name in described["Layers"][len(base) :]:
            layer = archive.extractfile(name)
            assert layer is not None
            data = layer.read()
            size += len(data)
            compressed += len(gzip.compress(data, 6))
            layer.seek(0)
            with tarfile.open(fileobj=layer) as inner:
                members += inner.getmembers()
    path.unlink()
    return Layers(tuple(members), size, compressed)
