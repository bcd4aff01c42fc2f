"""What a request is told when there is no token."""

from __future__ import annotations

import pytest

from sidecar.errors import TokenRefused, TokenUnavailable
from sidecar.oauth.answer import Failure
from sidecar.tokens.refusal import refusal


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (None, "the authorization server has given no token yet"),
        (Failure("unavailable", "http_5xx", "x"), "the authorization server is not available"),
        (Failure("unavailable", "timeout", "x"), "the authorization server did not answer in time"),
        (Failure("throttled", "http_429", "x"), "the authorization server asks for fewer requests"),
        (
            Failure("malformed", "malformed", "x"),
            "the authorization server answered something that is no token",
        ),
    ],
)
def test_unavailable_says_why_and_when_to_come_back(failure: Failure | None, said: str) -> None:
    """Nothing of what the server said is in it."""
    found = refusal("app", failure, 7.2)
    assert isinstance(found, TokenUnavailable)
    assert (found.detail, found.credential, found.retry_after) == (said, "app", 8)


@pytest.mark.parametrize(("code", "shown"), [("invalid_grant", " (invalid_grant)"), (None, "")])
def test_refused_names_the_code_when_an_rfc_does(code: str | None, shown: str) -> None:
    """A 403 without a body has none."""
    found = refusal("app", Failure("refused", code or "http_4xx", "x", None, code), 7.2)
    assert isinstance(found, TokenRefused)
    assert (
        found.detail
        == f"the authorization server refused a token for this credential{shown}; the log says more"
    )
    assert (found.oauth_error, found.credential) == (code, "app")
