"""`auth-sidecar webhook`: its arguments, and what becomes of an error that reaches the top.

Owns the words of its `--help`. What it does is imported when it is called.
"""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.cli import output
from sidecar.errors import ConfigError

_WRONG = 2


@click.command(short_help="Kubernetes: put the sidecar into pods that ask for it.")
@click.argument("settings", type=click.Path(path_type=Path))
def webhook(settings: Path) -> None:
    """Serve a mutating admission webhook that puts the sidecar into pods annotated auth-sidecar/inject.

    SETTINGS is written by the Helm chart: where to listen, the certificate, the container and its volumes. Wrong
    ones are refused before a port is opened. A changed certificate is taken up without a restart, changed settings
    are not. SIGTERM ends it after a few seconds. Logs go to stderr.

    \b
      auth-sidecar webhook /etc/auth-sidecar-webhook/settings/settings.yaml
      auth-sidecar webhook settings.yaml 2> >(jq -c 'select(.outcome == "refused")')
    """
    from sidecar.webhook.settings import load

    try:
        loaded = load(settings)
    except ConfigError as error:
        output.problems(error.problems)
        raise SystemExit(_WRONG) from None
    from sidecar.cli.loop import serving
    from sidecar.webhook.server import CannotServe, run

    try:
        serving(run(loaded), CannotServe)
    except CannotServe as error:
        raise output.Failed(str(error)) from None
