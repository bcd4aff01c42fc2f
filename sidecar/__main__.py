"""`python -m sidecar`, the same as `auth-sidecar`."""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """The console script."""
    if os.getpid() == 1:
        # The kernel drops what the first process of a container has no handler for: a pod deleted while this
        # starts would wait for its whole grace period. lifecycle.py takes over as soon as there is something to drain.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))

    from sidecar import logs  # here: the imports are most of the start
    from sidecar.cli.commands import cli

    logs.configure()
    sys.excepthook = logs.uncaught  # a bug ends with one line, never with a traceback that may quote a secret
    cli(prog_name="auth-sidecar")


if __name__ == "__main__":
    main()
