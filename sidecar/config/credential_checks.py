"""What must be right in and around credentials: grants, clients, subjects.

Owns the checks of checks.py that are about one credential each.
"""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.config.schema import ClaimSource, Client, Config, Credential, HeaderSource, Subject
from sidecar.config.wording import Complaint, Loc

NO_CREDENTIAL = "none"

# The keys that belong to one grant only.
_ONLY_WITH = {
    "subject": "on_behalf_of",
    "allow_subjects": "on_behalf_of",
    "registration_id": "token_exchange",
    "subject_token_type": "token_exchange",
    "authorization_url": "authorization_code",
    "authorization_params": "authorization_code",
    "redirect_url": "authorization_code",
    "issuer": "authorization_code",
    "logout_url": "authorization_code",
    "post_logout_redirect_url": "authorization_code",
}
# Form fields the grants and client authentication fill in; also what must never be in a URL.
_OWN_PARAMS = frozenset(
    {"grant_type", "scope", "client_id", "client_secret", "client_assertion", "client_assertion_type"}
    | {"subject_username", "subject_userid", "subject_email", "registration_id", "resource", "audience"}
    | {"subject_token", "subject_token_type"}
    | {"code", "redirect_uri", "code_verifier", "refresh_token"}
)
# What an authorization request consists of (RFC 6749 section 4.1.1, RFC 7636 section 4.3).
_OWN_AUTHORIZATION_PARAMS = frozenset(
    {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
    | {"response_mode", "nonce", "request", "request_uri", "client_secret"}
)
_NEVER_IN_URL = frozenset({"client_secret", "client_assertion", "subject_token", "access_token", "password"})
# Request headers with a meaning of their own to the sidecar.
_NO_SUBJECT_HEADERS = frozenset({"authorization", "cookie", "origin"})


def credentials(config: Config) -> Iterator[Complaint]:
    """Everything wrong with the credentials and the clients they use."""
    for name, credential in config.credentials.items():
        loc: Loc = ("credentials", name)
        if name == NO_CREDENTIAL:
            yield Complaint(loc, "none means no credential in a route; choose another name")
        yield from _grant(loc, credential)
        yield from _parameters(loc, credential)
        if config.client_of(credential) is None:
            yield Complaint(
                (*loc, "client"), "is missing; add a client: block here or at the top level", (("client",),)
            )
    yield from _clients(config)
    yield from _subjects(config)


def _grant(loc: Loc, credential: Credential) -> Iterator[Complaint]:
    because = ((*loc, "grant"),)
    for key, grant in _ONLY_WITH.items():
        if key in credential.model_fields_set and credential.grant != grant:
            yield Complaint((*loc, key), f"has a meaning with grant: {grant} only; take it out", because)
    if credential.grant == "on_behalf_of" and credential.subject is None:
        yield Complaint(
            (*loc, "subject"), "is missing; add one, such as {username: {header: X-On-Behalf-Of}}", because
        )


def _parameters(loc: Loc, credential: Credential) -> Iterator[Complaint]:
    for name in credential.extra_params:
        if name in _OWN_PARAMS:
            yield Complaint((*loc, "extra_params", name), "is set by the sidecar itself; take it out")
    for name in credential.authorization_params:
        if name in _OWN_AUTHORIZATION_PARAMS:
            yield Complaint((*loc, "authorization_params", name), "is set by the sidecar itself; take it out")
    for name in credential.token_query:
        if name in _NEVER_IN_URL:
            yield Complaint((*loc, "token_query", name), "must not be in a URL; take it out")


def _clients(config: Config) -> Iterator[Complaint]:
    if config.client is not None and any(c.client is None for c in config.credentials.values()):
        yield from _client(("client",), config.client)
    for name, credential in config.credentials.items():
        if credential.client is not None:
            yield from _client(("credentials", name, "client"), credential.client)


def _client(loc: Loc, client: Client) -> Iterator[Complaint]:
    because = ((*loc, "auth"),)
    if client.auth.startswith("client_secret_") and client.secret is None:
        yield Complaint(
            (*loc, "secret"),
            f"is missing, and auth is {client.auth}; add secret: {{file: PATH}} or {{env: NAME}}",
            because,
        )
    if client.auth == "private_key_jwt" and client.private_key is None:
        yield Complaint(
            (*loc, "private_key"),
            "is missing, and auth is private_key_jwt; add private_key: {file: PATH}",
            because,
        )


def _subjects(config: Config) -> Iterator[Complaint]:
    for name, credential in config.credentials.items():
        if credential.subject is not None:
            yield from _subject(config, ("credentials", name), credential, credential.subject)


def _subject(config: Config, at: Loc, credential: Credential, subject: Subject) -> Iterator[Complaint]:
    loc = (*at, "subject")
    kinds = [kind for kind in ("username", "userid", "email") if getattr(subject, kind) is not None]
    if len(kinds) != 1:
        yield Complaint(
            loc, "needs exactly one of username, userid and email; write {username: {header: NAME}}", (loc,)
        )
        return
    source, place = subject.source, (*loc, subject.kind)
    if isinstance(source, HeaderSource):
        yield from _subject_header(config, (*place, "header"), source.header.lower())
        if not credential.allow_subjects:
            yield Complaint(
                (*at, "allow_subjects"),
                'is missing: the subject comes from the request; list who may be named, ["*"] for everybody',
            )
    if isinstance(source, ClaimSource) and config.identity is None:
        yield Complaint(
            (*place, "claim"),
            "needs the top-level identity block, to verify the caller's JWT; add it",
            (("identity",),),
        )


def _subject_header(config: Config, loc: Loc, header: str) -> Iterator[Complaint]:
    if header in _NO_SUBJECT_HEADERS:
        yield Complaint(loc, "this header has a meaning of its own; name another one, such as X-On-Behalf-Of")
    elif config.identity is not None and header == config.identity.header.lower():
        yield Complaint(loc, "is the header of identity as well; name another one", (("identity", "header"),))
