"""The sidecar's configuration in front of a stand-in: every way of getting a token, and routes for each.

Owns that mapping; `config/demo.yaml` is the same as a file (a test keeps them alike).
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import yaml

from sidecar.demo import webpage
from sidecar.demo.directory import ON_BEHALF_OF
from sidecar.demo.operations import AISERVICES, CONTENTMGR, PORTALMGR
from sidecar.demo.standin import StandIn

SECRET_FILE = "demo-client-secret"  # both beside the configuration file
SESSION_KEY_FILE = "demo-session-key"
CREDENTIALS = ("app", "anonymous", "agent", "shopper", "okta", "user", "customer")

_READ, _MANAGE = "knowledge.portalmgr.read", "knowledge.portalmgr.manage"
_OBO_MANAGE, _OBO_READ = sorted(ON_BEHALF_OF)
_PORTALS = f"{PORTALMGR}/portals"
_ONE = f"{_PORTALS}/{{portalID}}"
_ECHO_SCOPE = {
    "app": f"app.{_READ}",
    "anonymous": _READ,
    "agent": _OBO_READ,
    "shopper": _OBO_READ,
    "okta": _READ,
    "user": _READ,
    "customer": _READ,
}

# name, methods, path, credential, scopes
_ROUTES: list[tuple[str, list[str], str, str, list[str]]] = [
    ("get-portal", ["GET"], _ONE, "app", [f"app.{_READ}"]),
    ("prompts", ["GET"], f"{CONTENTMGR}/prompts/prompttemplates", "app", ["app.knowledge.contentmgr.read"]),
    ("start-import", ["POST"], f"{CONTENTMGR}/import/content", "app", ["app.knowledge.contentmgr.manage"]),
    (
        "import-status",
        ["GET"],
        f"{CONTENTMGR}/import/content/{{job_id}}/status",
        "app",
        ["app.knowledge.contentmgr.read"],
    ),
    ("get-article", ["GET"], f"{_ONE}/articles/{{articleID}}", "anonymous", [_READ]),
    ("retrieve", ["POST"], f"{AISERVICES}/{{portalID}}/retrieve", "anonymous", ["core.aiservices.read"]),
    (
        "answers",
        ["POST"],
        f"{AISERVICES}/{{portalID}}/answers",
        "anonymous",
        ["core.aiservices.read", "core.aiservices.manage"],
    ),
    ("my-details", ["GET"], f"{_PORTALS}/user", "agent", [_OBO_READ]),
    ("my-portals", ["GET"], f"{PORTALMGR}/myportals", "agent", [_OBO_READ]),
    ("get-articles", ["GET"], f"{_ONE}/articles", "agent", [_OBO_READ]),
    ("get-bookmarks", ["GET"], f"{_ONE}/bookmarks", "shopper", [_OBO_READ]),
    ("add-bookmark", ["POST"], f"{_ONE}/bookmarks", "shopper", [_OBO_MANAGE]),
    ("delete-bookmark", ["DELETE"], f"{_ONE}/bookmarks/{{bookmarkID}}", "shopper", [_OBO_MANAGE]),
    ("get-portals", ["GET"], _PORTALS, "okta", [_READ]),
    ("popular", ["GET"], f"{_ONE}/populararticles", "user", [_READ]),
    (
        "prompt",
        ["GET"],
        f"{CONTENTMGR}/prompts/prompttemplates/{{promptID}}",
        "user",
        ["knowledge.contentmgr.read"],
    ),
    ("subscribed", ["GET"], f"{_ONE}/articles/subscribed", "customer", [_READ]),
    ("upload", ["POST", "PUT"], "/demo/upload", "app", [f"app.{_MANAGE}"]),
]
_TOYS = ("echo", "slow", "stream", "events", "ws", "big")


def routes() -> list[dict[str, Any]]:
    """eGain's own operations, then `/demo/...`; `/demo/echo/NAME` tells who credential NAME is to the API."""
    rows = [
        {"name": name, "methods": methods, "path": path, "credential": credential, "scopes": scopes}
        for name, methods, path, credential, scopes in _ROUTES
    ]
    toys = [{"path": f"/demo/{toy}", "credential": "app", "scopes": [f"app.{_READ}"]} for toy in _TOYS]
    toys.append({"path": "/demo/status/{code}", "credential": "app", "scopes": [f"app.{_READ}"]})
    echoes = [
        {"path": f"/demo/echo/{name}", "credential": name, "scopes": [_ECHO_SCOPE[name]]}
        for name in CREDENTIALS
    ]
    return [*rows, *toys, *echoes, {"path": webpage.PATH, "methods": ["GET"], "credential": "none"}]


def demo_config(standin: StandIn, *, port: int = 0, admin_port: int = 0) -> dict[str, Any]:
    """What would stand in the file; client secret and session key are expected beside it.

    With port 0 the sidecar gets a free one, and nobody can sign in: the redirect URI has to name the port.
    """
    header = {"header": "X-On-Behalf-Of"}
    user = {"token_url": standin.user_token_url}
    return {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin_port}",
        "upstream": {"url": standin.base},
        "client": {"id": standin.client_id, "secret": {"file": SECRET_FILE}, "auth": "client_secret_post"},
        "credentials": {
            "app": {"grant": "client_credentials", **user},
            "anonymous": {
                "grant": "anonymous",
                "token_url": standin.anonymous_token_url,
                "token_query": standin.anonymous_token_query,
                "scope_prefix": standin.anonymous_scope_prefix,
            },
            "agent": {
                "grant": "on_behalf_of",
                **user,
                "subject": {"username": header},
                "allow_subjects": ["*"],
            },
            "shopper": {
                "grant": "on_behalf_of",
                "token_url": standin.customer_token_url,
                "subject": {"email": header},
                "allow_subjects": ["*@example.com"],
            },
            "okta": {"grant": "token_exchange", **user, "registration_id": standin.registration_id},
            **_people(standin, f"http://127.0.0.1:{port}" if port else "http://127.0.0.1"),
        },
        "sessions": {"key": {"file": SESSION_KEY_FILE}},
        # Tokens live 20 seconds: refreshed every 10 or so, given up 2 before their end.
        "refresh": {"expiry_skew": "2s", "retry": {"initial": "500ms", "max": "5s"}, "idle_after": "2m"},
        # What goes wrong is worth a line among the curl lines; the rest is on the status page.
        "log": {"level": "warning", "format": "console"},
        "routes": routes(),
    }


def _people(standin: StandIn, origin: str) -> dict[str, Any]:
    """The credentials of people who sign in; `origin` is where their browsers find the sidecar."""
    both = {
        "grant": "authorization_code",
        "issuer": standin.issuer,
        "redirect_url": f"{origin}/.auth/callback",
        "post_logout_redirect_url": f"{origin}{webpage.PATH}",
    }
    return {
        name: {
            **both,
            "authorization_url": standin.oauth2(letter, "authorize"),
            "token_url": standin.oauth2(letter, "token"),
            "logout_url": standin.oauth2(letter, "logout"),
            **client,
        }
        for name, letter, client in (
            ("user", "U", {}),
            ("customer", "C", {"client": {"id": standin.public_client_id, "auth": "none"}}),
        )
    }


def write_config(folder: Path, config: dict[str, Any], secret: str) -> Path:
    """Write a configuration, and the client secret and a session key beside it; the configuration's path."""
    (folder / SECRET_FILE).write_text(secret + "\n", encoding="utf-8")
    (folder / SESSION_KEY_FILE).write_text(secrets.token_urlsafe(32) + "\n", encoding="utf-8")
    path = folder / "demo.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    return path
