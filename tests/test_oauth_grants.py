"""Which fields each flow sends."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.schema import Credential
from sidecar.oauth.client import Proof
from sidecar.oauth.grants import form, per_subject, scope_text, token_url
from sidecar.oauth.request import token_request

TOKEN_URL = "https://ai.egain.cloud/system/auth/TMPRODB88619984-U/oauth2/token"
POST = [("client_id", "the-id"), ("client_secret", "the-secret")]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"


def credential(grant: str = "client_credentials", **more: Any) -> Credential:
    return Credential.model_validate({"grant": grant, "token_url": TOKEN_URL, **more})


GUIDE = [
    pytest.param(
        credential(),
        ["app.knowledge.portalmgr.read"],
        None,
        [("grant_type", "client_credentials"), ("scope", "app.knowledge.portalmgr.read"), *POST],
        id="client_credentials",
    ),
    pytest.param(
        credential("anonymous", scope_prefix="https://api.ai.egain.cloud/auth/"),
        ["core.aiservices.read", "core.aiservices.manage"],
        None,
        [
            ("grant_type", "client_credentials"),
            *POST,
            (
                "scope",
                "https://api.ai.egain.cloud/auth/core.aiservices.manage "
                "https://api.ai.egain.cloud/auth/core.aiservices.read",
            ),
        ],
        id="anonymous",
    ),
    pytest.param(
        credential("on_behalf_of", subject={"username": {"header": "X-On-Behalf-Of"}}),
        ["knowledge.portalmgr.onbehalfof.read"],
        "pa",
        [
            ("grant_type", "password"),
            *POST,
            ("scope", "knowledge.portalmgr.onbehalfof.read"),
            ("subject_username", "pa"),
        ],
        id="on_behalf_of",
    ),
    pytest.param(
        credential("token_exchange", registration_id="okta_sso_config_01"),
        [],
        "EXTERNAL_IDP_JWT_TOKEN",
        [
            ("grant_type", EXCHANGE),
            ("subject_token", "EXTERNAL_IDP_JWT_TOKEN"),
            ("subject_token_type", ACCESS_TOKEN),
            ("registration_id", "okta_sso_config_01"),
            *POST,
        ],
        id="token_exchange",
    ),
]


@pytest.mark.parametrize(("of", "scopes", "subject", "expected"), GUIDE)
def test_each_flow_sends_the_guides_fields_in_the_guides_order(
    of: Credential, scopes: list[str], subject: str | None, expected: list[tuple[str, str]]
) -> None:
    """Exactly the fields of the eGain guide's examples, none besides."""
    assert form(of, POST, scopes, subject) == expected


@pytest.mark.parametrize("kind", ["username", "userid", "email"])
def test_each_kind_of_subject_has_its_own_parameter(kind: str) -> None:
    """subject_username, subject_userid and subject_email are never mixed up."""
    of = credential("on_behalf_of", subject={kind: {"value": "x"}})
    assert [f for f in form(of, [], [], "x") if f[0].startswith("subject")] == [(f"subject_{kind}", "x")]


def test_scopes_are_sorted_unique_and_prefixed_once() -> None:
    """`b a`, `a b` and `a a b` are the same request; a scope with the prefix gets no second one."""
    of = credential(scope_prefix="https://x/auth/")
    assert (
        scope_text(of, ["b", "a"]) == scope_text(of, ["a", "b", "a"]) == "https://x/auth/a https://x/auth/b"
    )
    assert scope_text(of, ["https://x/auth/a", "a"]) == "https://x/auth/a"


def test_no_scope_parameter_without_scopes() -> None:
    """An empty `scope` would be malformed; none means the server's default (RFC 6749 section 3.3)."""
    assert "scope" not in dict(form(credential(), POST, [], None))


def test_resources_and_audiences_are_repeated_and_extra_parameters_come_last() -> None:
    """RFC 8707 and RFC 8693 allow several of both."""
    of = credential(resource=["https://a", "https://b"], audience="api", extra_params={"tenant": "1"})
    assert form(of, [], ["s"], None)[-4:] == [
        ("resource", "https://a"),
        ("resource", "https://b"),
        ("audience", "api"),
        ("tenant", "1"),
    ]


def test_extra_parameter_never_speaks_for_another_subject_or_client() -> None:
    """A parameter that the flow itself sends stands, and nothing is sent twice."""
    extra = {"subject_username": "boss", "client_id": "x", "grant_type": "x", "scope": "admin"}
    of = credential("on_behalf_of", subject={"username": {"header": "X-S"}}, extra_params=extra)
    fields = form(of, POST, ["s"], "alice")
    assert len(dict(fields)) == len(fields)
    assert dict(fields)["subject_username"] == "alice"
    assert dict(fields)["scope"] == "s"


def test_token_query_is_encoded() -> None:
    """Blanks, ampersands and non-ASCII characters survive the way."""
    of = credential(token_query={"user_type": "customer", "domain_hint": "a b&c=ü+"})
    assert token_url(of) == f"{TOKEN_URL}?user_type=customer&domain_hint=a%20b%26c%3D%C3%BC%2B"
    assert token_url(credential()) == TOKEN_URL


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (credential(), False),
        (credential("anonymous"), False),
        (credential("on_behalf_of", subject={"username": {"value": "pa"}}), False),
        (credential("on_behalf_of", subject={"username": {"header": "X-S"}}), True),
        (credential("on_behalf_of", subject={"email": {"claim": "email"}}), True),
        (credential("token_exchange"), True),
    ],
)
def test_whose_tokens_they_are(of: Credential, expected: bool) -> None:
    """A subject from the configuration is the application's business, a caller's has its own token."""
    assert per_subject(of) is expected


@given(st.text())
def test_subject_is_exactly_one_parameter_with_the_same_text(subject: str) -> None:
    """`alice&scope=admin`, `a%26b`, `a+b=c`: no text of a subject becomes another parameter."""
    try:
        subject.encode()
    except UnicodeEncodeError:
        return  # no request can bring it
    of = credential("on_behalf_of", subject={"username": {"header": "X-S"}})
    body = token_request(of, Proof(()), partial(form, of, scopes=["s"], subject=subject)).body
    fields = parse_qsl(body.decode("ascii"), keep_blank_values=True)
    assert fields == [("grant_type", "password"), ("scope", "s"), ("subject_username", subject)]
