"""Every error the sidecar makes, as one tree: code, status, whose fault.

    SidecarError
    ├── ConfigError                  the configuration is wrong (exit 2); carries every problem
    └── Refusal                      answered as application/problem+json (docs/errors.md)
        ├── CallerFault              4xx: the request is at fault
        │   ├── BadRequest                400 bad_request            closes the connection
        │   ├── PathNotCanonical          400 path_not_canonical
        │   ├── SubjectMissing            400 subject_missing
        │   ├── SubjectInvalid            400 subject_invalid
        │   ├── SubjectTokenMissing       401 subject_token_missing
        │   ├── SubjectTokenInvalid       401 subject_token_invalid
        │   ├── LoginRequired             401 login_required         or 303 to the login page
        │   ├── LoginFailed               400 login_failed
        │   ├── LoginDenied               403 login_denied
        │   ├── RouteNotMapped            403 route_not_mapped
        │   ├── SubjectNotAllowed         403 subject_not_allowed
        │   ├── OriginNotAllowed          403 origin_not_allowed
        │   ├── MethodNotAllowed          405 method_not_allowed
        │   ├── RequestTimeout            408 request_timeout        closes the connection
        │   ├── ExpectationFailed         417 expectation_failed     closes the connection
        │   ├── HostNotAllowed            421 host_not_allowed
        │   └── HeadersTooLarge           431 headers_too_large      closes the connection
        ├── NoToken                  the authorization server is at fault
        │   ├── TokenRefused              502 token_refused
        │   └── TokenUnavailable          503 token_unavailable
        ├── UpstreamFault            the API is at fault
        │   ├── UpstreamUnreachable       502 upstream_unreachable
        │   ├── UpstreamProtocolError     502 upstream_protocol_error
        │   └── UpstreamTimeout           504 upstream_timeout
        ├── Overloaded                    503 overloaded             too much at once
        └── InternalError                 500 internal_error         a bug of ours

Owns the codes; knows neither HTTP framing nor OAuth. A `detail` is written for the caller: it never holds a
token, a secret, a subject or anything the network said.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlencode


class SidecarError(Exception):
    """Root of everything raised on purpose."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong (or doubtful) in a configuration file."""

    file: str
    line: int
    key: str
    message: str  # "what is wrong; what to do"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.key}: {self.message}"

    def as_warning(self) -> str:
        return f"{self.file}:{self.line}: warning: {self.key}: {self.message}"


class ConfigError(SidecarError):
    """The configuration is wrong: all problems at once.

    `stamps` are the files that were read or looked for, each with what would tell a change of it.
    """

    def __init__(
        self, problems: Iterable[Problem], stamps: Mapping[Path, tuple[int, int, int] | None] | None = None
    ) -> None:
        self.problems = tuple(problems)
        self.stamps = stamps or {}
        super().__init__("\n".join(map(str, self.problems)))


class Refusal(SidecarError):
    """An answer the sidecar makes itself."""

    code: ClassVar[str]
    status: ClassVar[int]
    title: ClassVar[str]
    closes: ClassVar[bool] = False  # the caller's connection cannot be used again

    def __init__(self, detail: str, *, credential: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.credential = credential

    def fields(self) -> Iterator[tuple[str, str]]:
        """Header fields that belong to this answer, besides Content-* and X-Auth-Sidecar-Error."""
        return iter(())


class CallerFault(Refusal):
    """4xx: sending the same request again will not help."""


class BadRequest(CallerFault):
    code, status, title, closes = "bad_request", 400, "Malformed request", True


class PathNotCanonical(CallerFault):
    code, status, title = "path_not_canonical", 400, "Path is not canonical"


class SubjectMissing(CallerFault):
    code, status, title = "subject_missing", 400, "Subject is missing"


class SubjectInvalid(CallerFault):
    code, status, title = "subject_invalid", 400, "Subject is not valid"


class _SubjectToken(CallerFault):
    status = 401
    challenge: ClassVar[str]

    def fields(self) -> Iterator[tuple[str, str]]:
        yield "WWW-Authenticate", self.challenge


class SubjectTokenMissing(_SubjectToken):
    code, title, challenge = "subject_token_missing", "Bearer token is missing", "Bearer"


class SubjectTokenInvalid(_SubjectToken):
    code, title, challenge = (
        "subject_token_invalid",
        "Bearer token is not valid",
        'Bearer error="invalid_token"',
    )


class LoginRequired(CallerFault):
    """The route needs a person who has signed in with `credential`."""

    code, status, title = "login_required", 401, "Sign-in is needed"

    def __init__(self, detail: str, *, credential: str = "", return_to: str | None = None) -> None:
        super().__init__(detail, credential=credential)
        wanted = {"credential": credential} | ({} if return_to is None else {"return_to": return_to})
        self.login_url = f"/.auth/login?{urlencode(wanted)}"

    def fields(self) -> Iterator[tuple[str, str]]:
        # No registered scheme stands for cookies, but a 401 must name one (RFC 9110 section 15.5.2).
        yield "WWW-Authenticate", 'Session realm="sign-in"'


class LoginRedirect(LoginRequired):
    """The same to somebody who opens a page: straight to the login page, and back to `return_to` later."""

    status = 303

    def fields(self) -> Iterator[tuple[str, str]]:
        yield "Location", self.login_url


class LoginFailed(CallerFault):
    """A sign-in cannot be completed: its state is forged, used, of another browser or too old."""

    code, status, title = "login_failed", 400, "Sign-in failed"


class LoginDenied(CallerFault):
    """The person, or the authorization server, said no."""

    code, status, title = "login_denied", 403, "Sign-in was denied"


class RouteNotMapped(CallerFault):
    code, status, title = "route_not_mapped", 403, "No route for this path"


class SubjectNotAllowed(CallerFault):
    code, status, title = "subject_not_allowed", 403, "Subject is not allowed"


class OriginNotAllowed(CallerFault):
    code, status, title = "origin_not_allowed", 403, "Origin is not allowed"


class MethodNotAllowed(CallerFault):
    code, status, title = "method_not_allowed", 405, "Method is not allowed"

    def __init__(self, detail: str, allow: Iterable[str] = ()) -> None:
        super().__init__(detail)
        self.allow = ", ".join(sorted(allow))

    def fields(self) -> Iterator[tuple[str, str]]:
        yield "Allow", self.allow


class RequestTimeout(CallerFault):
    code, status, title, closes = "request_timeout", 408, "Request took too long to arrive", True


class ExpectationFailed(CallerFault):
    code, status, title, closes = "expectation_failed", 417, "Expectation cannot be met", True


class HostNotAllowed(CallerFault):
    code, status, title = "host_not_allowed", 421, "Host is not allowed"


class HeadersTooLarge(CallerFault):
    code, status, title, closes = "headers_too_large", 431, "Request head is too large", True


class _Later(Refusal):
    """Worth another try: carries Retry-After (whole seconds, at least 1)."""

    status = 503

    def __init__(self, detail: str, *, retry_after: float = 1.0, credential: str | None = None) -> None:
        super().__init__(detail, credential=credential)
        self.retry_after = max(1, math.ceil(retry_after))

    def fields(self) -> Iterator[tuple[str, str]]:
        yield "Retry-After", str(self.retry_after)


class NoToken(Refusal):
    """There is no token to send; `status` never is 401, which would blame the caller."""


class TokenRefused(NoToken):
    """The authorization server said no.

    `oauth_error` is its RFC 6749 section 5.2 code when it is a known one, else None.
    """

    code, status, title = "token_refused", 502, "Authorization server refused a token"

    def __init__(self, detail: str, *, oauth_error: str | None = None, credential: str | None = None) -> None:
        super().__init__(detail, credential=credential)
        self.oauth_error = oauth_error


class TokenUnavailable(_Later, NoToken):
    """No usable token, and the authorization server is down, slow or throttling."""

    code, title = "token_unavailable", "No usable token at the moment"


class UpstreamFault(Refusal):
    """The API did not answer as it should."""


class UpstreamUnreachable(UpstreamFault):
    code, status, title = "upstream_unreachable", 502, "Upstream cannot be reached"


class UpstreamProtocolError(UpstreamFault):
    code, status, title = "upstream_protocol_error", 502, "Upstream answered something unreadable"


class UpstreamTimeout(UpstreamFault):
    code, status, title = "upstream_timeout", 504, "Upstream did not answer in time"


class Overloaded(_Later):
    code, title = "overloaded", "Too many requests at once"


class InternalError(Refusal):
    """A bug: what was raised is in the log, with its place."""

    code, status, title, closes = "internal_error", 500, "The sidecar failed", True
