"""Whose tokens a security scheme takes: the personas of eGain's API.

Owns the table from a scheme's name to its persona and, for schemes of other names, the rule by flow and token URL;
and which persona each kind of scope fits (sidecar/config/persona.py has that table, from eGain's guide). Pure.
"""

from __future__ import annotations

from typing import Literal, get_args

from sidecar.config.persona import SCOPE_RULES
from sidecar.openapi.building import Entry, Value

Persona = Literal["user", "customer", "obo_user", "obo_customer", "anonymous", "app"]
PERSONAS: tuple[Persona, ...] = get_args(Persona)
DELEGATED: tuple[Persona, ...] = ("user", "customer", "anonymous")

_BY_NAME: dict[str, Persona | None] = {
    "oAuthUser": "user",
    "oAuthCustomer": "customer",
    "oAuthOnBehalfOfUser": "obo_user",
    "oAuthOnBehalfOfCustomer": "obo_customer",
    "oAuthAnonymousCustomer": "anonymous",
    "oAuthClient": "app",
    # Not any user, or no scope to ask for: a token of ours may or may not do.
    "oAuthAdminUser": None,
    "oAuthNoScopesUser": None,
    "oAuthNoScopesCustomer": None,
}
# A grant of the persona's tokens. A user's own are obtained by token exchange, as far as is known.
GRANTS: dict[Persona, str] = {
    "user": "token_exchange",
    "customer": "token_exchange",
    "obo_user": "on_behalf_of",
    "obo_customer": "on_behalf_of",
    "anonymous": "anonymous",
    "app": "client_credentials",
}

# What tells in a token URL whose tokens it gives: a query, a tenant's suffix, a placeholder of eGain's documents.
_OF_CUSTOMERS = ("user_type=customer", "-C/oauth2/", "${CUSTOMER_SIGNIN_POLICY_NAME}")
_OF_USERS = ("user_type=user", "-U/oauth2/", "${USER_SIGNIN_POLICY_NAME}")


def persona_of(name: str, scheme: Value) -> Persona | None:
    """The persona that a security scheme stands for; None when that cannot be told.

    `scheme` is its definition in the document, if there is one.
    """
    return _BY_NAME[name] if name in _BY_NAME else _by_flow(scheme)


def is_api_key(scheme: Value) -> bool:
    """A key is no token: the app sends it itself, and the sidecar passes it on."""
    return isinstance(scheme, Entry) and scheme.get("type") == "apiKey"


def _by_flow(scheme: Value) -> Persona | None:
    flows = scheme.get("flows") if isinstance(scheme, Entry) and scheme.get("type") == "oauth2" else None
    if not isinstance(flows, Entry):
        return None
    found = {_of_flow(kind, flow) for kind, flow in flows.items() if not kind.startswith("x-")}
    return found.pop() if len(found) == 1 else None  # several flows of different personas: not to be told


def _of_flow(kind: str, flow: Value) -> Persona | None:
    url = flow.get("tokenUrl") if isinstance(flow, Entry) else None
    if not isinstance(url, str):
        return None
    customer, user = (any(sign in url for sign in signs) for signs in (_OF_CUSTOMERS, _OF_USERS))
    if "/onbehalfof/" in url or kind == "password":
        return "obo_customer" if customer else "obo_user" if user else None
    if kind == "clientCredentials":
        return "anonymous" if "/anonymous/" in url else "app"
    if kind == "authorizationCode":
        return "customer" if customer else "user" if user else None
    return None


def misfit(persona: Persona, scope: str) -> str | None:
    """Why a scope does not fit the persona's tokens, by eGain's guide; None when it does."""
    for rule in SCOPE_RULES:
        if GRANTS[persona] in rule.grants and rule.unfit(scope):
            return rule.message.partition(";")[0]
    return None
