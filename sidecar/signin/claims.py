"""Who has signed in, for a page to show: a few claims of an ID token or a JWT access token.

Owns which ones, and their bounds. They come straight from the token endpoint over TLS (OpenID Connect Core section
3.1.3.7, item 6, then needs no signature); they are shown and decide nothing. Pure.
"""

from __future__ import annotations

from typing import Final

from sidecar.oauth.hint import claims

SHOWN: Final = ("sub", "name", "preferred_username", "given_name", "family_name", "email", "locale")
_MAX_TEXT: Final = 256


class WrongIdentity(Exception):
    """The ID token is for somebody else: another client, another attempt, from another issuer."""


def check_id_token(token: str, client_id: str, nonce: str | None, issuer: str | None) -> None:
    """Raises WrongIdentity. `nonce`, `issuer`: None when none was sent, or is configured."""
    said = claims(token)
    if said is None:
        raise WrongIdentity("the ID token cannot be read")
    audience = said.get("aud")
    if client_id not in (audience if isinstance(audience, list) else [audience]):
        raise WrongIdentity("the ID token is for another client")
    if nonce is not None and said.get("nonce") != nonce:
        raise WrongIdentity("the ID token is for another attempt")
    if issuer is not None and said.get("iss") != issuer:
        raise WrongIdentity("the ID token is from another issuer")


def shown(*tokens: str | None) -> dict[str, str]:
    """The claims to show, of the first of these tokens that has any."""
    for token in tokens:
        said = (claims(token) if token is not None else None) or {}
        found = {name: text for name in SHOWN if (text := _text(said.get(name))) is not None}
        if found:
            return found
    return {}


def _text(value: object) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) and value and value.isprintable() else None
