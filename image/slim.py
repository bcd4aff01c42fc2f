"""Makes the image's layer from a virtual environment: without what no command uses, with bytecode for what one does.

Runs in the Dockerfile's first stage, with the environment's own interpreter: `slim.py ENVIRONMENT LAYER`. Owns what
is left out and what is compiled ahead. Imports the whole project, so it fails when something it took away is missed.
"""

from __future__ import annotations

import importlib.util
import pkgutil
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

# Distributions that others need only for what nothing here does, with the names of their packages: rich highlights
# source and Markdown with the first three, and cffi reads C with the last.
UNUSED_DISTRIBUTIONS = {
    "pygments": "pygments", "markdown_it_py": "markdown_it", "mdurl": "mdurl", "pycparser": "pycparser",
}  # fmt: skip
# Below site-packages, what nothing here asks for. Licences and metadata stay.
UNUSED = (
    "**/*.c", "**/*.h", "**/*.hash", "**/*.pxd", "**/*.pxi", "**/*.pyx",  # what the libraries are compiled from
    "**/*.pyi", "**/py.typed", "**/mypy.py",  # types: no checker runs here
    "aiohttp/pytest_plugin.py", "aiohttp/test_utils.py", "click/testing.py", "uvloop/_testbase.py",
    "cffi/*.*",  # cryptography needs its library only, _cffi_backend
    "pydantic/v1/**/*.py",  # the old major, for those who still use it
    "*.dist-info/RECORD", "*.dist-info/direct_url.json",  # what was installed from where: no longer so
)  # fmt: skip
# What is imported only when it is used for the first time. The image's tests name what is missing here.
LATE = (
    "concurrent.futures.thread", "cryptography.hazmat.primitives.asymmetric.dh",
    "cryptography.hazmat.primitives.ciphers.aead", "cryptography.hazmat.primitives.ciphers.algorithms",
    "cryptography.hazmat.primitives.ciphers.modes", "cryptography.hazmat.primitives.kdf.hkdf",
    "cryptography.hazmat.primitives.serialization", "encodings.idna", "encodings.latin_1", "encodings.utf_8_sig",
    "rich.live", "rich.progress", "rich.table", "uvloop",
)  # fmt: skip
_ELF = b"\x7fELF"


def prune(environment: Path, packages: Path) -> None:
    """Remove what no command uses."""
    for pattern in UNUSED:
        for path in packages.glob(pattern):
            path.unlink()
    for distribution, package in UNUSED_DISTRIBUTIONS.items():
        shutil.rmtree(packages / package)
        for path in packages.glob(f"{distribution}-*.dist-info"):
            shutil.rmtree(path)
    for path in (environment / "bin").iterdir():
        if not path.name.startswith(("python", "auth-sidecar")):
            path.unlink()  # scripts of an interactive shell, and the dependencies' own commands
    for path in environment.rglob("__pycache__"):
        shutil.rmtree(path)
    for path in (environment / "include", environment / "share"):
        shutil.rmtree(path, ignore_errors=True)


def strip(packages: Path) -> None:
    """Remove the symbols that only a debugger reads from every library. Raises CalledProcessError."""
    libraries = [path for path in packages.rglob("*.so*") if path.read_bytes()[:4] == _ELF]
    subprocess.run(["strip", "--strip-unneeded", *libraries], check=True)


def sources_loaded() -> set[Path]:
    """Import every module of the project, and with it all that it needs; the source files of it all."""
    sources: set[Path] = set()
    get_code = SourceFileLoader.get_code

    def noting(loader: Any, fullname: str) -> CodeType | None:
        sources.add(Path(loader.get_filename(fullname)))  # also of a module that then cannot be imported
        return get_code(loader, fullname)

    SourceFileLoader.get_code = noting  # type: ignore[assignment,method-assign]
    package = import_module("sidecar")
    for module in pkgutil.walk_packages(package.__path__, "sidecar."):
        import_module(module.name)
    for name in LATE:
        import_module(name)
    # Those that were there before; but not this program, nor what python itself has frozen.
    specs = [getattr(module, "__spec__", None) for module in sys.modules.values()]
    return sources.union(
        Path(spec.origin)
        for spec in specs
        if spec is not None and spec.has_location and spec.origin.endswith(".py")
    )


def compile_ahead(sources: set[Path], layer: Path, packages: Path) -> int:
    """Write the bytecode of each source below `layer`, unless the base image has it; how many.

    The dependencies' replaces its source, as it may (Python's "sourceless" import): that is a seventh of the image.
    The project's own and the standard library's is beside it and "unchecked": python takes it without a look at the
    source's time, which a builder may set to whatever it likes.
    """
    written = 0
    for source in sorted(sources):
        cache = Path(importlib.util.cache_from_source(source))
        if cache.exists():
            continue
        alone = source.is_relative_to(packages) and not source.is_relative_to(packages / "sidecar")
        target = layer / (source.with_suffix(".pyc") if alone else cache).relative_to("/")
        py_compile.compile(
            str(source), str(target), doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )  # fmt: skip
        if alone:
            (layer / source.relative_to("/")).unlink()
        written += 1
    return written


def main(environment: Path, layer: Path) -> None:
    """Make the layer; says how large it came to be."""
    sys.dont_write_bytecode = True
    packages = Path(sysconfig.get_path("purelib"))
    prune(environment, packages)
    strip(packages)
    sources = sources_loaded()
    shutil.copytree(environment, layer / environment.relative_to("/"), symlinks=True)
    written = compile_ahead(sources, layer, packages)
    size = sum(path.lstat().st_size for path in layer.rglob("*") if not path.is_dir())
    print(f"{written} modules compiled; the layer has {size / 1e6:.1f} MB of files")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
