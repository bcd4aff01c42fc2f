"""Which form fields each flow sends, in the order of the eGain guide's examples.

Owns the flows as a table, how scopes are written, and the token URL with its query. Pure; how the client
proves who it is comes from client.py, which fields it adds is no business of a flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import quote, urlencode

from sidecar.config.schema import Credential, Grant

Fields = list[tuple[str, str]]

# Where something stands that is not one field of the same name: the client's own fields, the subject's.
_CLIENT: Final = "(client)"
_SUBJECT: Final = "(subject)"

GRANT_TYPES: Final[Mapping[Grant, str]] = {
    "client_credentials": "client_credentials",
    "anonymous": "client_credentials",
    "on_behalf_of": "password",
    "token_exchange": "urn:ietf:params:oauth:grant-type:token-exchange",
    "authorization_code": "authorization_code",
}
_ORDER: Final[Mapping[Grant, tuple[str, ...]]] = {
    "client_credentials": ("grant_type", "scope", _CLIENT),
    "anonymous": ("grant_type", _CLIENT, "scope"),
    "on_behalf_of": ("grant_type", _CLIENT, "scope", _SUBJECT),
    "token_exchange": ("grant_type", _SUBJECT, "registration_id", _CLIENT, "scope"),
}
# RFC 8707 and RFC 8693 let these two be repeated; everything else is sent once (RFC 6749 section 3.2).
_REPEATED: Final = ("resource", "audience")


def per_subject(credential: Credential) -> bool:
    """Whether each caller's subject has a token of its own."""
    if credential.grant == "on_behalf_of":
        return fixed_subject(credential) is None
    return credential.grant in ("token_exchange", "authorization_code")


def fixed_subject(credential: Credential) -> str | None:
    """The subject that the configuration names."""
    if credential.grant != "on_behalf_of" or credential.subject is None:
        return None
    value = getattr(credential.subject.source, "value", None)
    return value if isinstance(value, str) else None


def scope_text(credential: Credential, scopes: Iterable[str]) -> str:
    """The `scope` parameter: each scope once, with the prefix, in a fixed order; '' for no scopes."""
    prefix = credential.scope_prefix
    return " ".join(sorted({scope if scope.startswith(prefix) else prefix + scope for scope in scopes}))


def token_url(credential: Credential) -> str:
    """The token endpoint with its query, encoded."""
    url = str(credential.token_url)
    if not credential.token_query:
        return url
    # %20 rather than `+`: in a query only form decoding reads `+` as a blank.
    return f"{url}?{urlencode(credential.token_query, quote_via=quote)}"


def form(credential: Credential, client: Fields, scopes: Iterable[str], subject: str | None) -> Fields:
    """Every field of the token request.

    `client`: the fields client.py gave. `subject`: the user or customer, or the token that is exchanged.
    """
    known: dict[str, Fields] = {
        "grant_type": [("grant_type", GRANT_TYPES[credential.grant])],
        "scope": _unless_empty("scope", scope_text(credential, scopes)),
        "registration_id": _unless_empty("registration_id", credential.registration_id),
        _CLIENT: client,
        _SUBJECT: _subject(credential, subject),
    }
    return _complete(credential, [field for part in _ORDER[credential.grant] for field in known[part]])


def code_form(credential: Credential, client: Fields, code: str, verifier: str) -> Fields:
    """Every field of the request that changes a code into tokens (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""
    return _complete(
        credential,
        [
            ("grant_type", GRANT_TYPES[credential.grant]),
            ("code", code),
            ("redirect_uri", str(credential.redirect_url)),
            *client,
            ("code_verifier", verifier),
        ],
    )


def refresh_form(credential: Credential, client: Fields, refresh_token: str) -> Fields:
    """Every field of the request for a session's next token (RFC 6749 section 6); the scopes stay what they are."""
    return _complete(credential, [("grant_type", "refresh_token"), ("refresh_token", refresh_token), *client])


def _complete(credential: Credential, fields: Fields) -> Fields:
    """The flow's own fields, and what the configuration adds to them."""
    fields = list(fields)
    for name in _REPEATED:
        fields += [(name, value) for value in _many(getattr(credential, name))]
    # A parameter sent twice is an error (RFC 6749 section 3.2), and an extra one must not speak for another
    # subject or client: what the flow itself sends stands.
    taken = {name for name, _ in fields}
    return fields + [(name, value) for name, value in credential.extra_params.items() if name not in taken]


def _subject(credential: Credential, subject: str | None) -> Fields:
    if subject is None:
        return []
    if credential.grant == "token_exchange":
        return [("subject_token", subject), ("subject_token_type", credential.subject_token_type)]
    assert credential.subject is not None  # checked at load
    return [(f"subject_{credential.subject.kind}", subject)]


def _unless_empty(name: str, value: str | None) -> Fields:
    return [(name, value)] if value else []


def _many(values: str | list[str] | None) -> list[str]:
    if values is None:
        return []
    return [values] if isinstance(values, str) else values
