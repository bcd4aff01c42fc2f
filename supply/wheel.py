"""The wheel, the same bytes wherever it is built: from the files that git tracks, in a clean copy.

Owns what could differ and must not: file modes (a umask), times, stale build folders, untracked files, the locale and
time zone. The build backend's version is pinned in tools.txt. Runs in .supply/, where the tools are.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from supply.version import ROOT

_STEADY = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}


def clean_copy(source: Path, target: Path) -> None:
    """What git tracks in `source`, as it is in the working tree, with modes 0644 and 0755. Raises OSError."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=source, check=True, capture_output=True, text=True)  # noqa: S607
    for name in filter(None, listed.stdout.split("\0")):
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / name, path)
        path.chmod(0o755 if os.access(source / name, os.X_OK) else 0o644)


def build(source: Path, output: Path, epoch: int) -> Path:
    """Build this working tree's wheel into a folder. `epoch`: seconds, its files' time. Raises CalledProcessError."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        copy, made = Path(scratch, "source"), Path(scratch, "wheel")
        previous = os.umask(0o022)
        try:
            clean_copy(source, copy)
            subprocess.run(  # noqa: S603
                [
                    sys.executable,
                    "-m",
                    "build",
                    "--wheel",
                    "--no-isolation",
                    "--outdir",
                    str(made),
                    str(copy),
                ],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, **_STEADY, "SOURCE_DATE_EPOCH": str(epoch)},
            )
        finally:
            os.umask(previous)
        (wheel,) = made.iterdir()
        return Path(shutil.copy(wheel, output / wheel.name))


def main() -> int:
    """Build, and print the SHA-256 and the file's name as sha256sum does. Exit status 2 when it cannot be built."""
    parser = argparse.ArgumentParser(prog="python -m supply.wheel", description=__doc__)
    parser.add_argument("--source", type=Path, default=ROOT, help="a working tree of git's")
    parser.add_argument("--output", type=Path, required=True, help="a folder")
    options = parser.parse_args()
    try:
        wheel = build(options.source, options.output, int(os.environ["SOURCE_DATE_EPOCH"]))
    except KeyError:
        print("wheel: SOURCE_DATE_EPOCH is not set: seconds since 1970, of the last commit", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"wheel: {error}", file=sys.stderr)
        return 2
    except subprocess.CalledProcessError as error:
        print(f"wheel: {error}\n{error.stdout}{error.stderr}", file=sys.stderr)
        return 2
    print(f"{hashlib.sha256(wheel.read_bytes()).hexdigest()}  {wheel}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
