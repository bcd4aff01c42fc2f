"""The demo's configuration and command lines work against the stand-in."""

from __future__ import annotations

import re
import shlex
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
import yaml
from yarl import URL

from sidecar.config.loading import load
from sidecar.demo.config import CREDENTIALS, SECRET_FILE, SESSION_KEY_FILE, demo_config, write_config
from sidecar.demo.directory import CLIENT_SECRET
from sidecar.demo.hints import curl_lines, hints
from sidecar.demo.standin import StandIn
from tests.form_browser import SignInPages

CONFIG = Path(__file__).parent.parent / "config"
PERSONA = {
    "app": "app",
    "anonymous": "anonymous",
    "agent": "obo_user",
    "shopper": "obo_customer",
    "okta": "user",
}


async def test_file_and_mapping_agree(egain: StandIn) -> None:
    """config/demo.yaml says what demo_config() says."""
    text = (CONFIG / "demo.yaml").read_text().replace("${DEMO_BASE:-http://127.0.0.1:9000}", egain.base)
    assert yaml.safe_load(text) == demo_config(egain, port=8080, admin_port=8081)


def test_file_loads_as_it_is_without_a_warning() -> None:
    """As anybody would use it: no environment variable is needed, and the fake secret is beside it."""
    loaded = load(CONFIG / "demo.yaml", {})
    assert loaded.warnings == ()
    assert (loaded.config.upstream.url.host, loaded.config.upstream.url.port) == ("127.0.0.1", 9000)
    assert (CONFIG / SECRET_FILE).read_text() == CLIENT_SECRET + "\n"


async def test_written_configuration_loads_without_a_warning(egain: StandIn, tmp_path: Path) -> None:
    """What the demo writes into its temporary directory; the grants are all there."""
    loaded = load(write_config(tmp_path, demo_config(egain), egain.client_secret), {})
    assert loaded.warnings == ()
    assert tuple(loaded.config.credentials) == CREDENTIALS
    assert {one.grant for one in loaded.config.credentials.values()} == {
        "client_credentials", "anonymous", "on_behalf_of", "token_exchange", "authorization_code",
    }  # fmt: skip
    assert {route.credential for route in loaded.config.routes} == {*CREDENTIALS, "none"}


async def test_every_demo_has_a_session_key_of_its_own(egain: StandIn, tmp_path: Path) -> None:
    """Only the checked-in one is known to everybody."""
    keys = set()
    for _ in range(2):
        write_config(tmp_path, demo_config(egain), egain.client_secret)
        keys.add((tmp_path / SESSION_KEY_FILE).read_text())
    assert len(keys) == 2


async def token_for(
    egain: StandIn,
    http: aiohttp.ClientSession,
    credential: dict[str, Any],
    route: dict[str, Any],
    sent: dict[str, str],
) -> str:
    """Get a token as the configuration says, in the plainest way."""
    if credential["grant"] == "authorization_code":
        return await person_token(egain, credential, route["scopes"])
    scope = " ".join(credential.get("scope_prefix", "") + one for one in route["scopes"])
    form = {"client_id": egain.client_id, "client_secret": egain.client_secret, "scope": scope}
    match credential["grant"]:
        case "client_credentials" | "anonymous":
            form["grant_type"] = "client_credentials"
        case "on_behalf_of":
            (kind,) = credential["subject"]
            form |= {"grant_type": "password", f"subject_{kind}": sent[credential["subject"][kind]["header"]]}
        case "token_exchange":
            form |= {
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token": sent["Authorization"].removeprefix("Bearer "),
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "registration_id": credential["registration_id"],
            }
    async with http.post(
        credential["token_url"], params=credential.get("token_query", {}), data=form
    ) as answer:
        told = await answer.json()
        assert answer.status == 200, told
        token: str = told["access_token"]
        return token


async def person_token(egain: StandIn, credential: dict[str, Any], scopes: list[str]) -> str:
    """The token of somebody who signs in as the credential says."""
    pages = SignInPages(egain, customer="-C/" in credential["token_url"], public="client" in credential)
    try:
        url = credential["redirect_url"]
        page = await pages.sign_in(scope=" ".join(scopes), redirect_uri=url)
        status, told = await pages.redeem(page.query["code"], redirect_uri=url)
        assert status == 200, told
        token: str = told["access_token"]
        return token
    finally:
        await pages.browser.http.close()


def route_of(config: dict[str, Any], path: str) -> dict[str, Any]:
    """The route with the most literal segments, as for these few paths is enough."""

    def fits(pattern: str) -> bool:
        parts, wanted = pattern.split("/"), path.split("/")
        return len(parts) == len(wanted) and all(
            a == b or a[:1] == "{" for a, b in zip(parts, wanted, strict=True)
        )

    fitting: list[dict[str, Any]] = [one for one in config["routes"] if fits(one["path"])]
    return min(fitting, key=lambda one: one["path"].count("{"))


async def test_every_curl_line_is_served_with_its_grants_token(egain: StandIn) -> None:
    """Five lines, one per way of getting a token; with the route's credential each of them is a 200."""
    config = demo_config(egain)
    served = []
    async with aiohttp.ClientSession() as http:
        for _, line in curl_lines(egain, egain.base):
            assert line.startswith("curl ")
            words = shlex.split(line)
            sent = dict(words[n + 1].split(": ", 1) for n, word in enumerate(words) if word == "-H")
            url = URL(words[-1], encoded=True)
            route = route_of(config, url.path)
            token = await token_for(egain, http, config["credentials"][route["credential"]], route, sent)
            async with http.get(url, headers=sent | {"Authorization": f"Bearer {token}"}) as answer:
                assert answer.status == 200, await answer.text()
                served.append((route["credential"], (await answer.json())["servedFor"]["persona"]))
    assert served == list(PERSONA.items())


async def test_every_route_of_the_demo_has_the_right_scopes(egain: StandIn) -> None:
    """Each route's credential and scopes are what the stand-in wants there: never 401 or 403."""
    config = demo_config(egain)
    subject = {"agent": "alice", "shopper": "jane@example.com"}
    ids = {
        "{portalID}": "PROD-1000",
        "{articleID}": "PROD-2996",
        "{bookmarkID}": "1",
        "{job_id}": "1",
        "{promptID}": "PROD-4001",
        "{code}": "200",
    }
    async with aiohttp.ClientSession() as http:
        for route in config["routes"]:
            name, path = route["credential"], route["path"]
            if name == "none":
                continue
            sent = {"X-On-Behalf-Of": subject.get(name, ""), "Accept-Language": "en"}
            sent["Authorization"] = f"Bearer {egain.idp_token('alice@example.com')}"
            token = await token_for(egain, http, config["credentials"][name], route, sent)
            for parameter, id in ids.items():
                path = path.replace(parameter, id)
            method = route.get("methods", ["GET"])[0]
            query = "?ms=1&bytes=1&chunks=1&count=1"
            async with http.request(
                method, egain.base + path + query, headers=sent | {"Authorization": f"Bearer {token}"}
            ) as answer:
                assert answer.status not in (401, 403, 405, 406), (route, await answer.text())
            assert egain.api_requests[-1].operation is not None, route


async def test_what_the_demo_says_has_five_curl_lines(egain: StandIn) -> None:
    """One line beginning with `curl ` per grant; the addresses; no client secret."""
    lines = list(hints(egain, "http://127.0.0.1:1", "http://127.0.0.1:2", 20))
    assert sum(line.startswith("curl ") for line in lines) == 5
    text = "\n".join(lines)
    assert "http://127.0.0.1:2/status" in text
    assert f"{egain.base}/demo/faults" in text
    assert egain.client_secret not in text


async def test_what_the_demo_says_names_where_people_sign_in(egain: StandIn) -> None:
    """One line: the page, somebody of each kind who is known there, and the password."""
    lines = list(hints(egain, "http://127.0.0.1:1", "http://127.0.0.1:2", 20))
    (line,) = (line for line in lines if "http://127.0.0.1:1/demo/page" in line)
    assert not line.startswith("curl ")
    names = [word for word in re.split(r"[ ;,]+", line) if word in ("alice", "jane@example.com")]
    password = line.rpartition(" ")[2]
    people = [
        egain.directory.sign_in("user", names[0], password),
        egain.directory.sign_in("customer", names[1], password),
    ]
    assert [person is not None for person in people] == [True, True]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_stand_in_serves_https_too(tls: bool) -> None:
    """With a certificate of one's own; the URLs say so."""
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with StandIn(ssl_context=server if tls else None) as egain, aiohttp.ClientSession() as http:
        assert egain.jwks_url.startswith("https://" if tls else "http://")
        async with http.get(egain.jwks_url, ssl=client) as answer:
            assert (await answer.json())["keys"][0]["kid"] == "egain"
