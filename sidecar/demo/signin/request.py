"""The authorization request: RFC 6749 section 4.1.1, RFC 7636 section 4.3, OpenID Connect Core section 3.1.2.1.

Owns the checks. Until client and redirect URI are right there is nowhere to send the browser back to
(`NotSentBack`); everything after that is told to the client (`SentBack`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sidecar.demo.directory import ClientApp
from sidecar.demo.grants import Rules
from sidecar.demo.refusals import InvalidRequest, OAuthRefusal
from sidecar.demo.signin.redirects import registered

SignedIn = Literal["user", "customer"]  # the endpoint and, here, the persona
_PROMPTS = frozenset({"none", "login", "consent", "select_account"})
_S256 = re.compile(r"[A-Za-z0-9_-]{43}")
_NOT_SUPPORTED = {  # OpenID Connect Core sections 6 and 7.2.1
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


class NotSentBack(Exception):
    """For the person, on a page: the address to go back to cannot be trusted."""


class SentBack(Exception):
    """For the client, as `error` and `error_description`."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code, self.description = code, description


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the answer goes."""

    client: ClientApp
    redirect_uri: str
    state: str | None


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A request that may be granted, if the person wants to."""

    endpoint: SignedIn
    destination: Destination
    scopes: tuple[str, ...]  # as in the access token
    scope: str  # as in the answer
    challenge: str | None  # S256
    nonce: str | None
    prompt: frozenset[str]
    max_age: int | None  # seconds
    login_hint: str

    @property
    def client(self) -> ClientApp:
        return self.destination.client


def destination(parameters: Mapping[str, str], repeated: set[str], rules: Rules) -> Destination:
    """Client, redirect URI and state, or NotSentBack."""
    if repeated & {"client_id", "redirect_uri"}:
        raise NotSentBack("client_id or redirect_uri is given more than once.")
    client = rules.directory.clients.get(parameters.get("client_id", ""))
    if client is None:
        raise NotSentBack("The application that sent you here is not known (client_id).")
    uri = parameters.get("redirect_uri", "")
    if not registered(uri, client.redirect_uris):
        raise NotSentBack(
            "The address to go back to is missing or not registered for this application (redirect_uri)."
        )
    return Destination(client, uri, None if "state" in repeated else parameters.get("state"))


def check(
    endpoint: SignedIn,
    parameters: Mapping[str, str],
    repeated: set[str],
    destination: Destination,
    rules: Rules,
) -> AuthorizationRequest:
    """Everything else, or SentBack."""
    try:
        if repeated:
            raise InvalidRequest("a parameter is given more than once")
        _check_response(parameters)
        client = destination.client
        if "authorization_code" not in client.flows:
            raise SentBack("unauthorized_client", "authorization_code is not enabled for this client")
        challenge = _challenge(client, parameters)
        scopes, scope = rules.scopes("authorization_code", client, parameters)
        prompt, max_age = _prompt(parameters), _max_age(parameters)
    except OAuthRefusal as refusal:
        raise SentBack(refusal.code, refusal.description) from None
    nonce, hint = parameters.get("nonce"), parameters.get("login_hint", "")
    return AuthorizationRequest(endpoint, destination, scopes, scope, challenge, nonce, prompt, max_age, hint)


def _check_response(parameters: Mapping[str, str]) -> None:
    if "response_type" not in parameters:
        raise InvalidRequest("response_type is missing")
    if parameters["response_type"] != "code":
        raise SentBack("unsupported_response_type", "response_type must be code")
    if parameters.get("response_mode", "query") != "query":
        raise InvalidRequest("response_mode must be query")
    for name, error in _NOT_SUPPORTED.items():
        if name in parameters:
            raise SentBack(error, f"{name} is not supported")


def _challenge(client: ClientApp, parameters: Mapping[str, str]) -> str | None:
    challenge, method = parameters.get("code_challenge"), parameters.get("code_challenge_method")
    if challenge is None:
        if method is not None:
            raise InvalidRequest("code_challenge_method without code_challenge")
        if not client.confidential:
            raise InvalidRequest("code_challenge is missing: a public client needs PKCE")
        return None
    if method != "S256":  # left out, it means plain
        raise InvalidRequest("transform algorithm not supported: code_challenge_method must be S256")
    if not _S256.fullmatch(challenge):
        raise InvalidRequest("code_challenge is no SHA-256 digest in base64url")
    return challenge


def _prompt(parameters: Mapping[str, str]) -> frozenset[str]:
    prompt = frozenset(parameters.get("prompt", "").split())
    if not prompt <= _PROMPTS:
        raise InvalidRequest("prompt has an unknown value")
    if "none" in prompt and len(prompt) > 1:
        raise InvalidRequest("prompt=none goes with no other value")
    return prompt


def _max_age(parameters: Mapping[str, str]) -> int | None:
    text = parameters.get("max_age")
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,9}", text):
        raise InvalidRequest("max_age must be a number of seconds")
    return int(text)
