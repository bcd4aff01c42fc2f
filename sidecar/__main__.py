"""`python -m sidecar`, the same as `auth-sidecar`."""

from __future__ import annotations

import sys

from sidecar import logs
from sidecar.cli.commands import cli


def main() -> None:
    """The console script."""
    logs.configure()
    sys.excepthook = logs.uncaught  # a bug ends with one line, never with a traceback that may quote a secret
    cli(prog_name="auth-sidecar")


if __name__ == "__main__":
    main()
