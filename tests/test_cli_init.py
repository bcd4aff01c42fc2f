"""`auth-sidecar init`: from options, from questions, from metadata, to a configuration that `check` takes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from sidecar.cli.metadata import MetadataError, metadata, recognised
from sidecar.config.loading import Loaded, load
from tests.commands import call, call_beside
from tests.specs import OURS

TENANT = "TMPRODB88619984"
METADATA = {
    "tenant": {"domainURL": "https://ai.egain.cloud", "apiDomain": "https://api.ai.egain.cloud"},
    "apiPermissionPrefix": "https://api.ai.egain.cloud/auth/",
    "urls": [
        {"accessTokenURL": f"https://ai.egain.cloud/system/auth/{TENANT}-U/oauth2/token"},
        {"accessTokenURL": f"https://ai.egain.cloud/system/auth/{TENANT}-C/oauth2/token"},
        {"authorizationURL": f"https://ai.egain.cloud/system/auth/{TENANT}-U/oauth2/authorize"},
    ],
    "oddities": ["https://x/${HOME}/-U/oauth2/token", "https://[", 5, None, "x\ny"],
}
COMMERCIAL = {
    "apiPermissionPrefix": "https://api.egain.cloud/auth/",
    "app": "https://login.egain.cloud/global/G1/oauth2/v2.0/token",
    "obo": "https://api-emea.egain.cloud/core/authmgr/v4/oauth2/v2.0/onbehalfof/token?user_type=user",
    "oboCustomer": "https://api-emea.egain.cloud/core/authmgr/v4/oauth2/v2.0/onbehalfof/token?user_type=customer",
    "anonymous": "https://login.egain.cloud/internal/oauth2/v2.0/anonymous/token?user_type=customer",
}
ALL = "obo_user,app,anonymous,obo_customer,user"
REST = ("--registration-id", "okta", "--gateway", "G1", "--policy", "P1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "secret").write_text("not-a-secret\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def started(folder: Path, *arguments: object, **more: Any) -> Loaded:
    """Run it, and load what it wrote as `check --strict` would."""
    result = call("init", *arguments, "--secret-file", "secret", "--out", folder / "conf", *OURS, **more)
    assert result.exit_code == 0, result.output
    found = load(folder / "conf" / "sidecar.yaml", {"EGAIN_CLIENT_ID": "x"})
    assert found.warnings == ()
    assert "not-a-secret" not in result.output + (folder / "conf" / "sidecar.yaml").read_text()
    return found


@pytest.mark.parametrize("cloud", ["ai", "commercial"])
def test_options_alone_make_a_configuration_that_passes_check_strict(cloud: str, folder: Path) -> None:
    """All personas, either cloud; every credential with a token URL of its own."""
    found = started(
        folder, "--cloud", cloud, "--tenant", TENANT, "--personas", ALL, "--client-id", "x", *REST
    ).config
    assert list(found.credentials) == ["agent", "app", "anonymous", "shopper", "exchanged"]
    assert {route.credential for route in found.routes} <= set(found.credentials)
    scopes = {scope for route in found.routes if route.credential == "app" for scope in route.scopes}
    assert (scopes == {".default"}) == (cloud == "commercial")
    prefixes = {name: one.scope_prefix for name, one in found.credentials.items() if one.scope_prefix}
    assert prefixes.keys() == ({"anonymous"} if cloud == "ai" else set(found.credentials))


def test_questions_are_asked_for_what_is_not_given(folder: Path) -> None:
    """On stderr, with defaults; a wrong answer is asked for again."""
    answers = ["", "T 1", TENANT, "king", "app,anonymous", ""]
    found = started(folder, stdin="\n".join(answers) + "\n").config
    assert list(found.credentials) == ["app", "anonymous"]
    assert str(found.credentials["app"].token_url).endswith(f"{TENANT}-U/oauth2/token")
    assert found.client is not None
    assert found.client.id == "x", "the default is the environment's EGAIN_CLIENT_ID"


def test_documents_are_asked_for_again_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is wrong costs no other answer; ~ and quotes are as in a shell."""
    monkeypatch.setenv("HOME", str(folder))
    (folder / "my api.yaml").write_bytes(OURS[0].read_bytes())
    answers = ["ai", TENANT, "app", "x", "~/secret", "missing.yaml", "'my api.yaml", ".", "'~/my api.yaml'"]
    result = call("init", "--out", "conf", stdin="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.output
    assert "there is no file 'missing.yaml'" in result.stderr
    assert "a quotation mark is not closed" in result.stderr
    assert "still to be put right" not in result.stdout
    assert load(folder / "conf" / "sidecar.yaml").config.routes


def test_secret_may_be_in_the_environment(folder: Path) -> None:
    """Named, never read."""
    result = call(
        "init", "--cloud", "ai", "--tenant", TENANT, "--personas", "app", "--client-id", "x",
        "--secret-env", "NOT_SET_ANYWHERE", OURS[1],
    )  # fmt: skip
    assert result.exit_code == 0
    assert "secret: {env: NOT_SET_ANYWHERE}" in (folder / "sidecar.yaml").read_text()
    assert "still to be put right:" in result.stdout
    assert "environment variable NOT_SET_ANYWHERE is not set" in result.stdout


def test_nothing_is_overwritten_unasked(folder: Path) -> None:
    """A second run is refused before any question; --force does it."""
    options = ("--cloud", "ai", "--tenant", TENANT, "--personas", "app", "--client-id", "x")
    started(folder, *options)
    again = call("init", *options, "--out", folder / "conf", *OURS)
    assert again.exit_code == 2
    assert "is there already" in again.stderr
    started(folder, *options, "--force")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cloud", "mars"], "write ai or commercial"),
        (["--cloud", "ai", "--tenant", "a/b"], "letters, digits"),
        (["--cloud", "ai", "--tenant", "T", "--personas", "king"], "write some of app"),
        (["--cloud", "ai", "--tenant", "T", "--personas", "customer"], "write some of app"),
        (["--cloud", "ai"], "--tenant is missing, and there is nobody to ask"),
        (["--secret-file", "a", "--secret-env", "B"], "give --secret-file or --secret-env"),
        (["--metadata", "missing.json"], "cannot be read"),
        (["--metadata", "ftp://x/y"], "no https:// URL"),
        (["--metadata", "http://example.com/y"], "no https:// URL"),
        (["--api-host", "a/b", "--cloud", "ai", "--tenant", "T", "--personas", "app", "--client-id", "x",
          "--secret-env", "B"], "write a host name"),
        (["--cloud", "ai", "--tenant", "T", "--personas", "app", "--client-id", "x", "--secret-env", "A B"],
         "name of an environment variable"),
    ],
)  # fmt: skip
def test_wrong_options_exit_2(arguments: list[str], said: str, folder: Path) -> None:
    """With what to write instead; nothing is written."""
    result = call("init", *arguments, *OURS)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (folder / "sidecar.yaml").exists()


def test_wrong_document_leaves_no_configuration(folder: Path) -> None:
    """The map comes first."""
    (folder / "bad.yaml").write_text("a: [")
    options = (
        "--cloud",
        "ai",
        "--tenant",
        TENANT,
        "--personas",
        "app",
        "--client-id",
        "x",
        "--secret-file",
        "secret",
    )
    assert call("init", *options, "bad.yaml").exit_code == 2
    assert sorted(one.name for one in folder.iterdir()) == ["bad.yaml", "secret"], "not even a folder"


def test_metadata_file_answers_questions(folder: Path) -> None:
    """Tenant, token URLs and API host are taken from it; what would be replaced from the environment is not."""
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    options = ("--metadata", "metadata.json", "--cloud", "ai", "--personas", "app,obo_customer,anonymous")
    found = started(folder, *options, "--client-id", "x").config
    assert str(found.upstream.url) == "https://api.ai.egain.cloud"
    assert str(found.credentials["shopper"].token_url).endswith(f"{TENANT}-C/oauth2/token")
    assert found.credentials["anonymous"].token_query["domain_hint"] == TENANT


def test_metadata_of_the_commercial_cloud_is_recognised() -> None:
    """By paths and query; the token query is written by itself."""
    found = recognised(COMMERCIAL)
    assert found.scope_prefix == "https://api.egain.cloud/auth/"
    assert recognised({"tenantPrefix": "TMPROD"}).scope_prefix is None
    assert found.api_host == "api-emea.egain.cloud"
    assert {persona: url.split("/")[2] for persona, url in found.token_urls.items()} == {
        "app": "login.egain.cloud",
        "obo_user": "api-emea.egain.cloud",
        "obo_customer": "api-emea.egain.cloud",
        "anonymous": "login.egain.cloud",
    }
    assert not any("?" in url for url in found.token_urls.values())


@pytest.mark.parametrize("raw", [b"<html>", b"[" * 100_000, b" " * (2 << 20), b"\xff"])
def test_what_is_no_metadata_is_said(raw: bytes, tmp_path: Path) -> None:
    """HTML, nonsense, too much of it."""
    path = tmp_path / "metadata.json"
    path.write_bytes(raw)
    with pytest.raises(MetadataError):
        metadata(str(path))


@pytest.fixture
async def server() -> AsyncIterator[str]:
    """Metadata on /metadata, a redirect on /moved."""

    async def serve(request: web.Request) -> web.Response:
        if request.path == "/moved":
            raise web.HTTPFound("/metadata")
        return web.json_response(METADATA)

    app = web.Application()
    app.router.add_get("/{tail:.*}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_metadata_is_fetched_and_no_redirect_followed(server: str, folder: Path) -> None:
    """From the tenant's URL; what it leads to elsewhere is nobody's metadata."""
    options = ("--cloud", "ai", "--personas", "app", "--client-id", "x", "--secret-file", "secret", OURS[1])
    result = await call_beside("init", "--metadata", f"{server}/metadata", *options)
    assert result.exit_code == 0, result.output
    assert TENANT in (folder / "sidecar.yaml").read_text()
    moved = await call_beside("init", "--metadata", f"{server}/moved", "--force", *options)
    assert moved.exit_code == 2
    assert "status 302" in moved.stderr
    gone = await call_beside("init", "--metadata", "http://127.0.0.1:1/", "--force", *options)
    assert "cannot be fetched" in gone.stderr
