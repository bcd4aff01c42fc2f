"""Warnings: what would load, run, and then surprise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from sidecar.config.persona import warnings
from sidecar.config.schema import Config
from sidecar.config.shadowing import shadowed
from sidecar.config.wording import key_path

USERS = "https://ai.egain.cloud/system/auth/T-U/oauth2/token"
CUSTOMERS = "https://ai.egain.cloud/system/auth/T-C/oauth2/token"
ANONYMOUS = "https://api.ai.egain.cloud/core/authmgr/v3/oauth2/v2.0/anonymous/token"
COMMERCIAL = "https://api.egain.cloud/core/authmgr/v4/oauth2/v2.0/onbehalfof/token"
BY_NAME = {"username": {"header": "X-User"}}


def found(credential: Mapping[str, Any], scopes: Iterable[str] = (), **more: Any) -> list[tuple[str, str]]:
    """The warnings about one credential `c` and one route that uses it."""
    config = Config.model_validate(
        {
            "upstream": {"url": "https://api.ai.egain.cloud"},
            "client": {"id": "a", "auth": "none"},
            "credentials": {"c": {"token_url": USERS, **credential}},
            "routes": [{"path": "/x", "credential": "c", "scopes": list(scopes)}],
            **more,
        }
    )
    return [(key_path(complaint.loc), complaint.message) for complaint in warnings(config)]


SCOPE = "routes[0].scopes[0]"
APP = {"grant": "client_credentials"}
OBO = {"grant": "on_behalf_of", "subject": BY_NAME}
EXCHANGE = {"grant": "token_exchange"}
ANON = {"grant": "anonymous", "token_url": ANONYMOUS, "scope_prefix": "https://api.ai.egain.cloud/auth/"}

SCOPES: list[tuple[dict[str, Any], str, str | None]] = [
    (APP, "app.knowledge.portalmgr.read", None),
    (APP, "https://api.egain.cloud/auth/.default", None),
    (APP, "openid", None),
    (APP, "knowledge.portalmgr.manage", "the token will carry no user"),
    (APP, "core.aiservices.read", "the token will carry no user"),
    (APP, "https://api.egain.cloud/auth/core.aiservices.read", "the token will carry no user"),
    (APP, "knowledge.portalmgr.onbehalfof.read", "works with grant: on_behalf_of only"),
    (OBO, "knowledge.portalmgr.onbehalfof.read", None),
    (OBO, "knowledge.portalmgr.read", "not an .onbehalfof. scope"),
    (OBO, "app.knowledge.portalmgr.read", "an app. scope with a user's token"),
    (EXCHANGE, "knowledge.portalmgr.read", None),
    (EXCHANGE, "app.knowledge.portalmgr.read", "an app. scope with a user's token"),
    (EXCHANGE, "knowledge.portalmgr.onbehalfof.read", "works with grant: on_behalf_of only"),
    (ANON, "knowledge.portalmgr.read", None),
    (ANON, "knowledge.portalmgr.onbehalfof.read", "works with grant: on_behalf_of only"),
    (ANON, "app.knowledge.portalmgr.read", "an app. scope with a user's token"),
    (
        ANON,
        "https://api.ai.egain.cloud/auth/app.knowledge.portalmgr.read",
        "an app. scope with a user's token",
    ),
    ({**ANON, "scope_prefix": ""}, "app.knowledge.portalmgr.read", "an app. scope with a user's token"),
    ({**ANON, "scope_prefix": ""}, "knowledge.portalmgr.read", "needs a prefix"),
    ({**ANON, "scope_prefix": ""}, "https://api.ai.egain.cloud/auth/knowledge.portalmgr.read", None),
]


@pytest.mark.parametrize(
    ("credential", "scope", "said"), SCOPES, ids=[f"{c['grant']} {s}" for c, s, _ in SCOPES]
)
def test_a_scope_that_does_not_fit_its_flow_is_warned_of(
    credential: dict[str, Any], scope: str, said: str | None
) -> None:
    """The guide's rules of flows and scopes, each at the scope itself."""
    messages = found(credential, [scope])
    if said is None:
        assert messages == []
    else:
        ((key, message),) = messages
        assert key == SCOPE
        assert said in message


SUBJECTS = [
    (USERS, "username", {}, None),
    (USERS, "userid", {}, "faster by name"),
    (USERS, "email", {}, "name a user by username"),
    (CUSTOMERS, "email", {}, None),
    (CUSTOMERS, "username", {}, "name a customer by email"),
    (CUSTOMERS, "userid", {}, "name a customer by email"),
    (COMMERCIAL, "username", {"user_type": "user"}, None),
    (COMMERCIAL, "username", {"user_type": "customer"}, "name a customer by email"),
    ("https://idp.example/token", "email", {}, None),
]


@pytest.mark.parametrize(("url", "kind", "query", "said"), SUBJECTS)
def test_a_subject_of_the_wrong_kind_for_its_token_url_is_warned_of(
    url: str, kind: str, query: dict[str, str], said: str | None
) -> None:
    """Users are named by username (or the slower userid), customers by email."""
    messages = found(
        {
            "grant": "on_behalf_of",
            "token_url": url,
            "token_query": query,
            "subject": {kind: {"header": "X-User"}},
        }
    )
    if said is None:
        assert messages == []
    else:
        ((key, message),) = messages
        assert key == f"credentials.c.subject.{kind}"
        assert said in message


def test_a_token_url_on_the_api_host_is_warned_of() -> None:
    """Tokens come from ai.egain.cloud; the anonymous endpoint is the API host's own."""
    ((key, message),) = found({**APP, "token_url": "https://api.ai.egain.cloud/system/auth/T-U/oauth2/token"})
    assert key == "credentials.c.token_url"
    assert "https://ai.egain.cloud" in message


def test_an_upstream_on_the_token_host_is_warned_of() -> None:
    """The API is at api.ai.egain.cloud."""
    ((key, message),) = found(APP, upstream={"url": "https://ai.egain.cloud"})
    assert key == "upstream.url"
    assert "https://api.ai.egain.cloud" in message


def test_a_listener_for_everybody_is_warned_of() -> None:
    """allow_remote makes it possible, not safe."""
    ((key, _),) = found(APP, listen="0.0.0.0:8080", allow_remote=True)
    assert key == "listen"


def test_other_clouds_and_servers_are_not_judged() -> None:
    """Hosts that are not eGain's may do both."""
    assert found({**APP, "token_url": "http://127.0.0.1:1/t"}, upstream={"url": "http://127.0.0.1:1"}) == []


def test_a_route_that_can_never_match_is_warned_of() -> None:
    """It names the routes that cover it."""
    paths = ["/x/**", "/x", "/x/", "/x/{a}/**"]
    routes = [{"path": path, "credential": "c"} for path in paths]
    ((key, message),) = found(APP, routes=routes)
    assert key == "routes[0].path"
    assert "/x, /x/, /x/{a}/** cover every such path" in message


SHADOWS = [
    (["/x/**", "/x", "/x/", "/x/{a}/**"], ["/x/**"]),
    (["/x/**", "/x", "/x/", "/x/{a}", "/x/{a}/", "/x/{a}/{b}/**"], ["/x/**"]),
    (["/{p}/**", "/{q}", "/{q}/", "/{r}/{a}/**"], ["/{p}/**"]),
    (["/**", "/", "/{a}/**"], ["/**"]),
    (["/x/**", "/x/", "/x/{a}/**"], []),
    (["/x/**", "/x", "/x/{a}/**"], []),
    (["/x/**", "/x", "/x/", "/x/{a}"], []),
    (["/x/**", "/x", "/x/", "/{p}/{a}/**"], []),
    (["/x/**", "/x", "/x/", "/x/y/**"], []),
    (["/**", "/{a}/**"], []),
    (["/{a}", "/x", "/y"], []),
]


@pytest.mark.parametrize(("patterns", "never"), SHADOWS)
@pytest.mark.parametrize("order", ["as written", "reversed"])
def test_only_patterns_that_lose_every_path_are_shadowed(
    patterns: list[str], never: list[str], order: str
) -> None:
    """A path left to a pattern keeps it alive; the order never matters."""
    listed = patterns if order == "as written" else patterns[::-1]
    assert [listed[index] for index, _ in shadowed(listed)] == never


@pytest.mark.parametrize(("patterns", "never"), SHADOWS)
def test_the_route_table_agrees_about_shadowed_patterns(patterns: list[str], never: list[str]) -> None:
    """Sample paths of every shape reach each pattern that is not shadowed, and none that is."""
    from sidecar.routing.routes import RouteTable

    table = RouteTable((pattern, None, pattern) for pattern in patterns)
    paths = {"/"}
    for _ in range(4):
        paths |= {f"{path.rstrip('/')}/{part}" for path in paths for part in ("x", "y", "zz", "")}
    hit = {methods.find("GET") for path in paths if "//" not in path and (methods := table.find(path))}
    assert hit == set(patterns) - set(never)


def test_a_method_that_no_request_can_have_is_warned_of() -> None:
    """The parser of callers' requests knows a list of methods, WebDAV's among them, and refuses others."""
    routes = [{"path": "/x", "credential": "none", "methods": ["GET", "FOO", "PROPFIND", "QUERY"]}]
    ((key, message),) = found(APP, routes=routes)
    assert key == "routes[0].methods[1]"
    assert "can never match" in message
