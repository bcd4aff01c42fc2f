"""The stand-in's token endpoints: every rule of the eGain guide, kept and broken."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

import aiohttp
import jwt
import pytest

from sidecar.demo.directory import ClientApp
from sidecar.demo.keys import signing_key
from sidecar.demo.standin import StandIn

Form = dict[str, str]
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
PREFIX = "https://api.ai.egain.cloud/auth/"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def url_of(egain: StandIn, flow: str) -> str:
    if flow == "anonymous":
        return f"{egain.anonymous_token_url}?{urlencode(egain.anonymous_token_query)}"
    return egain.customer_token_url if flow == "obo_customer" else egain.user_token_url


def form_of(egain: StandIn, flow: str) -> Form:
    """A right token request of each flow, authenticated by client_secret_post."""
    client = {"client_id": egain.client_id, "client_secret": egain.client_secret}
    obo = {"grant_type": "password", "scope": "knowledge.portalmgr.onbehalfof.read"}
    return client | {
        "app": {"grant_type": "client_credentials", "scope": "app.knowledge.portalmgr.read"},
        "anonymous": {"grant_type": "client_credentials", "scope": f"{PREFIX}core.aiservices.read"},
        "obo_user": {**obo, "subject_username": "alice"},
        "obo_customer": {**obo, "subject_email": "jane@example.com"},
        "user": {
            "grant_type": EXCHANGE,
            "subject_token": egain.idp_token("bob@example.com"),
            "subject_token_type": ACCESS_TOKEN,
            "registration_id": egain.registration_id,
            "scope": "knowledge.portalmgr.read",
        },
    }[flow]  # fmt: skip


FLOWS = {
    "app": "app.knowledge.portalmgr.read",
    "anonymous": "core.aiservices.read",
    "obo_user": "knowledge.portalmgr.onbehalfof.read",
    "obo_customer": "knowledge.portalmgr.onbehalfof.read",
    "user": "knowledge.portalmgr.read",
}
SUBJECTS = {
    "app": "b4b2c1d9-4c19-4e8a-8e7a-9a0b1c2d3e4f",
    "anonymous": "anonymous",
    "obo_user": "alice",
    "obo_customer": "jane@example.com",
    "user": "bob",
}


@pytest.mark.parametrize("flow", FLOWS)
async def test_right_request_gets_a_token_that_the_key_set_verifies(
    egain: StandIn, http: aiohttp.ClientSession, flow: str
) -> None:
    """Each flow issues an RS256 JWT for the right persona and subject, with the scopes asked for."""
    form = form_of(egain, flow)
    async with http.post(url_of(egain, flow), data=form) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.headers["Cache-Control"] == "no-store"
        told = await answer.json()
    async with http.get(egain.jwks_url) as answer:
        keys = jwt.PyJWKSet.from_dict(await answer.json())
    token = told["access_token"]
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(token, key, ["RS256"], audience=egain.base, issuer=egain.issuer)
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("Bearer", 3600, form["scope"])
    assert (claims["persona"], claims["scope"], claims["sub"]) == (flow, FLOWS[flow], SUBJECTS[flow])
    assert claims["exp"] - claims["iat"] == 3600
    seen = egain.token_requests[-1]
    assert (seen.status, seen.error, seen.client_auth) == (200, None, "client_secret_post")
    assert (seen.grant, seen.form, seen.access_token) == (form["grant_type"], form, token)


Change = Callable[[StandIn, Form], object]


def put(**fields: str) -> Change:
    return lambda _, form: form.update(fields)


def drop(*names: str) -> Change:
    return lambda _, form: [form.pop(name) for name in names]


def rename(old: str, new: str) -> Change:
    return lambda _, form: form.update({new: form.pop(old)})


def subject_token(**claims: Any) -> Change:
    """A subject token with these claims changed; None: left out."""
    return lambda egain, form: form.update(subject_token=egain.idp_token("bob@example.com", **claims))


def foreign_token(_: StandIn, form: Form) -> None:
    """The right claims, signed by somebody else."""
    claims = jwt.decode(form["subject_token"], options={"verify_signature": False})
    form["subject_token"] = jwt.encode(claims, "k" * 32, "HS256")


REQUEST, CLIENT, SCOPE, GRANT = "invalid_request", "invalid_client", "invalid_scope", "invalid_grant"
GRANT_TYPE = "unsupported_grant_type"
ODD = dict.fromkeys(FLOWS, "a.b") | {"anonymous": f"{PREFIX}a.b"}

REFUSED: list[tuple[str, str, Change, str]] = [
    # what every flow requires
    *[
        (flow, f"no {name}", drop(name), error)
        for flow in FLOWS
        for name, error in (("grant_type", REQUEST), ("client_id", CLIENT))
    ],
    *[(flow, "no scope", drop("scope"), REQUEST) for flow in FLOWS if flow != "user"],
    *[(flow, "empty scope", put(scope=""), REQUEST) for flow in FLOWS if flow != "user"],
    *[(flow, "no secret", drop("client_secret"), CLIENT) for flow in FLOWS],
    *[(flow, "wrong secret", put(client_secret="x"), CLIENT) for flow in FLOWS],
    *[(flow, "unknown client", put(client_id="x"), CLIENT) for flow in FLOWS],
    *[(flow, "unknown scope", put(scope=ODD[flow]), SCOPE) for flow in FLOWS],
    # which grant at which endpoint
    ("app", "a grant of another time", put(grant_type="implicit"), GRANT_TYPE),
    ("app", "no authorization code", put(grant_type="authorization_code"), REQUEST),
    ("app", "no refresh token", put(grant_type="refresh_token"), REQUEST),
    ("anonymous", "authorization code", put(grant_type="authorization_code"), GRANT_TYPE),
    ("anonymous", "refresh token", put(grant_type="refresh_token"), GRANT_TYPE),
    ("anonymous", "password for anonymous", put(grant_type="password"), GRANT_TYPE),
    ("obo_customer", "client credentials at -C", put(grant_type="client_credentials"), GRANT_TYPE),
    ("obo_customer", "exchange at -C", put(grant_type=EXCHANGE), GRANT_TYPE),
    # scopes and personas
    ("app", "obo scope", put(scope="knowledge.portalmgr.onbehalfof.read"), SCOPE),
    ("app", "one right, one wrong", put(scope="app.knowledge.portalmgr.read a.b"), SCOPE),
    ("app", "two blanks", put(scope="app.knowledge.portalmgr.read  app.core.aiservices.read"), SCOPE),
    ("anonymous", "no prefix", put(scope="core.aiservices.read"), SCOPE),
    ("anonymous", "one without prefix", put(scope=f"{PREFIX}core.aiservices.read x.y"), SCOPE),
    ("anonymous", "app scope", put(scope=f"{PREFIX}app.core.aiservices.read"), SCOPE),
    ("anonymous", "obo scope", put(scope=f"{PREFIX}knowledge.portalmgr.onbehalfof.read"), SCOPE),
    ("obo_user", "delegated scope", put(scope="knowledge.portalmgr.read"), SCOPE),
    ("obo_user", "app scope", put(scope="app.knowledge.portalmgr.read"), SCOPE),
    ("obo_customer", "delegated scope", put(scope="knowledge.portalmgr.read"), SCOPE),
    ("user", "app scope", put(scope="app.knowledge.portalmgr.read"), SCOPE),
    ("user", "obo scope", put(scope="knowledge.portalmgr.onbehalfof.read"), SCOPE),
    # subjects
    ("app", "a subject", put(subject_username="alice"), REQUEST),
    ("anonymous", "a subject", put(subject_email="jane@example.com"), REQUEST),
    ("obo_user", "no subject", drop("subject_username"), REQUEST),
    ("obo_user", "empty subject", put(subject_username=""), REQUEST),
    ("obo_user", "two subjects", put(subject_userid="1001"), REQUEST),
    ("obo_user", "email at -U", rename("subject_username", "subject_email"), REQUEST),
    ("obo_user", "unknown user", put(subject_username="mallory"), GRANT),
    ("obo_user", "other case", put(subject_username="Alice"), GRANT),
    ("obo_customer", "no subject", drop("subject_email"), REQUEST),
    ("obo_customer", "username at -C", rename("subject_email", "subject_username"), REQUEST),
    ("obo_customer", "userid at -C", rename("subject_email", "subject_userid"), REQUEST),
    ("obo_customer", "unknown customer", put(subject_email="x@example.com"), GRANT),
    # token exchange
    ("user", "no subject token", drop("subject_token"), REQUEST),
    ("user", "no subject token type", drop("subject_token_type"), REQUEST),
    ("user", "other subject token type", put(subject_token_type="urn:x"), REQUEST),
    ("user", "no registration", drop("registration_id"), REQUEST),
    ("user", "unknown registration", put(registration_id="other"), REQUEST),
    ("user", "garbage", put(subject_token="garbage"), REQUEST),
    ("user", "foreign signature", foreign_token, REQUEST),
    ("user", "expired", subject_token(lifetime=-10), REQUEST),
    ("user", "no exp", subject_token(exp=None), REQUEST),
    ("user", "wrong iss", subject_token(iss="https://evil.example/"), REQUEST),
    ("user", "wrong aud", subject_token(aud="other"), REQUEST),
    ("user", "no such user", subject_token(email="x@example.com"), GRANT),
    # client authentication
    ("app", "assertion without type", rename("client_secret", "client_assertion"), REQUEST),
    ("app", "type without assertion", rename("client_secret", "client_assertion_type"), REQUEST),
    ("app", "secret and assertion", put(client_assertion="x", client_assertion_type=ASSERTION), REQUEST),
]  # fmt: skip


@pytest.mark.parametrize(
    ("flow", "change", "error"),
    [(flow, change, error) for flow, _, change, error in REFUSED],
    ids=[f"{flow}: {what}" for flow, what, _, _ in REFUSED],
)
async def test_wrong_request_is_refused(
    egain: StandIn, http: aiohttp.ClientSession, flow: str, change: Change, error: str
) -> None:
    """A right request with one thing changed gets the error of RFC 6749 section 5.2, and no token."""
    form = form_of(egain, flow)
    change(egain, form)
    async with http.post(url_of(egain, flow), data=form) as answer:
        told = await answer.json()
        assert (answer.status, told["error"]) == (401 if error == "invalid_client" else 400, error)
        assert "access_token" not in told
        assert "WWW-Authenticate" not in answer.headers
    assert (egain.token_requests[-1].error, egain.token_requests[-1].access_token) == (error, None)


@pytest.mark.parametrize("name", ["scope", "grant_type", "client_secret", "anything"])
async def test_repeated_parameter_is_refused(egain: StandIn, http: aiohttp.ClientSession, name: str) -> None:
    """RFC 6749 section 3.2: parameters must not be included more than once."""
    pairs = [*form_of(egain, "app").items(), (name, "x"), (name, "x")]
    async with http.post(egain.user_token_url, data=pairs) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


async def test_resource_and_audience_may_repeat_and_unknown_parameters_are_ignored(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """RFC 8707 section 2, RFC 8693 section 2.1; the unknown is ignored: RFC 6749 section 3.2."""
    extra = [
        ("resource", "https://a"),
        ("resource", "https://b"),
        ("audience", "a"),
        ("audience", "b"),
        ("x", "1"),
    ]
    async with http.post(egain.user_token_url, data=[*form_of(egain, "app").items(), *extra]) as answer:
        assert answer.status == 200


@pytest.mark.parametrize("body", [b"grant_type", b"a=%FF", b"a=\xff", b"a=1&&b=2", b"a;b=1;c"])
async def test_body_that_is_no_form_is_refused(
    egain: StandIn, http: aiohttp.ClientSession, body: bytes
) -> None:
    """Not form-encoded, or not UTF-8."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(egain.user_token_url, data=body, headers=headers) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


async def test_only_post_of_a_form_is_taken(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """GET is 405 with Allow; JSON is an invalid request; so are credentials in the query."""
    form = form_of(egain, "app")
    async with http.get(egain.user_token_url, params=form) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    async with http.post(egain.user_token_url, json=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")
    async with http.post(f"{egain.user_token_url}?client_secret=x", data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "query",
    ["", "user_type=customer", "domain_hint=TMPRODB88619984", "user_type=user&domain_hint=TMPRODB88619984",
     "user_type=customer&domain_hint=other",
     "user_type=customer&user_type=customer&domain_hint=TMPRODB88619984"],
)  # fmt: skip
async def test_anonymous_endpoint_wants_its_query(
    egain: StandIn, http: aiohttp.ClientSession, query: str
) -> None:
    """user_type=customer and the tenant as domain_hint, once each."""
    async with http.post(f"{egain.anonymous_token_url}?{query}", data=form_of(egain, "anonymous")) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


async def test_delegated_scope_of_the_application_has_no_user(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """Client credentials may technically request delegated scopes; the token is the application's."""
    form = form_of(egain, "app") | {"scope": "knowledge.portalmgr.manage"}
    async with http.post(egain.user_token_url, data=form) as answer:
        claims = jwt.decode((await answer.json())["access_token"], options={"verify_signature": False})
    assert (claims["persona"], claims["sub"]) == ("app", egain.client_id)


async def test_exchange_without_scope_grants_all_delegated_ones(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """The scope is optional in this flow alone."""
    form = form_of(egain, "user")
    del form["scope"]
    async with http.post(egain.user_token_url, data=form) as answer:
        scopes = set((await answer.json())["scope"].split())
    assert {"knowledge.portalmgr.read", "core.aiservices.manage"} <= scopes
    assert not any(scope.startswith("app.") or "onbehalfof" in scope for scope in scopes)


async def test_userid_names_the_user_too(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """subject_userid is slower at eGain, and the same user."""
    alice = egain.directory.user_by("username", "alice")
    assert alice is not None
    form = form_of(egain, "obo_user")
    form["subject_userid"] = alice.userid
    del form["subject_username"]
    async with http.post(egain.user_token_url, data=form) as answer:
        claims = jwt.decode((await answer.json())["access_token"], options={"verify_signature": False})
    assert (claims["sub"], claims["act"]) == ("alice", {"sub": egain.client_id})
    assert egain.token_requests[-1].subject == ("userid", alice.userid)


@pytest.mark.parametrize("flow", ["app", "anonymous", "obo_user", "obo_customer", "user"])
async def test_flow_that_is_not_enabled_is_unauthorized(
    egain: StandIn, http: aiohttp.ClientSession, flow: str
) -> None:
    """On-behalf-of and token exchange are boxes to tick in the console; so are, here, the others."""
    egain.directory.register(ClientApp("other", "s", flows=frozenset()))
    form = form_of(egain, flow) | {"client_id": "other", "client_secret": "s"}
    async with http.post(url_of(egain, flow), data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "unauthorized_client")


async def test_scope_that_is_not_assigned_to_the_application_is_invalid(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """Scopes are assigned in the console first, then requested."""
    egain.directory.register(ClientApp("other", "s", scopes=frozenset({"app.core.aiservices.read"})))
    form = form_of(egain, "app") | {"client_id": "other", "client_secret": "s"}
    async with http.post(egain.user_token_url, data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_scope")


async def test_public_client_cannot_use_flows_that_need_a_secret(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """A single page application identifies itself by its id alone, and may not do any of the five."""
    form = form_of(egain, "app") | {"client_id": egain.public_client_id}
    del form["client_secret"]
    async with http.post(egain.user_token_url, data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "unauthorized_client")
    assert egain.token_requests[-1].client_auth == "none"


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


async def test_basic_needs_form_encoded_credentials(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """RFC 6749 section 2.3.1: both are form-encoded before they are joined; a wrong pair is challenged."""
    form = form_of(egain, "app")
    del form["client_secret"], form["client_id"]
    encoded = basic(quote_plus(egain.client_id), quote_plus(egain.client_secret))
    async with http.post(egain.user_token_url, data=form, headers=encoded) as answer:
        assert answer.status == 200
    assert egain.token_requests[-1].client_auth == "client_secret_basic"
    assert egain.token_requests[-1].client_id == egain.client_id
    for wrong in (
        basic(egain.client_id, egain.client_secret),  # not encoded
        basic(egain.client_id, "x"),
        basic("x", "x"),
        {"Authorization": "Basic ***"},
        {"Authorization": "Bearer abc"},
    ):
        async with http.post(egain.user_token_url, data=form, headers=wrong) as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")
            assert answer.headers["WWW-Authenticate"].startswith("Basic")


async def test_two_authentication_methods_at_once_are_refused(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """RFC 6749 section 2.3: not more than one method in each request; nor two client ids."""
    right = basic(quote_plus(egain.client_id), quote_plus(egain.client_secret))
    form = form_of(egain, "app")
    async with http.post(egain.user_token_url, data=form, headers=right) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")
    del form["client_secret"]
    async with http.post(egain.user_token_url, data=form | {"client_id": "x"}, headers=right) as answer:
        assert (answer.status, (await answer.json())["error"]) == (400, "invalid_request")


def assertion(egain: StandIn, *, key: str | None = None, **claims: Any) -> Form:
    """A token request of the application that authenticates with a signed assertion."""
    now = time.time()
    right = {"iss": egain.client_id, "sub": egain.client_id, "aud": egain.user_token_url}
    all_claims = {**right, "exp": now + 60, "jti": f"{now}", **claims}
    kept = {name: value for name, value in all_claims.items() if value is not None}
    form = form_of(egain, "app")
    del form["client_secret"], form["client_id"]
    signed = jwt.encode(kept, key or egain.client_private_key, "RS256", headers={"kid": egain.client_key_id})
    return form | {"client_assertion_type": ASSERTION, "client_assertion": signed}


async def test_private_key_jwt_is_taken_once(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """A signed assertion addressed to the token URL authenticates the client; sent again, it does not."""
    form = assertion(egain)
    async with http.post(egain.user_token_url, data=form) as answer:
        assert answer.status == 200, await answer.text()
    assert egain.token_requests[-1].client_auth == "private_key_jwt"
    async with http.post(egain.user_token_url, data=form) as answer:
        assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "claims",
    [{"aud": "https://other.example/"}, {"aud": None}, {"sub": "x"}, {"iss": "x"}, {"exp": 1}, {"exp": None},
     {"exp": 9_999_999_999}, {"jti": None}],
    ids=str,
)  # fmt: skip
async def test_wrong_assertion_is_refused(
    egain: StandIn, http: aiohttp.ClientSession, claims: dict[str, Any]
) -> None:
    """RFC 7523 section 3: issuer, subject, audience, expiry, and an id of its own."""
    async with http.post(egain.user_token_url, data=assertion(egain, **claims)) as answer:
        assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")


async def test_assertion_by_another_key_or_without_a_registered_key_is_refused(
    egain: StandIn, http: aiohttp.ClientSession
) -> None:
    """Only the registered key proves the client."""
    other = assertion(egain, key=signing_key("idp").private_pem())
    egain.directory.register(ClientApp("keyless", "s"))
    keyless = assertion(egain, iss="keyless", sub="keyless")
    for form in (other, keyless, assertion(egain) | {"client_assertion": "garbage"}):
        async with http.post(egain.user_token_url, data=form) as answer:
            assert (answer.status, (await answer.json())["error"]) == (401, "invalid_client")


async def test_rotated_secret_replaces_the_old_one(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """After a rotation only the new secret is right."""
    old = form_of(egain, "app")
    egain.rotate_secret("the new one")
    async with http.post(egain.user_token_url, data=old) as answer:
        assert answer.status == 401
    async with http.post(egain.user_token_url, data=form_of(egain, "app")) as answer:
        assert answer.status == 200


async def test_lifetime_is_what_was_asked_for(http: aiohttp.ClientSession) -> None:
    """Lifetimes of seconds, changed while it runs."""
    async with StandIn(lifetime=2) as egain:
        for seconds in (2, 7):
            egain.lifetime = seconds
            async with http.post(egain.user_token_url, data=form_of(egain, "app")) as answer:
                told = await answer.json()
            claims = jwt.decode(told["access_token"], options={"verify_signature": False})
            assert told["expires_in"] == claims["exp"] - claims["iat"] == seconds


async def test_names_and_prefix_are_configurable(http: aiohttp.ClientSession) -> None:
    """Another tenant, another client, another scope prefix."""
    standin = StandIn(
        tenant="T1", client_id="me", client_secret="s3", anonymous_scope_prefix="https://x/auth/"
    )
    async with standin as egain:
        form = form_of(egain, "anonymous")
        async with http.post(url_of(egain, "anonymous"), data=form) as answer:
            assert (await answer.json())["error"] == "invalid_scope"
        form["scope"] = "https://x/auth/core.aiservices.read"
        async with http.post(url_of(egain, "anonymous"), data=form) as answer:
            assert answer.status == 200
        assert "/T1-C/" in egain.customer_token_url


async def test_open_directory_knows_everybody(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """For tests with very many subjects; also, users can be added."""
    egain.directory.add_users(["zoe"])
    for open_, who, status in ((False, "zoe", 200), (False, "nobody", 400), (True, "nobody", 200)):
        egain.directory.open = open_
        form = form_of(egain, "obo_user") | {"subject_username": who}
        async with http.post(egain.user_token_url, data=form) as answer:
            assert answer.status == status


async def test_records_show_no_secret(egain: StandIn, http: aiohttp.ClientSession) -> None:
    """What is remembered for assertions does not print secrets or tokens."""
    form = form_of(egain, "user")
    async with http.post(egain.user_token_url, data=form) as answer:
        token = (await answer.json())["access_token"]
    shown = repr(egain.token_requests[-1]) + repr(egain.directory)
    assert not any(text in shown for text in (egain.client_secret, form["subject_token"], token))
