"""Arguments, help texts and exit codes of the commands that write files: `init` and `routes`.

Owns the words of their `--help`. What they do is imported when they are called.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

spec_arguments = click.argument(
    "specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path(path_type=Path)
)
credential_option = click.option(
    "--credential", "credentials", multiple=True, metavar="NAME=PERSONA",
    help="A credential of the configuration, and whose tokens it gets: user, customer, obo_user, obo_customer, "
    "anonymous or app. May be given several times.",
)  # fmt: skip


@click.command(short_help="A route map from OpenAPI documents; --diff: what has changed.")
@spec_arguments
@credential_option
@click.option(
    "--prefer", metavar="PERSONA,...",
    help="Whose token an operation gets when several may call it. Default: in the order of --credential.",
)  # fmt: skip
@click.option("--include-internal", is_flag=True, help="Also operations marked x-internal.")
@click.option("--base-path", metavar="P", help="Instead of what the documents' servers say.")
@click.option("--superset", is_flag=True, help="An application gets all scopes that would do, not just one.")
@click.option("--default-scope", is_flag=True, help="An application gets .default (commercial cloud).")
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Instead of stdout.")
@click.option(
    "--diff", "old", metavar="ROUTES", type=click.Path(path_type=Path),
    help="Say what the documents would change in this file; exit 1 if anything.",
)  # fmt: skip
def routes(
    specs: tuple[Path, ...],
    credentials: tuple[str, ...],
    prefer: str | None,
    include_internal: bool,
    base_path: str | None,
    superset: bool,
    default_scope: bool,
    out: Path | None,
    old: Path | None,
) -> None:
    """A route map for `include:`, from OpenAPI 3 documents in YAML or JSON.

    Each operation gets the first preferred credential that may call it, and exactly the scopes this takes.
    Operations that none may call are comments that say what would be needed. With --diff, options that are not
    given are those the file was made with.

    \b
      auth-sidecar routes --credential agent=obo_user --credential app=app portalmgr-v4.yaml
      auth-sidecar routes --credential app=app --out routes/egain.yaml portalmgr-v4.yaml content.json
      auth-sidecar routes --diff routes/egain.yaml portalmgr-v4.yaml content.json
    """
    from sidecar.cli import routes as making
    from sidecar.openapi.choosing import Plan

    plan = Plan(
        making.credential_options(credentials),
        making.prefer_option(prefer),
        include_internal,
        making.base_path_option(base_path),
        superset,
        default_scope,
    )
    if old is not None:
        if out is not None:
            raise click.UsageError("--diff writes no file; leave --out out")
        raise SystemExit(making.compare(old, specs, plan))
    if not plan.credentials:
        raise click.UsageError("no --credential is given; write --credential NAME=PERSONA, such as app=app")
    making.write_map(specs, plan, out)


@click.command(short_help="A first configuration with its route map; asks for what is not given.")
@click.argument("specs", nargs=-1, metavar="[SPEC]...", type=click.Path(path_type=Path))
@click.option("--cloud", metavar="CLOUD", help="ai (AI Knowledge Hub) or commercial.")
@click.option("--tenant", metavar="ID", help="Tenant id, such as TMPRODB88619984.")
@click.option(
    "--personas", metavar="PERSONA,...", help="Whose tokens, the preferred first: app, anonymous, ..."
)
@click.option("--client-id", metavar="ID", help="Of the client application.")
@click.option(
    "--secret-file", metavar="PATH", help="The file that has the client secret; it is not read here."
)
@click.option("--secret-env", metavar="NAME", help="The environment variable that has it, instead.")
@click.option("--metadata", metavar="FILE|URL", help="The tenant's metadata: JSON, as eGain serves it.")
@click.option("--api-host", metavar="HOST", help="Host of the API, such as api-emea.egain.cloud.")
@click.option("--gateway", metavar="ID", help="Gateway id (commercial cloud).")
@click.option("--policy", metavar="NAME", help="Sign-in policy of users (commercial cloud, persona user).")
@click.option("--registration-id", metavar="ID", help="Of the identity provider (persona user).")
@click.option(
    "--out", metavar="FOLDER", type=click.Path(path_type=Path), default=Path("."),
    help="Where sidecar.yaml and routes/egain.yaml are written. Default: here.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def init(
    specs: tuple[Path, ...], secret_file: str | None, secret_env: str | None, out: Path, **given: Any
) -> None:
    """A first configuration with its route map, ready for check and doctor.

    What is not given as an option is asked for. SPEC are eGain's OpenAPI documents. The secret itself is never asked
    for, only where it is.

    \b
      auth-sidecar init
      auth-sidecar init --tenant TMPRODB88619984 --personas obo_user,app portalmgr-v4.yaml
      auth-sidecar init --metadata metadata.json --secret-env EGAIN_CLIENT_SECRET portalmgr-v4.yaml
    """
    from sidecar.cli import init as starting

    if secret_file is not None and secret_env is not None:
        raise click.UsageError("the secret is in one place; give --secret-file or --secret-env")
    secret = {"file": secret_file} if secret_file else {"env": secret_env} if secret_env else None
    starting.init(starting.Given(secret=secret, specs=specs, folder=out, **given))
