"""`auth-sidecar login`: its arguments. Owns the words of its `--help`; what it does is imported when it is called."""

from __future__ import annotations

from pathlib import Path

import click

from sidecar.cli import output
from sidecar.config.loading import load
from sidecar.errors import ConfigError

_WRONG = 2


@click.command(short_help="Sign in at this machine, for a run on loopback.")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("credential")
@click.option("--no-browser", is_flag=True, help="Only print the address, open nothing.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=None,
    help="Where to wait for the browser on 127.0.0.1. Default: redirect_url's, if that is loopback; else a free one.",
)  # fmt: skip
@click.option("--forget", is_flag=True, help="Take the sign-in away again.")
def login(config: Path, credential: str, no_browser: bool, port: int | None, forget: bool) -> None:
    """Sign in as yourself with an authorization_code credential, and keep that for `auth-sidecar run` here.

    The browser opens; the answer comes back to a loopback address (RFC 8252), which the authorization server must
    allow as a redirect URI. The tokens are kept encrypted in a folder of your own, ~/.local/state/auth-sidecar. A `run`
    that is started later and listens on loopback uses them for requests that bring no session of their own.

    \b
      auth-sidecar login sidecar.yaml user
      auth-sidecar login --no-browser sidecar.yaml user      when the browser is elsewhere
      auth-sidecar login --forget sidecar.yaml user
    """
    try:
        loaded = load(config).config
    except ConfigError as error:
        output.problems(error.problems)
        raise SystemExit(_WRONG) from None
    from sidecar.cli import login as signing
    from sidecar.cli import token
    from sidecar.cli.loop import in_loop

    wanted = token.credential_of(loaded, credential)
    if wanted.grant != "authorization_code":
        raise click.UsageError(
            f"nobody signs in for {credential}; use: auth-sidecar token CONFIG {credential}"
        )
    person = signing.login(loaded, credential, wanted)
    in_loop(person.forget() if forget else person.sign_in(browser=not no_browser, port=port or 0))
