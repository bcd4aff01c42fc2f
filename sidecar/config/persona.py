"""What would load, run, and then surprise: warnings.

Owns the eGain guide's rules on which scopes fit which flow (its "Matching Flows to Scopes"), as tables, and
the few other doubts worth a line. Nothing here is an error: eGain's own documents disagree in places, and
other authorization servers have other rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sidecar.config.names import is_parsed
from sidecar.config.schema import Config, Credential
from sidecar.config.shadowing import shadowed
from sidecar.config.values import HttpUrl, TcpAddress
from sidecar.config.wording import Complaint, Loc

_PREFIX = re.compile(r"https?://[^/]+/auth/")  # how the commercial cloud writes scopes in full
# Which hosts issue tokens and which serve the API; the anonymous customers' token endpoint and the commercial
# cloud's on-behalf-of one are parts of the API host.
_TOKEN_HOST = re.compile(r"(?:ai|login)(?:-[a-z0-9]+)?\.egain\.cloud")
_API_HOST = re.compile(r"api(?:-[a-z0-9]+)?(?:\.ai)?\.egain\.cloud")
_TOKEN_PATHS_ON_API_HOST = "/core/authmgr/"  # noqa: S105 - a path

_APP_ONLY = frozenset({"client_credentials"})
_USER = frozenset({"anonymous", "on_behalf_of", "token_exchange", "authorization_code"})
_OBO = frozenset({"on_behalf_of"})
_NOT_OBO = frozenset({"client_credentials", "anonymous", "token_exchange", "authorization_code"})


def _delegated(scope: str) -> bool:
    return scope.startswith(("knowledge.", "core."))


def _application(scope: str) -> bool:
    return scope.startswith("app.")


def _on_behalf_of(scope: str) -> bool:
    return ".onbehalfof." in scope


class ScopeRule(NamedTuple):
    """Scopes that do not fit some grants."""

    grants: frozenset[str]
    unfit: Callable[[str], bool]
    message: str


# The first that applies speaks.
SCOPE_RULES = (
    ScopeRule(
        _NOT_OBO,
        _on_behalf_of,
        "an .onbehalfof. scope works with grant: on_behalf_of only; use such a credential or another scope",
    ),
    ScopeRule(
        _APP_ONLY,
        _delegated,
        "a delegated scope with client_credentials: the token will carry no user; use an app. scope, or a "
        "credential with a user",
    ),
    ScopeRule(
        _USER,
        _application,
        "an app. scope with a user's token or a customer's: it needs the application's own; use a "
        "client_credentials credential or a delegated scope",
    ),
    ScopeRule(
        _OBO,
        lambda scope: not _on_behalf_of(scope),
        "not an .onbehalfof. scope, and on_behalf_of tokens serve those only; use one that is",
    ),
)


def warnings(config: Config) -> Iterator[Complaint]:
    """Everything doubtful about a configuration that works."""
    yield from _scopes(config)
    yield from _methods(config)
    for name, credential in config.credentials.items():
        loc: Loc = ("credentials", name)
        yield from _anonymous(config, name, credential)
        yield from _kind_of_subject(loc, credential)
        yield from _token_host((*loc, "token_url"), credential)
        yield from _signing_in(config, loc, credential)
    if _TOKEN_HOST.fullmatch(config.upstream.url.host):
        yield Complaint(
            ("upstream", "url"), "this host issues tokens; the API is at https://api.ai.egain.cloud, use that"
        )
    if isinstance(config.listen, TcpAddress) and not config.listen.is_loopback:
        yield Complaint(
            ("listen",), "whoever reaches this address can use the tokens; let a network policy say who may"
        )
    for index, by in shadowed([route.path for route in config.routes]):
        yield Complaint(
            ("routes", index, "path"),
            f"can never match: {', '.join(by)} cover every such path and are more specific; take it out",
        )


def _methods(config: Config) -> Iterator[Complaint]:
    for index, route in enumerate(config.routes):
        for at, method in enumerate(route.methods or ()):
            if not is_parsed(method):
                yield Complaint(
                    ("routes", index, "methods", at),
                    "can never match: requests with a method that the HTTP parser does not know are refused; "
                    "take it out",
                )


def _scopes(config: Config) -> Iterator[Complaint]:
    for index, route in enumerate(config.routes):
        credential = config.credentials.get(route.credential)
        if credential is None:
            continue
        for at, scope in enumerate(route.scopes):
            plain = _PREFIX.sub("", scope, count=1)
            for rule in SCOPE_RULES:
                if credential.grant in rule.grants and rule.unfit(plain):
                    yield Complaint(("routes", index, "scopes", at), rule.message)
                    break


def _anonymous(config: Config, name: str, credential: Credential) -> Iterator[Complaint]:
    if credential.grant != "anonymous" or credential.scope_prefix:
        return
    for index, route in enumerate(config.routes):
        for at, scope in enumerate(route.scopes if route.credential == name else ()):
            if "://" not in scope and not _application(scope):
                yield Complaint(
                    ("routes", index, "scopes", at),
                    "an anonymous customer's scope needs a prefix; set scope_prefix: "
                    f"https://api.ai.egain.cloud/auth/ in credentials.{name}",
                )


def _kind_of_subject(loc: Loc, credential: Credential) -> Iterator[Complaint]:
    if credential.subject is None:
        return
    kind = credential.subject.kind
    place = (*loc, "subject", kind)
    persona = _persona(credential)
    if persona == "customer" and kind != "email":
        yield Complaint(place, "the token URL is the customers' one (-C/); name a customer by email")
    elif persona == "user" and kind == "email":
        yield Complaint(place, "the token URL is the users' one (-U/); name a user by username")
    elif kind == "userid":
        yield Complaint(place, "eGain finds users faster by name; use username where it is known")


def _signing_in(config: Config, loc: Loc, credential: Credential) -> Iterator[Complaint]:
    if credential.authorization_url is None:
        return
    asked, given = _suffix(credential.authorization_url), _suffix(credential.token_url)
    if asked is not None and given is not None and asked != given:
        yield Complaint(
            (*loc, "authorization_url"),
            f"signs {asked}s in, and the token URL is the {given}s' one; use the same tenant suffix in both",
        )
    if config.sessions.key is None:
        yield Complaint(
            ("sessions", "key"),
            "is made up at start: a restart signs everybody out; add key: {file: PATH} to keep them",
        )


def _suffix(url: HttpUrl) -> str | None:
    path = url.path + "/"
    return "customer" if "-C/" in path else "user" if "-U/" in path else None


def _persona(credential: Credential) -> str | None:
    """Whose tokens a token URL gives: by its tenant's suffix, or by `user_type` in the commercial cloud."""
    return _suffix(credential.token_url) or credential.token_query.get("user_type")


def _token_host(loc: Loc, credential: Credential) -> Iterator[Complaint]:
    url = credential.token_url
    if _API_HOST.fullmatch(url.host) and _TOKEN_PATHS_ON_API_HOST not in url.path:
        yield Complaint(loc, "this host serves the API; tokens come from https://ai.egain.cloud, use that")
