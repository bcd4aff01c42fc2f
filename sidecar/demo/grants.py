"""The rules of the flows: from a token request to who is served with which scopes.

Owns every rule of the eGain guide about grants, subjects, personas and scopes. Knows nothing of HTTP, and of
tokens only the identity provider's, which it verifies. Pure.

    flow                 endpoint    grant_type                      subject               scopes
    client_credentials   -U          client_credentials              -                     app.*, delegated
    anonymous            anonymous   client_credentials              -                     delegated, prefixed
    on_behalf_of         -U          password                        username or userid    *.onbehalfof.*
    on_behalf_of         -C          password                        email                 *.onbehalfof.*
    token_exchange       -U          urn:…:token-exchange            subject_token         delegated; optional
    authorization_code   -U, -C      authorization_code,             who signed in         delegated
                                     refresh_token

What the last one's codes and refresh tokens are worth is signin/grantstore.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import jwt

from sidecar.demo.directory import APPLICATION, DELEGATED, ON_BEHALF_OF, ClientApp, Directory, Flow, Persona
from sidecar.demo.identity import IdentityProvider
from sidecar.demo.refusals import (
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    UnauthorizedClient,
    UnsupportedGrantType,
)

Endpoint = Literal["user", "customer", "anonymous"]

TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"
SUBJECTS = ("subject_username", "subject_userid", "subject_email")

_FLOWS: dict[tuple[Endpoint, str], Flow] = {
    ("user", "client_credentials"): "client_credentials",
    ("anonymous", "client_credentials"): "anonymous",
    ("user", "password"): "on_behalf_of",
    ("customer", "password"): "on_behalf_of",
    ("user", TOKEN_EXCHANGE): "token_exchange",
    ("user", "authorization_code"): "authorization_code",
    ("user", "refresh_token"): "authorization_code",
    ("customer", "authorization_code"): "authorization_code",
    ("customer", "refresh_token"): "authorization_code",
}
_GRANT_TYPES = {grant_type for _, grant_type in _FLOWS}

# Delegated scopes are issued to a client app too, "the resulting token will lack a user context".
_SCOPES: dict[Flow, frozenset[str]] = {
    "client_credentials": APPLICATION | DELEGATED,
    "anonymous": DELEGATED,
    "on_behalf_of": ON_BEHALF_OF,
    "token_exchange": DELEGATED,
    "authorization_code": DELEGATED,
}
# OpenID Connect's, which are no permissions: any application may ask for them, no access token has them.
_OPENID = frozenset({"openid", "profile", "email", "offline_access"})


@dataclass(frozen=True, slots=True)
class Granted:
    """Who is served, and how."""

    persona: Persona
    subject: str
    scopes: tuple[str, ...]  # as in the token
    scope: str  # as in the answer
    grant_id: str | None = None  # of a sign-in: its tokens are revoked together
    more: Mapping[str, Any] = field(default_factory=dict, repr=False)  # members of the answer


@dataclass(frozen=True, slots=True)
class Rules:
    """What the decisions depend on."""

    directory: Directory
    identity_provider: IdentityProvider
    registration_id: str
    tenant: str
    anonymous_prefix: str

    def flow(self, endpoint: Endpoint, form: Mapping[str, str]) -> Flow:
        """Which flow this is; refused before the client is looked at."""
        grant_type = required(form, "grant_type")
        if grant_type not in _GRANT_TYPES:
            raise UnsupportedGrantType("grant_type is not one of the guide's")
        flow = _FLOWS.get((endpoint, grant_type))
        if flow is None:
            raise UnsupportedGrantType(f"this grant_type is not for the {endpoint} token URL")
        return flow

    def grant(
        self,
        flow: Flow,
        endpoint: Endpoint,
        client: ClientApp,
        form: Mapping[str, str],
        query: Mapping[str, str],
    ) -> Granted:
        """What an authenticated client gets."""
        if flow not in client.flows:
            raise UnauthorizedClient(f"{flow} is not enabled for this client application")
        if flow == "anonymous":
            self._check_anonymous(query)
        persona, subject = self._subject(flow, endpoint, client, form)
        scopes, scope = self.scopes(flow, client, form)
        return Granted(persona, subject, scopes, scope)

    def _check_anonymous(self, query: Mapping[str, str]) -> None:
        if query.get("user_type") != "customer":
            raise InvalidRequest("user_type must be customer")
        if query.get("domain_hint") != self.tenant:
            raise InvalidRequest("domain_hint must be the tenant id")

    def _subject(
        self, flow: Flow, endpoint: Endpoint, client: ClientApp, form: Mapping[str, str]
    ) -> tuple[Persona, str]:
        if flow == "on_behalf_of":
            return self._customer(form) if endpoint == "customer" else self._user(form)
        if flow == "token_exchange":
            return "user", self._exchanged(form)
        if given := [name for name in SUBJECTS if name in form]:
            raise InvalidRequest(f"{given[0]} does not belong to this flow")
        return ("app", client.id) if flow == "client_credentials" else ("anonymous", "anonymous")

    def _user(self, form: Mapping[str, str]) -> tuple[Persona, str]:
        kind, value = only_subject(form)
        if kind == "subject_email":
            raise InvalidRequest("a user is named by subject_username or subject_userid")
        user = self.directory.user_by("username" if kind == "subject_username" else "userid", value)
        if user is None:
            raise InvalidGrant("unknown user")
        return "obo_user", user.username

    def _customer(self, form: Mapping[str, str]) -> tuple[Persona, str]:
        kind, value = only_subject(form)
        if kind != "subject_email":
            raise InvalidRequest("a customer is named by subject_email")
        if not self.directory.knows_customer(value):
            raise InvalidGrant("unknown customer")
        return "obo_customer", value

    def _exchanged(self, form: Mapping[str, str]) -> str:
        text = required(form, "subject_token")
        if required(form, "subject_token_type") != ACCESS_TOKEN_TYPE:
            raise InvalidRequest("subject_token_type is not supported")
        if required(form, "registration_id") != self.registration_id:
            raise InvalidRequest("registration_id is unknown")
        try:
            claims = self.identity_provider.verify(text)
        except jwt.InvalidTokenError as error:
            # invalid_request, not invalid_grant: RFC 8693 section 2.2.2.
            raise InvalidRequest(f"subject_token is not valid: {type(error).__name__}") from None
        user = self.directory.user_by("email", str(claims.get("email")))
        if user is None:
            raise InvalidGrant("the subject of subject_token is no user here")
        return user.username

    def scopes(self, flow: Flow, client: ClientApp, form: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
        """Those of the token, and the `scope` of the answer."""
        prefix = self.anonymous_prefix if flow == "anonymous" else ""
        if flow == "token_exchange" and "scope" not in form:
            granted = tuple(sorted(client.scopes & DELEGATED))
            return granted, " ".join(granted)
        requested = required(form, "scope").split(" ")
        if not all(scope.startswith(prefix) for scope in requested):
            raise InvalidScope(f"each scope needs the prefix {prefix}")
        bare = dict.fromkeys(scope.removeprefix(prefix) for scope in requested)
        if flow == "authorization_code":
            bare = {scope: None for scope in bare if scope not in _OPENID}
        if not bare.keys() <= client.scopes:
            raise InvalidScope("a scope is unknown or not assigned to this client application")
        if not bare.keys() <= _SCOPES[flow]:
            raise InvalidScope(f"a scope is not for {flow}")
        return tuple(bare), " ".join(dict.fromkeys(requested))


def required(form: Mapping[str, str], name: str) -> str:
    """The parameter; one without a value counts as left out (RFC 6749 section 3.2)."""
    value = form.get(name, "")
    if not value:
        raise InvalidRequest(f"{name} is missing")
    return value


def only_subject(form: Mapping[str, str]) -> tuple[str, str]:
    given = [(name, form[name]) for name in SUBJECTS if name in form]
    if len(given) != 1:
        raise InvalidRequest(f"exactly one of {', '.join(SUBJECTS)} is needed, {len(given)} given")
    return given[0]
