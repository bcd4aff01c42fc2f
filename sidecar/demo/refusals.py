"""What a token endpoint says no with: RFC 6749 section 5.2, as a tree.

OAuthRefusal
├── InvalidRequest           400
│   └── MethodNotAllowed     405, Allow: POST
├── InvalidClient            401; a challenge when the client tried Basic
├── InvalidGrant             400
├── InvalidScope             400
├── UnauthorizedClient       400
└── UnsupportedGrantType     400
"""

from __future__ import annotations

from typing import ClassVar


class OAuthRefusal(Exception):
    """An error answer."""

    code: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(self, description: str, **headers: str) -> None:
        super().__init__(description)
        self.description = description
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class InvalidRequest(OAuthRefusal):
    code = "invalid_request"


class MethodNotAllowed(InvalidRequest):
    status = 405


class InvalidClient(OAuthRefusal):
    code = "invalid_client"
    status = 401


class InvalidGrant(OAuthRefusal):
    code = "invalid_grant"


class InvalidScope(OAuthRefusal):
    code = "invalid_scope"


class UnauthorizedClient(OAuthRefusal):
    code = "unauthorized_client"


class UnsupportedGrantType(OAuthRefusal):
    code = "unsupported_grant_type"
