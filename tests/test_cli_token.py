"""`auth-sidecar token`: one token, obtained once, against the stand-in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import jwt
import pytest
from click.testing import Result

from sidecar.demo.standin import StandIn
from tests.commands import call_beside, every_grant, write


class Scene:
    """A stand-in and a configuration for it."""

    def __init__(self, egain: StandIn, folder: Path) -> None:
        self.egain, self.folder = egain, folder
        self.path = write(folder, every_grant(egain, folder))

    async def token(self, *arguments: str, stdin: str | None = None) -> Result:
        result = await call_beside("token", self.path, *arguments, stdin=stdin)
        said = result.stdout + result.stderr
        assert self.egain.client_secret not in said
        if "--show" not in arguments:
            assert not any(r.access_token in said for r in self.egain.token_requests if r.access_token)
        return result


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    async with StandIn(lifetime=3600) as egain:
        yield Scene(egain, tmp_path)


ASKED = [
    ("app", [], None, "app", ["app.knowledge.portalmgr.read"]),
    ("anonymous", [], None, "anonymous", ["knowledge.portalmgr.read"]),
    ("fixed", [], None, "obo_user", ["knowledge.portalmgr.onbehalfof.read"]),
    ("agent", ["--subject", "bob"], None, "obo_user", ["knowledge.portalmgr.onbehalfof.read"]),
    ("agent", ["--subject", "-"], "bob\r\n", "obo_user", ["knowledge.portalmgr.onbehalfof.read"]),
]


@pytest.mark.parametrize(
    ("name", "more", "stdin", "persona", "scopes"), ASKED, ids=[f"{a[0]} {a[2]!r}" for a in ASKED]
)
async def test_token_of_each_grant(
    scene: Scene, name: str, more: list[str], stdin: str | None, persona: str, scopes: list[str]
) -> None:
    """The documented JSON; scopes are those of the credential's routes, without the prefix."""
    result = await scene.token(name, "--json", *more, stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found.keys() == {"credential", "lifetime", "scopes", "claims"}
    assert (found["credential"], found["lifetime"], found["scopes"]) == (name, 3600, scopes)
    assert found["claims"]["persona"] == persona
    assert len(scene.egain.token_requests) == 1
    if stdin is not None:
        assert found["claims"]["sub"] == "bob"


async def test_exchange_reads_the_callers_token_from_stdin(scene: Scene) -> None:
    """It lives no longer than that token; `Bearer` before it is tolerated."""
    subject = scene.egain.idp_token("alice@example.com", lifetime=100)
    result = await scene.token("okta", "--json", "--subject", "-", stdin=f"Bearer {subject}\n")
    found = json.loads(result.stdout)
    assert found["claims"]["sub"] == "alice"
    assert 90 < found["lifetime"] <= 100
    assert subject not in result.stdout + result.stderr


async def test_exchange_warns_of_a_token_among_the_arguments(scene: Scene) -> None:
    """Others on the machine could read it."""
    result = await scene.token("okta", "--subject", scene.egain.idp_token("alice@example.com"))
    assert result.exit_code == 0
    assert "--subject -" in result.stderr


async def test_for_people_times_scopes_and_claims_but_no_token(scene: Scene) -> None:
    """Claims are said not to be verified; the refresh times are the sidecar's own."""
    text = (await scene.token("app")).stdout
    assert "lifetime    1h\n" in text
    assert "refreshed 27m to 30m after it was asked for, never sent after 59m 30s" in text
    assert "not verified" in text
    assert "persona: app" in text


async def test_show_prints_the_token_on_a_line_of_its_own(scene: Scene) -> None:
    """And as access_token with --json."""
    line = (await scene.token("app", "--show")).stdout.splitlines()[-1]
    assert line == scene.egain.token_requests[-1].access_token
    found = json.loads((await scene.token("app", "--show", "--json")).stdout)
    assert found["access_token"] == scene.egain.token_requests[-1].access_token


async def test_scopes_can_be_chosen(scene: Scene) -> None:
    """Several, each once."""
    chosen = ["app.knowledge.portalmgr.manage", "app.core.aiservices.read"]
    result = await scene.token("app", "--json", *(w for s in [*chosen, chosen[0]] for w in ("--scope", s)))
    assert json.loads(result.stdout)["scopes"] == sorted(chosen)


async def test_scopes_that_were_not_granted_are_named(scene: Scene) -> None:
    """The server gave less than was asked for."""
    scene.egain.faults.token.on(scope="app.other")
    text = (await scene.token("app")).stdout
    assert "not granted  app.knowledge.portalmgr.read" in text


async def test_opaque_token_has_no_claims(scene: Scene) -> None:
    """null in JSON."""
    scene.egain.faults.token.on(set={"access_token": "opaque-and-short"})
    assert json.loads((await scene.token("app", "--json")).stdout)["claims"] is None
    assert "opaque: not a JWT" in (await scene.token("app")).stdout


async def test_claims_cannot_write_on_the_terminal(scene: Scene) -> None:
    """They come from the network."""
    hostile = jwt.encode({"sub": "a\x1b[2J\nb"}, "k" * 32, algorithm="HS256")
    scene.egain.faults.token.on(set={"access_token": hostile})
    text = (await scene.token("app")).stdout
    assert "\x1b" not in text
    assert "sub: a\\x1b[2J\\nb" in text


WRONG = [
    (["ap"], "did you mean app?"),
    (["agent"], "--subject USERNAME"),
    (["okta"], "--subject - and the subject token on stdin"),
    (["app", "--subject", "bob"], "leave --subject out"),
    (["fixed", "--subject", "bob"], "leave --subject out"),
    (["agent", "--subject", "a b"], "not visible"),
    (["agent", "--subject", ""], "empty"),
    (["okta", "--subject", "a,b"], "malformed"),
    (["app", "--scope", "a b"], "--scope once for each"),
    (["app", "--scope", ""], "--scope"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
async def test_wrong_argument_is_exit_2_and_nothing_is_sent(
    scene: Scene, arguments: list[str], said: str
) -> None:
    """With a hint at what is right."""
    result = await scene.token(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in " ".join(result.stderr.split())
    assert not scene.egain.token_requests


async def test_refusal_is_exit_1_with_reason_and_remedy(scene: Scene) -> None:
    """One line on stderr, nothing on stdout, also with --json."""
    for flags in ([], ["--json"]):
        result = await scene.token("app", "--scope", "no.such", *flags)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert "invalid_scope" in line
        assert "Permissions tab" in line
        assert "requested: no.such" in line


async def test_wrong_secret_names_its_file(scene: Scene) -> None:
    """Where it is, never what it is."""
    (scene.folder / "client-secret").write_text("SECRET-IN-FILE")
    result = await scene.token("app")
    assert result.exit_code == 1
    assert f"its secret is in file {scene.folder / 'client-secret'}" in result.stderr
    assert "SECRET-IN-FILE" not in result.stderr


async def test_unknown_subject_is_named_neither_by_us_nor_by_the_server(scene: Scene) -> None:
    """A server that quotes the subject is not believed to do so harmlessly."""
    scene.egain.faults.token.on(
        kind="status", status=400,
        body='{"error": "invalid_grant", "error_description": "no user zoe.quinn"}',
    )  # fmt: skip
    result = await scene.token("agent", "--subject", "zoe.quinn")
    assert result.exit_code == 1
    assert "invalid_grant" in result.stderr
    assert "zoe.quinn" not in result.stderr


async def test_server_that_is_down_is_exit_1(tmp_path: Path) -> None:
    """With what to look at."""
    async with StandIn() as egain:
        mapping = every_grant(egain, tmp_path)
    result = await call_beside("token", write(tmp_path, mapping), "app")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "tokens.proxy" in result.stderr


async def test_subject_that_callers_may_not_name_is_warned_of(scene: Scene) -> None:
    """The operator can try it all the same."""
    mapping = every_grant(scene.egain, scene.folder)
    mapping["credentials"]["agent"]["allow_subjects"] = ["a*"]
    write(scene.folder, mapping)
    result = await scene.token("agent", "--subject", "bob")
    assert result.exit_code == 0
    assert "subject_not_allowed" in result.stderr
