"""Arguments, help texts and exit codes of every command.

Owns the words of `--help`. What a command does is imported when it is called: `--help` and `check` answer without
waiting for a web server to be loaded.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from sidecar import __version__
from sidecar.cli import making, output, signing, webhook
from sidecar.cli.group import InOrder
from sidecar.config.loading import Loaded, load
from sidecar.errors import ConfigError

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_WRONG = 2

config_argument = click.argument("config", type=click.Path(path_type=Path))
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="auth-sidecar %(version)s")
def cli() -> None:
    """A reverse proxy beside your app that puts a fresh OAuth 2.0 token, with exactly the route's scopes, into
    every request.

    \b
    In this order:
      auth-sidecar demo                                  see it work, without an account
      auth-sidecar routes --credential app=app api.yaml  a route map from OpenAPI documents
      auth-sidecar check sidecar.yaml                    is the configuration right?
      auth-sidecar explain sidecar.yaml GET /some/path   what will a request get?
      auth-sidecar doctor sidecar.yaml                   is everything there that it relies on?
      auth-sidecar run sidecar.yaml                      serve

    Exit status: 0 fine; 1 a live failure; 2 the configuration or an argument is wrong.
    """


cli.add_command(making.init)
cli.add_command(making.routes)


def _loaded(path: Path) -> Loaded:
    """The configuration; every problem on stderr and exit 2 when it is wrong."""
    try:
        return load(path)
    except ConfigError as error:
        output.problems(error.problems)
        raise SystemExit(_WRONG) from None


@cli.command(short_help="Validate a configuration: every problem, every warning.")
@config_argument
@click.option("--strict", is_flag=True, help="Exit 2 for warnings, too.")
@json_option
def check(config: Path, strict: bool, as_json: bool) -> None:
    """Validate a configuration; print every problem and every warning.

    Files and secrets it names are read once; nothing is sent. Problems come as FILE:LINE: key: what is wrong; what
    to do.

    \b
      auth-sidecar check sidecar.yaml
      auth-sidecar check --strict sidecar.yaml           in CI
      auth-sidecar check --json sidecar.yaml | jq '.errors[].message'
    """
    from sidecar.cli import check as checking

    raise SystemExit(checking.check(config, strict=strict, json=as_json))


@cli.command(short_help="Which token a request gets, and why.")
@config_argument
@click.argument("method", required=False)
@click.argument("path", required=False)
@click.option("--all", "every", is_flag=True, help="The whole route map instead of one request.")
@click.option("--tokens", is_flag=True, help="How many tokens the routes need, and with which scopes.")
@json_option
def explain(
    config: Path, method: str | None, path: str | None, every: bool, tokens: bool, as_json: bool
) -> None:
    """Which route, credential, grant and scopes a request gets, and why.

    PATH may have a query, or be the whole URL that the app requests. Nothing is sent. A request that would be refused
    is explained as well, and is no failure of this command.

    \b
      auth-sidecar explain sidecar.yaml GET /knowledge/portalmgr/v4/portals/PROD-1000/articles
      auth-sidecar explain sidecar.yaml POST 'http://localhost:8080/a/b?$lang=en-US'
      auth-sidecar explain --json sidecar.yaml DELETE /a/b | jq .route
      auth-sidecar explain --all sidecar.yaml
      auth-sidecar explain --tokens sidecar.yaml
    """
    if every or tokens:
        if method is not None or (every and tokens):
            raise click.UsageError("give METHOD and PATH, or --all, or --tokens")
        from sidecar.cli import table

        table.overview(_loaded(config).config, tokens, as_json)
        return
    if method is None or path is None:
        raise click.UsageError("METHOD and PATH are missing; give them, or --all, or --tokens")
    if not _METHOD.fullmatch(method):
        raise click.BadParameter("is not an HTTP method; write GET, POST, ...", param_hint="'METHOD'")
    from sidecar.cli import explain as explaining

    found = explaining.explain(_loaded(config), method, path)
    if as_json:
        output.as_json(found.as_json())
    else:
        output.facts(found.as_facts())


@cli.command(short_help="Obtain a token once; show its lifetime, scopes, claims.")
@config_argument
@click.argument("credential")
@click.option(
    "--scope", "scopes", multiple=True, metavar="S",
    help="A scope to ask for; may be given several times. Default: all of the credential's routes.",
)  # fmt: skip
@click.option(
    "--subject", metavar="S",
    help="On whose behalf, or the token to exchange; - reads it from stdin.",
)  # fmt: skip
@click.option("--show", is_flag=True, help="Print the token itself.")
@json_option
def token(
    config: Path, credential: str, scopes: tuple[str, ...], subject: str | None, show: bool, as_json: bool
) -> None:
    """Obtain a token once; print its lifetime, scopes and claims.

    The claims are decoded, not verified. Neither the token nor a secret is printed, unless you say --show.

    \b
      auth-sidecar token sidecar.yaml app
      auth-sidecar token sidecar.yaml agent --subject alice
      auth-sidecar token sidecar.yaml app --scope app.knowledge.portalmgr.read
      auth-sidecar token sidecar.yaml okta --subject - < id-token.txt
      auth-sidecar token --json --show sidecar.yaml app | jq -r .access_token
    """
    from sidecar.cli import token as tokens
    from sidecar.cli.loop import in_loop

    loaded = _loaded(config).config
    asked = tokens.credential_of(loaded, credential)
    wanted = tokens.scopes_for(loaded, credential, scopes)
    person = tokens.subject_for(asked, subject)
    tokens.warn_if_not_allowed(asked, person)
    found = in_loop(tokens.obtain_once(loaded, credential, wanted, person))
    if as_json:
        output.as_json(tokens.as_json(credential, found, show))
        return
    output.facts(tokens.as_facts(loaded, credential, found))
    if show:
        click.echo()
        click.echo(found.token.reveal())  # on a line of its own, never wrapped


@cli.command(short_help="Live checks: files, names, TLS, tokens, the API.")
@config_argument
@json_option
def doctor(config: Path, as_json: bool) -> None:
    """Live checks: files, names, TLS, clocks, each credential's token, the API, free ports.

    All checks run, at once, whatever fails; each failure comes with what to do. Tokens are obtained as for real and
    thrown away. Exit 1 if anything failed.

    \b
      auth-sidecar doctor sidecar.yaml
      kubectl exec POD -c auth-sidecar -- auth-sidecar doctor /etc/auth-sidecar/sidecar.yaml
      auth-sidecar doctor --json sidecar.yaml | jq '.checks[] | select(.ok | not)'
    """
    from sidecar.cli import doctor as examining
    from sidecar.cli import report
    from sidecar.cli.loop import in_loop

    loaded = _loaded(config)
    with report.waiting(quiet=as_json):
        found = in_loop(examining.examine(config, loaded))
    if as_json:
        output.as_json({"checks": [finding.as_json() for finding in found]})
    else:
        report.findings(found)
    raise SystemExit(any(not finding.ok for finding in found))


@cli.command(short_help="Serve: the proxy and the admin listener.")
@config_argument
def run(config: Path) -> None:
    """Serve: the proxy listener and the admin listener, until SIGTERM.

    A wrong configuration is refused before a port is opened. A token endpoint or API that is down is no reason not to
    start: /readyz on the admin listener tells. SIGHUP or a changed file reloads. Logs go to stderr.

    \b
      auth-sidecar run sidecar.yaml
      EGAIN_CLIENT_ID=... EGAIN_TENANT=... auth-sidecar run /etc/auth-sidecar/sidecar.yaml
      auth-sidecar run sidecar.yaml 2> >(jq -c 'select(.event == "request")')
    """
    loaded = _loaded(config)
    from sidecar.cli import process

    process.serve(config, loaded)


cli.add_command(signing.login)
cli.add_command(webhook.webhook)


@cli.command(short_help="An eGain stand-in with the sidecar in front of it.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True,
    help="Of the sidecar, on 127.0.0.1; 0 for a free one.",
)  # fmt: skip
def demo(port: int) -> None:
    """An eGain stand-in with the sidecar in front of it, to play with; prints curl lines that work.

    Needs no account, no network and no configuration. Tokens live 20 seconds, so one can watch them rotate. Ctrl-C
    ends it.

    \b
      auth-sidecar demo
      auth-sidecar demo --port 9090
    """
    from sidecar.cli import process

    process.demonstrate(port)


@cli.command(short_help="JSON Schema of the configuration.")
def schema() -> None:
    """Print the JSON Schema of the configuration, for editors and CI.

    \b
      auth-sidecar schema > sidecar.schema.json
      # then, as the first line of sidecar.yaml, for editors with a YAML language server:
      # yaml-language-server: $schema=sidecar.schema.json
    """
    from sidecar.config.describe import json_schema

    output.as_json(json_schema())
