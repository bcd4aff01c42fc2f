"""What a token endpoint's answer means: a token, or why there is none.

Owns RFC 6749 section 5 as a stranger may bend it: the answer is untrusted, so everything that is not exactly
a usable token is one failed try with a reason. Pure; `wall` is a parameter.

    status          body                          outcome       reason
    2xx             a token                       Issued
    2xx             {"error": …}                  as for 4xx
    2xx, 3xx        anything else                 malformed     malformed
    429             anything                      throttled     http_429
    4xx             a code that means "later"     unavailable / throttled   the code
    4xx             a known code                  refused       the code
    4xx             anything else                 refused       http_4xx   (408: unavailable)
    5xx             anything                      unavailable   http_5xx
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, Literal

from sidecar.config.schema import Tokens
from sidecar.oauth.hint import times
from sidecar.oauth.untrusted import json_object, one_line

FailureOutcome = Literal["refused", "throttled", "unavailable", "malformed"]

MAX_RETRY_AFTER: Final = 3600.0  # a longer wait is not taken at its word

# RFC 6749 sections 4.1.2.1 and 5.2, RFC 8693 section 2.2.2, RFC 8707 section 2, RFC 8628 section 3.5, OpenID
# Connect Core section 3.1.2.6 (Entra answers those to on-behalf-of requests).
OAUTH_ERRORS: Final = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type"}
    | {"invalid_scope", "invalid_target", "access_denied", "server_error", "temporarily_unavailable"}
    | {"slow_down", "interaction_required", "login_required", "consent_required"}
)
_LATER: Final[dict[str, FailureOutcome]] = {
    "server_error": "unavailable",
    "temporarily_unavailable": "unavailable",
    "slow_down": "throttled",
}
# Where servers put a sentence for people, best first.
_SENTENCES: Final = ("error_description", "developerMessage", "message", "error", "code")

_VISIBLE = re.compile(r"[\x21-\x7E]+")
_REFRESH_TOKEN = re.compile(r"[\x20-\x7E]+")  # RFC 6749 appendix A.17
_SECONDS = re.compile(r"[0-9]{1,20}(?:\.[0-9]{1,20})?")
_DELAY = re.compile(r"[0-9]{1,12}")


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the status, the body, and the one header that matters."""

    status: int
    body: bytes = field(repr=False)
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Issued:
    """A token as issued; `lifetime` after the cap. `scopes` is None when the answer names none."""

    value: str = field(repr=False)
    lifetime: float
    scopes: frozenset[str] | None = None
    refresh_token: str | None = field(default=None, repr=False)
    id_token: str | None = field(default=None, repr=False)  # as it came; nobody has looked into it


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed try. `reason` is a metric label, `detail` for the log: bounded, one line, nothing secret."""

    outcome: FailureOutcome
    reason: str
    detail: str
    retry_after: float | None = None
    oauth_error: str | None = None
    unsent: bool = False  # the server cannot have acted on the request: it never left


def read(reply: Reply, *, wall: float, tokens: Tokens, hide: Sequence[str] = ()) -> Issued | Failure:
    """The token in an answer, or why there is none. `hide`: what must not show in a failure's detail."""
    retry_after = read_retry_after(reply.retry_after, wall)
    if reply.status == 429:
        return Failure("throttled", "http_429", "HTTP 429", retry_after)
    if reply.status >= 500:
        return Failure("unavailable", "http_5xx", f"HTTP {reply.status}", retry_after)
    if 300 <= reply.status < 400:
        # Following it would send the client's secret to somebody else.
        return _malformed(f"HTTP {reply.status}: redirects are not followed; correct token_url")
    try:
        answer = json_object(reply.body)
    except ValueError as error:
        if reply.status >= 400:
            return _refused(reply.status, {}, retry_after, hide)
        return _malformed(f"HTTP {reply.status}: the body {error}")
    if reply.status >= 400 or answer.get("error"):
        return _refused(reply.status, answer, retry_after, hide)
    return _issued(answer, wall, tokens)


def read_retry_after(value: str | None, wall: float) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3), at most an hour; None when not said properly."""
    if value is None:
        return None
    if _DELAY.fullmatch(value):
        return min(float(value), MAX_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(value).replace(tzinfo=UTC)  # an HTTP-date is always GMT
        delay = when.timestamp() - wall
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(delay, 0.0), MAX_RETRY_AFTER)


def _refused(
    status: int, answer: dict[str, object], retry_after: float | None, hide: Sequence[str]
) -> Failure:
    error = answer.get("error")
    code = error if isinstance(error, str) and error in OAUTH_ERRORS else None
    sentences = [text for name in _SENTENCES if isinstance(text := answer.get(name), str)]
    said = next(filter(None, sentences), "")
    detail = f"HTTP {status}" + (f" {code}" if code else "")
    if said and said != code:
        detail += f": {one_line(said, hide)}"
    # A request that was too slow for the server may be in time when sent again (RFC 9110 section 15.5.9).
    outcome = "unavailable" if status == 408 else _LATER.get(code or "", "refused")
    return Failure(outcome, code or "http_4xx", detail, retry_after, code)


def _issued(answer: dict[str, object], wall: float, tokens: Tokens) -> Issued | Failure:
    value, kind, scope = answer.get("access_token"), answer.get("token_type"), answer.get("scope")
    if not isinstance(value, str) or not _VISIBLE.fullmatch(value):
        # A blank is none: "Bearer abc" is refused here, too.
        return _malformed("no access_token of visible ASCII characters")
    if kind is not None and not (isinstance(kind, str) and kind.lower() == "bearer"):
        return _malformed("the token_type is not Bearer")
    lifetime = _lifetime(answer.get("expires_in"), value, wall, tokens)
    if lifetime is None:
        return _malformed("expires_in is not a number above 0")
    granted = frozenset(scope.split()) if isinstance(scope, str) and scope.strip() else None
    return Issued(
        value,
        min(lifetime, tokens.max_lifetime),
        granted,
        _text(answer.get("refresh_token"), _REFRESH_TOKEN),
        _text(answer.get("id_token"), _VISIBLE),
    )


def _text(value: object, written: re.Pattern[str]) -> str | None:
    """What an answer may have beside the token; one that is not properly written was not given."""
    return value if isinstance(value, str) and written.fullmatch(value) else None


def _lifetime(expires_in: object, token: str, wall: float, tokens: Tokens) -> float | None:
    if expires_in is None:
        return times(token).lifetime(wall) or tokens.default_lifetime
    if isinstance(expires_in, str):
        seconds = float(expires_in) if _SECONDS.fullmatch(expires_in) else 0.0
    elif isinstance(expires_in, int | float) and not isinstance(expires_in, bool):
        seconds = float(expires_in)
    else:
        return None
    return seconds if seconds > 0 and math.isfinite(seconds) else None


def _malformed(detail: str) -> Failure:
    return Failure("malformed", "malformed", detail)
