"""A folder kept as the kubelet keeps a ConfigMap's or a Secret's volume.

What the container sees as `NAME` is a link to `..data/NAME`, and `..data` a link to a folder with the time in its
name. A change writes a new folder and renames a new `..data` over the old one, so that all files change at once
(Kubernetes, pkg/volume/util/atomic_writer.go). Owns that and nothing else.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

_numbers = itertools.count(1)


class Volume:
    """The folder on the machine; it is mounted whole, never a file of it."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        self.folder = folder
        self.write(files)

    def write(self, files: Mapping[str, str]) -> None:
        """From one moment to the next these are the files, and no others."""
        fresh = self.folder / f"..2026_01_01_00_00_00.{next(_numbers)}"
        fresh.mkdir()
        fresh.chmod(0o755)
        for name, text in files.items():
            (fresh / name).write_text(text)
            (fresh / name).chmod(0o444)
        data = self.folder / "..data"
        before = os.readlink(data) if data.is_symlink() else None
        (self.folder / "..data_tmp").symlink_to(fresh.name)
        os.replace(self.folder / "..data_tmp", data)
        for name in files:
            with contextlib.suppress(FileExistsError):
                (self.folder / name).symlink_to(f"..data/{name}")
        for path in self.folder.iterdir():
            if not path.name.startswith("..") and path.name not in files:
                path.unlink()
        if before is not None:
            shutil.rmtree(self.folder / before)
