"""A credential of people who sign in, bound: what its pages and its routes both need.

Owns the names of its cookie and its login page, and where people go after signing out. Pure but for the client id,
which may stand in a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from sidecar.config.schema import Credential
from sidecar.config.values import SecretFrom
from sidecar.signin import cookies
from sidecar.signin.sessions import SessionSource


@dataclass(frozen=True, slots=True)
class Person:
    """One credential of people who sign in, bound."""

    name: str
    credential: Credential
    client_id: str | SecretFrom
    source: SessionSource
    local: str | None = None  # the cookie of the sign-in made at this machine, for requests without a session

    @property
    def secure(self) -> bool:
        return self.credential.redirect_url is not None and self.credential.redirect_url.scheme == "https"

    @property
    def cookie(self) -> str:
        return cookies.session_name(self.name, secure=self.secure)

    @property
    def login_url(self) -> str:
        return f"/.auth/login?{urlencode({'credential': self.name})}"

    def read_client_id(self) -> str:
        """Raises OSError, ValueError while the file it stands in cannot be read."""
        found = self.client_id
        return found.read().reveal() if isinstance(found, SecretFrom) else found

    @property
    def after_logout(self) -> str | None:
        """Where the browser goes next; None: nowhere in particular."""
        credential = self.credential
        if credential.logout_url is None:
            return credential.post_logout_redirect_url
        try:
            fields = {"client_id": self.read_client_id()}
        except (OSError, ValueError):
            fields = {}
        # No id_token_hint: it would be a token in the browser's hands (OpenID Connect RP-Initiated Logout section 2).
        if credential.post_logout_redirect_url is not None:
            fields["post_logout_redirect_uri"] = credential.post_logout_redirect_url
        return f"{credential.logout_url}?{urlencode(fields, quote_via=quote, safe='')}"
