"""A first configuration: what `init` writes, from the answers it was given.

Owns the text of that file and, for each cloud and persona, where tokens come from: a table, because no URL can be
derived from another. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from sidecar.openapi.personas import GRANTS, Persona
from sidecar.openapi.rendering import quoted

Cloud = Literal["ai", "commercial"]
MAP_FILE = "routes/egain.yaml"

NAMES: dict[Persona, str] = {
    "app": "app",
    "anonymous": "anonymous",
    "obo_user": "agent",
    "obo_customer": "shopper",
    "user": "exchanged",
}
ABOUT: dict[Persona, str] = {
    "app": "the application itself",
    "anonymous": "a customer who has not signed in",
    "obo_user": "on behalf of a user; the app says whose in X-On-Behalf-Of",
    "obo_customer": "on behalf of a customer; the app says whose in X-On-Behalf-Of",
    "user": "the caller's own bearer token, exchanged",
}
API_HOSTS: dict[Cloud, str] = {"ai": "api.ai.egain.cloud", "commercial": "api.egain.cloud"}
_ISSUED: dict[Cloud, dict[Persona, str]] = {
    "ai": {
        "app": "https://ai.egain.cloud/system/auth/{tenant}-U/oauth2/token",
        "user": "https://ai.egain.cloud/system/auth/{tenant}-U/oauth2/token",
        "obo_user": "https://ai.egain.cloud/system/auth/{tenant}-U/oauth2/token",
        "obo_customer": "https://ai.egain.cloud/system/auth/{tenant}-C/oauth2/token",
        "anonymous": "https://{api}/core/authmgr/v3/oauth2/v2.0/anonymous/token",
    },
    "commercial": {
        "app": "https://login.egain.cloud/global/{gateway}/oauth2/v2.0/token",
        "user": "https://login.egain.cloud/{gateway}/{policy}/oauth2/v2.0/token",
        "obo_user": "https://{api}/core/authmgr/v4/oauth2/v2.0/onbehalfof/token",
        "obo_customer": "https://{api}/core/authmgr/v4/oauth2/v2.0/onbehalfof/token",
        "anonymous": "https://login.egain.cloud/internal/oauth2/v2.0/anonymous/token",
    },
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known about the tenant."""

    cloud: Cloud
    tenant: str
    personas: tuple[Persona, ...]  # the preferred first
    client_id: str
    secret: Mapping[str, str]  # {"file": PATH} or {"env": NAME}
    api: str = ""  # host of the API; empty: the cloud's
    gateway: str = ""
    policy: str = ""
    registration_id: str = ""
    token_urls: Mapping[Persona, str] = field(default_factory=dict)  # from the tenant's metadata
    scope_prefix: str | None = None  # the same

    @property
    def api_host(self) -> str:
        return self.api or API_HOSTS[self.cloud]

    @property
    def default_scope(self) -> bool:
        """The commercial cloud issues an application one scope: .default."""
        return self.cloud == "commercial"

    def needs(self) -> set[str]:
        """The parts of token URLs that are not known yet: `gateway`, `policy`."""
        unknown = (_ISSUED[self.cloud][p] for p in self.personas if p not in self.token_urls)
        return {name for url in unknown for name in ("gateway", "policy") if f"{{{name}}}" in url}


def configuration(answers: Answers) -> str:
    """The file, without its routes, which it includes."""
    lines = [
        "# Made by `auth-sidecar init`. All keys: docs/configuration.md; is it right: `auth-sidecar check`;",
        "# does everything answer: `auth-sidecar doctor`.",
        "upstream:",
        f"  url: https://{answers.api_host}",
        "client:",
        f"  id: {_scalar(answers.client_id)}",
        f"  secret: {{{', '.join(f'{kind}: {_scalar(where)}' for kind, where in answers.secret.items())}}}",
        "credentials:",
    ]
    for persona in answers.personas:
        lines += _credential(answers, persona)
    return "\n".join([*lines, "routes:", f"  - include: {MAP_FILE}"]) + "\n"


def _credential(answers: Answers, persona: Persona) -> Iterator[str]:
    url = answers.token_urls.get(persona) or _ISSUED[answers.cloud][persona].format(
        tenant=answers.tenant, api=answers.api_host, gateway=answers.gateway, policy=answers.policy
    )
    yield f"  {NAMES[persona]}:  # {ABOUT[persona]}"
    yield f"    grant: {GRANTS[persona]}"
    yield f"    token_url: {_scalar(url)}"
    if query := _query(answers, persona):
        yield f"    token_query: {{{', '.join(f'{k}: {_scalar(v)}' for k, v in query.items())}}}"
    if prefix := _prefix(answers, persona):
        yield f"    scope_prefix: {_scalar(prefix)}"
    if persona in ("obo_user", "obo_customer"):
        kind = "username" if persona == "obo_user" else "email"
        yield f"    subject: {{{kind}: {{header: X-On-Behalf-Of}}}}"
        yield '    allow_subjects: ["*"]  # whom the app may name: list patterns'
    if persona == "user":
        yield f"    registration_id: {_scalar(answers.registration_id)}"


def _query(answers: Answers, persona: Persona) -> dict[str, str]:
    if persona == "anonymous":
        return {"user_type": "customer", "domain_hint": answers.tenant}
    if persona in ("obo_user", "obo_customer") and answers.cloud == "commercial":
        return {"user_type": persona.removeprefix("obo_"), "tenantId": answers.tenant}
    return {}


def _prefix(answers: Answers, persona: Persona) -> str:
    if answers.scope_prefix is not None and (answers.cloud == "commercial" or persona == "anonymous"):
        return answers.scope_prefix
    if answers.cloud == "commercial" or persona == "anonymous":
        return f"https://{API_HOSTS[answers.cloud]}/auth/"
    return ""


def _scalar(text: str) -> str:
    """Plain where that reads well: a URL is plain text in YAML, too."""
    return text if re.fullmatch(r"https://[A-Za-z0-9/._~%-]+", text) else quoted(text)
