"""An attempt to sign in: the authorization request, and which answers end in a code."""

from __future__ import annotations

import base64
import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.schema import Credential
from sidecar.signin import attempt as attempts
from sidecar.signin.attempt import Attempt

ISSUER = "https://as.example"
BEGUN = Attempt("user", "/portal?x=1", 1000.0, "s" * 43, "v" * 43, "n" * 43)


def credential(**more: Any) -> Credential:
    return Credential.model_validate(
        {
            "grant": "authorization_code",
            "authorization_url": f"{ISSUER}/authorize",
            "token_url": f"{ISSUER}/token",
            "redirect_url": "https://app.example/.auth/callback",
            **more,
        }
    )


def asked(attempt: Attempt, *scopes: str, **more: Any) -> dict[str, str]:
    url = urlsplit(attempts.authorization_url(credential(**more), "the-client", scopes, attempt))
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{ISSUER}/authorize"
    fields = parse_qsl(url.query, strict_parsing=True)
    assert len(dict(fields)) == len(fields)
    return dict(fields)


def test_authorization_request_is_that_of_the_guide_with_pkce() -> None:
    """RFC 6749 section 4.1.1 and RFC 7636 section 4.3, in whole."""
    challenge = (
        base64.urlsafe_b64encode(hashlib.sha256(BEGUN.verifier.encode()).digest()).decode().rstrip("=")
    )
    assert asked(BEGUN, "b", "a", "a") == {
        "client_id": "the-client",
        "response_type": "code",
        "redirect_uri": "https://app.example/.auth/callback",
        "scope": "a b",
        "state": BEGUN.state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }


def test_the_worked_example_of_rfc_7636() -> None:
    """Appendix B: this verifier has this challenge."""
    example = Attempt("user", "/", 0.0, "s", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "n")
    assert asked(example)["code_challenge"] == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_a_nonce_goes_with_openid_only() -> None:
    """OpenID Connect Core section 3.1.2.1; other servers have no use for it."""
    assert asked(BEGUN, "openid", "a")["nonce"] == BEGUN.nonce
    assert "nonce" not in asked(BEGUN, "openid.not")


def test_configured_parameters_are_added_and_replace_nothing() -> None:
    """`prompt` is the configuration's business, `state` is not."""
    fields = asked(BEGUN, authorization_params={"prompt": "login", "state": "mine"})
    assert (fields["prompt"], fields["state"]) == ("login", BEGUN.state)


def test_every_attempt_is_random() -> None:
    """State, verifier and nonce are three draws of 32 bytes."""
    drawn: list[int] = []

    def draw(size: int) -> str:
        drawn.append(size)
        return f"{len(drawn)}" * 43

    begun = attempts.begin("user", "/x", 5.0, draw)
    assert drawn == [32, 32, 32]
    assert len({begun.state, begun.verifier, begun.nonce}) == 3
    assert (begun.credential, begun.return_to, begun.began) == ("user", "/x", 5.0)
    assert Attempt.load(begun.dump()) == begun


def test_an_attempt_of_another_version_is_none() -> None:
    """Replicas of two versions share a key during an update."""
    for raw in (b"{}", b'{"credential": "user"}', b"[]", b"null", b"\xff", b"{"):
        assert Attempt.load(raw) is None


def test_nothing_secret_of_an_attempt_is_printable() -> None:
    """`repr` ends up in tracebacks."""
    shown = repr(BEGUN)
    assert not any(secret in shown for secret in (BEGUN.state, BEGUN.verifier, BEGUN.nonce))


GOOD = {"state": BEGUN.state, "code": "the-code", "iss": ISSUER}
# what is wrong -> the query, the outcome
REFUSED: dict[str, tuple[str, str]] = {
    "no-state": (urlencode({"code": "c"}), "forged"),
    "another-state": (urlencode({**GOOD, "state": "x" * 43}), "forged"),
    "prefix-of-state": (urlencode({**GOOD, "state": BEGUN.state[:-1]}), "forged"),
    "state-twice": (urlencode(GOOD) + f"&state={BEGUN.state}", "forged"),
    "code-twice": (urlencode(GOOD) + "&code=other", "forged"),
    "another-issuer": (urlencode({**GOOD, "iss": "https://evil.example"}), "forged"),
    "empty-issuer": (urlencode({**GOOD, "iss": ""}), "forged"),
    "denied": (urlencode({"state": BEGUN.state, "error": "access_denied"}), "denied"),
    "error-beside-code": (urlencode({**GOOD, "error": "access_denied"}), "denied"),
    "consent-required": (urlencode({"state": BEGUN.state, "error": "consent_required"}), "denied"),
    "server-error": (urlencode({"state": BEGUN.state, "error": "server_error"}), "failed"),
    "empty-error": (urlencode({**GOOD, "error": ""}), "failed"),
    "no-code": (urlencode({"state": BEGUN.state}), "failed"),
    "empty-code": (urlencode({**GOOD, "code": ""}), "failed"),
    "code-with-line-end": (urlencode({**GOOD, "code": "a\nb"}), "failed"),
    "code-not-ascii": (urlencode({**GOOD, "code": "ä"}), "failed"),
    "code-too-long": (urlencode({**GOOD, "code": "c" * 4097}), "failed"),
    "not-utf-8": (urlencode(GOOD) + "&x=%ff", "forged"),
    "too-many-fields": (urlencode(GOOD) + "&a=" * 40, "forged"),
    "empty": ("", "forged"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_answer_that_is_not_to_be_believed_is_refused(name: str) -> None:
    """Each by one of few words, which are metric labels."""
    query, outcome = REFUSED[name]
    with pytest.raises(attempts.Refused) as refused:
        attempts.code_of(query, BEGUN, ISSUER, BEGUN.began)
    assert refused.value.outcome == outcome


@pytest.mark.parametrize(
    ("query", "issuer"),
    [
        (GOOD, ISSUER),
        ({"state": BEGUN.state, "code": "the-code"}, ISSUER),
        ({**GOOD, "iss": "https://any.example"}, None),
        ({**GOOD, "session_state": "x"}, ISSUER),
    ],
    ids=["iss", "no-iss", "iss-not-configured", "unknown-field"],
)
def test_a_good_answer_has_a_code(query: dict[str, str], issuer: str | None) -> None:
    """Unknown parameters are ignored (RFC 6749 section 4.1.2); `iss` is checked when it is there."""
    assert attempts.code_of(urlencode(query), BEGUN, issuer, BEGUN.began + 1) == "the-code"


@pytest.mark.parametrize(
    ("after", "fine"), [(0, True), (600, True), (600.1, False), (-60, True), (-61, False)]
)
def test_an_attempt_lives_ten_minutes(after: float, fine: bool) -> None:
    """Not longer; and one from the future is another replica's, whose clock is a little ahead."""
    if fine:
        assert attempts.code_of(urlencode(GOOD), BEGUN, ISSUER, BEGUN.began + after)
    else:
        with pytest.raises(attempts.Refused) as refused:
            attempts.code_of(urlencode(GOOD), BEGUN, ISSUER, BEGUN.began + after)
        assert refused.value.outcome == "expired"


@pytest.mark.parametrize(
    ("query", "state"),
    [("state=a&code=b", "a"), ("code=b", None), ("state=a&state=a", None), ("state=%ff", None), ("", None)],
)
def test_state_is_found_when_it_is_there_once(query: str, state: str | None) -> None:
    """It leads to the cookie of the attempt."""
    assert attempts.state_of(query) == state


@pytest.mark.parametrize(
    "text", ["/", "/x", "/a/b?c=d&e=%2F%2F", "/a//b", "/x#frag", "/.authx", "/" + "a" * 1023]
)
def test_a_path_of_this_site_is_a_way_back(text: str) -> None:
    """Query and fragment included."""
    assert attempts.return_path(text) == text


@pytest.mark.parametrize("text", [None, "", "/" + "a" * 1024])
def test_without_a_way_back_it_is_the_root(text: str | None) -> None:
    """Or with one that fits into no cookie: whoever opens such a page can sign in all the same."""
    assert attempts.return_path(text) == "/"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "https://evil.example/",
        ),
        *(
            "javascript:alert(1)",
            "evil.example",
            "/\t/evil.example",
            "/\n/evil",
            "/ /evil",
            "/x\r\nSet-Cookie: a=b",
        ),
        *(
            "/ä",
            "/.auth/login",
            "/.auth/callback?code=x",
            " /x",
            "?x",
            "#x",
            "/\x00",
            "/\x7f",
        ),
    ],
)
def test_nothing_else_is(text: str) -> None:
    """Whatever a browser could read as another host, or a server as another header line."""
    with pytest.raises(ValueError, match="not a path of this site"):
        attempts.return_path(text)


@given(st.text(max_size=40))
def test_a_way_back_always_stays_on_this_origin(text: str) -> None:
    """As a browser would resolve it: tabs and line ends skipped, backslashes turned."""
    try:
        path = attempts.return_path("/" + text)
    except ValueError:
        return
    read = path.replace("\\", "/").replace("\t", "").replace("\n", "").replace("\r", "")
    assert urlsplit(f"https://app.example{read}").netloc == "app.example"
    assert not read.startswith("//")
    assert read == path
