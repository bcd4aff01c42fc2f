"""What arrived, for tests and for people who watch: a record per token, authorization and API request.

Owns the record types. They are filled in as things become known (a body may never end), so they are not
frozen; secrets and tokens do not show in their repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sidecar.demo.tokens import Claims

RawHeaders = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class TokenRequestSeen:
    """A request to a token endpoint."""

    endpoint: str  # user | customer | anonymous
    method: str
    target: bytes = field(repr=False)  # path and query, byte for byte
    headers: RawHeaders = field(repr=False)
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    status: int | None = None  # answered with; None: not (yet) answered
    error: str | None = None  # RFC 6749 section 5.2 code of a refusal
    client_auth: str | None = None  # client_secret_post | client_secret_basic | private_key_jwt | none
    client_id: str | None = None  # as claimed
    access_token: str | None = field(default=None, repr=False)  # issued
    refresh_token: str | None = field(default=None, repr=False)  # issued

    @property
    def grant(self) -> str | None:
        return self.form.get("grant_type")

    @property
    def scopes(self) -> tuple[str, ...]:
        """As requested, in order."""
        return tuple(self.form.get("scope", "").split())

    @property
    def subject(self) -> tuple[str, str] | None:
        """(username | userid | email | token, value)."""
        for kind in ("username", "userid", "email", "token"):
            if (value := self.form.get(f"subject_{kind}")) is not None:
                return kind, value
        return None


@dataclass(slots=True)
class AuthorizationRequestSeen:
    """A request to an authorization endpoint, and how the sign-in that it began goes on."""

    endpoint: str  # user | customer
    method: str
    target: bytes = field(repr=False)  # path and query, byte for byte
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    # login | consent: the page that is shown; code: sent back with one; error_page: not sent back;
    # else the error it was sent back with (RFC 6749 section 4.1.2.1). None: not (yet) answered.
    outcome: str | None = None


@dataclass(slots=True)
class ApiRequestSeen:
    """A request to the API."""

    method: str
    target: bytes  # path and query, byte for byte
    headers: RawHeaders = field(repr=False)
    claims: Claims | None = None  # of the token, when it was valid
    operation: str | None = None  # operationId, when the request got so far
    status: int | None = None  # answered with; None: not (yet) answered
    body_size: int = 0  # received so far
    body_sha256: str | None = None  # when the body was received whole
    aborted: bool = False  # the caller left before the answer was complete

    @property
    def path(self) -> bytes:
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes | None:
        """None without a `?`, empty with a bare one."""
        _, mark, query = self.target.partition(b"?")
        return query if mark else None

    def all(self, name: str) -> list[bytes]:
        """Values of a header field, in order, however its name is spelled."""
        wanted = name.lower().encode()
        return [value for key, value in self.headers if key.lower() == wanted]
