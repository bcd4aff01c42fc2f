"""What people are told when a sign-in ends without a session.

Owns the words, and which error each stands for. Pure; nothing that the network said is repeated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import urlencode

from sidecar.errors import LoginDenied, LoginFailed, Refusal, TokenRefused, TokenUnavailable
from sidecar.oauth.answer import Failure
from sidecar.proxy.page import Page
from sidecar.signin import html

# What people are told, by how a sign-in ended: title, sentences, the error it is.
_SAID: Final[Mapping[str, tuple[str, tuple[str, ...], type[Refusal]]]] = {
    "denied": (
        "You have not been signed in",
        ("Access was not allowed. If you have changed your mind, you can sign in again.",),
        LoginDenied,
    ),
    "forged": (
        "This sign-in cannot be completed",
        (
            "It was begun in another browser or window, was used already, or the link is not genuine.",
            "Nothing has been changed. Please begin again.",
        ),
        LoginFailed,
    ),
    "expired": (
        "Signing in took too long",
        ("For your safety a sign-in has to be finished within a few minutes. Please begin again.",),
        LoginFailed,
    ),
    "failed": (
        "Signing in did not work",
        ("The sign-in service answered with an error. Please try again.",),
        LoginFailed,
    ),
    "refused": (
        "Signing in did not work",
        (
            "The sign-in service does not accept this application.",
            "Trying again will not help; please tell whoever looks after it.",
        ),
        TokenRefused,
    ),
    "unavailable": (
        "Signing in is not possible at the moment",
        ("The sign-in service does not answer as it should. Please try again in a minute.",),
        TokenUnavailable,
    ),
}
_HOME: Final = ("Go to the start page", "/")


def ended(
    outcome: str,
    fields: Sequence[tuple[str, str]] = (),
    *,
    credential: str | None = None,
    return_to: str = "/",
) -> Page:
    """The page, with what can be done next. `credential`: None when it is not known which was meant."""
    title, sentences, refusal = _SAID[outcome]
    if outcome == "refused":
        link = None
    elif credential is None:
        link = _HOME  # there the site's own button knows
    else:
        link = ("Sign in", f"/.auth/login?{urlencode({'credential': credential, 'return_to': return_to})}")
    body = html.page(title, sentences, link, refusal.code)
    return Page(refusal.status, [html.POLICY, *fields], body, refusal=refusal)


def not_begun(title: str, sentence: str) -> Page:
    """A link to the login page that is not right."""
    body = html.page(title, [sentence], None, LoginFailed.code)
    return Page(LoginFailed.status, [html.POLICY], body, refusal=LoginFailed)


def outcome_of(failure: Failure) -> str:
    """How a sign-in ended whose code brought no token."""
    if failure.reason == "invalid_grant":
        return "expired"  # the code was: it lives for a minute or so
    return "refused" if failure.outcome == "refused" else "unavailable"
