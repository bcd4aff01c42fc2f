"""What tests of the command line share: calling a command in this process, beside servers on its loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner, Result

from sidecar.cli.commands import cli
from sidecar.demo.standin import StandIn


def call(*arguments: object, stdin: str | None = None) -> Result:
    """`auth-sidecar ARGUMENTS`; a bug is raised, not hidden in the result."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments], input=stdin, prog_name="auth-sidecar")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


async def call_beside(*arguments: object, stdin: str | None = None) -> Result:
    """The same while this loop goes on serving."""
    return await asyncio.to_thread(call, *arguments, stdin=stdin)


def write(folder: Path, mapping: dict[str, Any], name: str = "sidecar.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(mapping, sort_keys=False))
    return path


def every_grant(egain: StandIn, folder: Path, **changes: Any) -> dict[str, Any]:
    """All five ways of getting a token, and one with a fixed subject."""
    (folder / "client-secret").write_text(egain.client_secret)
    user = {"token_url": egain.user_token_url}
    obo = {"grant": "on_behalf_of", **user, "allow_subjects": ["*"]}
    header = {"header": "X-On-Behalf-Of"}
    routes = {
        "app": ["app.knowledge.portalmgr.read"],
        "anonymous": ["knowledge.portalmgr.read"],
        "agent": ["knowledge.portalmgr.onbehalfof.read"],
        "fixed": ["knowledge.portalmgr.onbehalfof.read"],
        "okta": ["knowledge.portalmgr.read"],
    }
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "upstream": {"url": egain.base},
        "client": {"id": egain.client_id, "secret": {"file": "client-secret"}},
        "credentials": {
            "app": {"grant": "client_credentials", **user},
            "anonymous": {
                "grant": "anonymous",
                "token_url": egain.anonymous_token_url,
                "token_query": egain.anonymous_token_query,
                "scope_prefix": egain.anonymous_scope_prefix,
            },
            "agent": {**obo, "subject": {"username": header}},
            "fixed": {"grant": "on_behalf_of", **user, "subject": {"username": {"value": "alice"}}},
            "okta": {"grant": "token_exchange", **user, "registration_id": egain.registration_id},
        },
        "routes": [
            {"path": f"/{name}/**", "credential": name, "scopes": scopes} for name, scopes in routes.items()
        ],
        **changes,
    }
