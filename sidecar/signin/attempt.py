"""One attempt to sign in: from the click to the code.

Owns the authorization request and how its answer is believed (RFC 6749 section 4.1, RFC 7636, RFC 9207). Pure:
randomness and time are parameters. It knows neither cookies nor sockets.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, urlencode

from sidecar.config.schema import Credential
from sidecar.oauth.grants import scope_text

LIFETIME: Final = 600.0  # seconds to sign in; the authorization server's own page has its own limit
TAG: Final = 8  # characters of `state` that tell the attempts of one browser apart
SKEW: Final = 60.0  # seconds between the clocks of replicas, or by which this one's was set back
MAX_RETURN: Final = 1024  # characters; the whole attempt must fit into a cookie
_SECRET: Final = (
    32  # bytes of state, verifier and nonce: 43 characters (RFC 7636 section 4.1 wants 43 or more)
)
_OPENID: Final = "openid"
_NO_RETURN: Final = ("//", "/.auth/")  # another host; and a page that would lead back here

Outcome = Literal["denied", "forged", "expired", "failed"]


class Refused(Exception):
    """The answer of the authorization endpoint does not end in a code; says why, by one of few words."""

    def __init__(self, outcome: Outcome, detail: str) -> None:
        super().__init__(detail)
        self.outcome = outcome
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a browser has to bring back, and what was promised to the authorization server."""

    credential: str
    return_to: str = field(repr=False)  # its query is the app's
    began: float  # wall clock
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)

    @property
    def tag(self) -> str:
        """Tells this attempt's cookie from others; public, since it stands in the URL as a part of `state`."""
        return self.state[:TAG]

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def load(raw: bytes) -> Attempt | None:
        """The reverse of `dump`; None when another version of the sidecar has written it."""
        try:
            return Attempt(**json.loads(raw))
        except (TypeError, ValueError):
            return None


def begin(credential: str, return_to: str, wall: float, draw: Callable[[int], str]) -> Attempt:
    """A new attempt. `draw`: a URL-safe text of so many random bytes. `return_to` has been checked."""
    return Attempt(credential, return_to, wall, draw(_SECRET), draw(_SECRET), draw(_SECRET))


def authorization_url(credential: Credential, client_id: str, scopes: Iterable[str], attempt: Attempt) -> str:
    """Where the browser goes to sign in."""
    scope = scope_text(credential, scopes)
    digest = hashlib.sha256(attempt.verifier.encode("ascii")).digest()
    fields = {
        "client_id": client_id,
        "response_type": "code",
        "redirect_uri": str(credential.redirect_url),
        **({"scope": scope} if scope else {}),
        "state": attempt.state,
        "code_challenge": base64.urlsafe_b64encode(digest).decode("ascii").rstrip("="),
        "code_challenge_method": "S256",
        **({"nonce": attempt.nonce} if asks_openid(credential, scopes) else {}),
    }
    fields |= {name: value for name, value in credential.authorization_params.items() if name not in fields}
    return f"{credential.authorization_url}?{urlencode(fields, quote_via=quote, safe='')}"


def asks_openid(credential: Credential, scopes: Iterable[str]) -> bool:
    """Whether an ID token is asked for, which then has the nonce in it (OpenID Connect Core section 3.1.2.1)."""
    return _OPENID in scope_text(credential, scopes).split()


def state_of(query: str) -> str | None:
    """The `state` of a callback's query; None when it is not there exactly once."""
    states = [value for name, value in _parameters(query) if name == "state"]
    return states[0] if len(states) == 1 else None


def code_of(query: str, attempt: Attempt, issuer: str | None, wall: float) -> str:
    """The code in the callback's query. Raises Refused.

    `issuer`: the only `iss` that is believed; without one any is (RFC 9207 section 2.4 needs it known).
    """
    answer: dict[str, str] = {}
    for name, value in _parameters(query):
        if name in answer:
            raise Refused("forged", "a parameter of the answer is there twice")  # RFC 6749 section 3.1
        answer[name] = value
    if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
        raise Refused("forged", "the answer is for another attempt")
    if issuer is not None and answer.get("iss", issuer) != issuer:
        raise Refused("forged", "the answer comes from another authorization server")
    if not -SKEW <= wall - attempt.began <= LIFETIME:
        raise Refused("expired", "the attempt is over")
    error = answer.get("error")
    if error is not None:
        denied = error in ("access_denied", "consent_required", "interaction_required")
        raise Refused("denied" if denied else "failed", "the authorization server said no")
    code = answer.get("code", "")
    if not code or len(code) > 4096 or not code.isprintable() or not code.isascii():
        raise Refused("failed", "the answer has no code")
    return code


def return_path(text: str | None) -> str:
    """A path of this very origin to go back to; `/` when none is named, or one too long to be kept. Raises ValueError.

    Browsers read `\\` as `/`, skip tabs and line ends, and take `//` for another host: none of it gets through.
    """
    if text is None or text == "":
        return "/"
    plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if not plain or text[0] != "/" or text.startswith(_NO_RETURN):
        raise ValueError("is not a path of this site")
    return text if len(text) <= MAX_RETURN else "/"


def _parameters(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError:
        return []
