"""What a request is told when there is no token.

Owns the words. Nothing of what the authorization server said is in them but an error code that an RFC names.
"""

from __future__ import annotations

from typing import Final

from sidecar.errors import Refusal, TokenRefused, TokenUnavailable
from sidecar.oauth.answer import Failure

_WHY: Final = {
    "timeout": "did not answer in time",
    "connect": "cannot be reached",
    "tls": "cannot be trusted: TLS could not be set up",
    "http_429": "asks for fewer requests",
    "slow_down": "asks for fewer requests",
    "malformed": "answered something that is no token",
    "invalid_client": "cannot be asked: the client's secret is not usable",
}


def refusal(credential: str, failure: Failure | None, retry_in: float) -> Refusal:
    """The error of this request, made afresh: an exception that is raised again keeps every traceback."""
    if failure is not None and failure.outcome == "refused":
        said = f" ({failure.oauth_error})" if failure.oauth_error else ""
        return TokenRefused(
            f"the authorization server refused a token for this credential{said}; the log says more",
            oauth_error=failure.oauth_error,
            credential=credential,
        )
    why = _WHY.get(failure.reason, "is not available") if failure else "has given no token yet"
    return TokenUnavailable(f"the authorization server {why}", retry_after=retry_in, credential=credential)
