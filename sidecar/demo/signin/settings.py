"""What can be set about signing in, also while the stand-in runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sidecar.demo.directory import POST_LOGOUT_REDIRECT_URIS, REDIRECT_URIS

# rotating: each refresh gives a new refresh token and retires the old one, whose reuse ends the sign-in
# (RFC 9700 section 4.14.2). fixed: the first one stays, and a refresh answers none. none: there are none.
RefreshTokens = Literal["rotating", "fixed", "none"]


@dataclass(slots=True)
class SignInSettings:
    """Durations are seconds, and hold for what is issued from now on."""

    code_lifetime: float = 60.0
    refresh_lifetime: float = 86_400.0  # of each refresh token
    session_lifetime: float = 43_200.0  # for so long a browser is not asked for the password again
    id_token_lifetime: float = 3600.0
    refresh_tokens: RefreshTokens = "rotating"
    # Of both clients, exactly as they will be sent; read at start. Loopback ones are always registered.
    redirect_uris: tuple[str, ...] = REDIRECT_URIS
    post_logout_redirect_uris: tuple[str, ...] = POST_LOGOUT_REDIRECT_URIS
