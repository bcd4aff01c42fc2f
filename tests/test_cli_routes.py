"""`auth-sidecar routes`: arguments, files, complaints, exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import yaml

from tests.commands import call
from tests.specs import OURS

PORTAL, CONTENT, SERVICES = OURS
BOTH = ("--credential", "agent=obo_user", "--credential", "app=app")


def test_map_goes_to_stdout_and_nothing_else_does() -> None:
    """So that it can be piped."""
    made = call("routes", *BOTH, PORTAL)
    assert (made.exit_code, made.stderr) == (0, "")
    routes = yaml.safe_load(made.stdout)
    assert {route["credential"] for route in routes} == {"agent", "app"}
    assert len(routes) == 25


def test_map_goes_to_a_file_as_a_whole(tmp_path: Path) -> None:
    """What was there is replaced at once, a link is followed, nothing is left beside it."""
    (tmp_path / "real.yaml").write_text("old")
    (tmp_path / "map.yaml").symlink_to(tmp_path / "real.yaml")
    made = call("routes", *BOTH, "--out", tmp_path / "map.yaml", *OURS)
    assert made.exit_code == 0
    assert made.stdout.startswith(f"{tmp_path}/map.yaml: 31 routes; 2 operations without one")
    assert made.stdout.rstrip().endswith("1 internal operation left out")
    assert (tmp_path / "real.yaml").read_text() == call("routes", *BOTH, *OURS).stdout
    assert sorted(one.name for one in tmp_path.iterdir()) == ["map.yaml", "real.yaml"]


def test_mode_of_a_file_stays_when_it_is_replaced(tmp_path: Path) -> None:
    """Whoever could not read the old map cannot read the new one."""
    out = tmp_path / "map.yaml"
    out.touch(mode=0o600)
    assert call("routes", *BOTH, "--out", out, PORTAL).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    assert out.read_text() == call("routes", *BOTH, PORTAL).stdout


def test_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    """As `/dev/stdout` and `/dev/null` do."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert call("routes", *BOTH, "--out", pipe, PORTAL).exit_code == 0
        assert pipe.is_fifo()
        assert os.read(reader, 1 << 16).decode() == call("routes", *BOTH, PORTAL).stdout
    finally:
        os.close(reader)


def test_document_is_never_overwritten_by_its_map(tmp_path: Path) -> None:
    """Whatever name it is given by."""
    document = tmp_path / "portal.yaml"
    document.write_bytes(PORTAL.read_bytes())
    (tmp_path / "link.yaml").symlink_to(document)
    result = call("routes", *BOTH, "--out", tmp_path / "link.yaml", CONTENT, document)
    assert result.exit_code == 2
    assert "is one of the documents" in result.stderr
    assert document.read_bytes() == PORTAL.read_bytes()


def test_second_credential_of_a_persona_is_said_to_get_no_route() -> None:
    """The first one has them all."""
    result = call("routes", *BOTH, "--credential", "other=app", PORTAL)
    assert result.exit_code == 0
    assert result.stderr == "auth-sidecar: --credential other=app: gets no route, app comes first\n"


def test_no_folder_of_this_machine_gets_into_the_map() -> None:
    """It is committed, and read elsewhere."""
    assert str(PORTAL.parent) not in call("routes", *BOTH, *OURS).stdout
    assert "# source: portal.yaml | Portals | version 4.1 | sha256 " in call("routes", *BOTH, PORTAL).stdout


def test_options_change_the_choice() -> None:
    """--prefer, --include-internal, --base-path, --default-scope."""
    app = {
        one["credential"]: one
        for one in yaml.safe_load(call("routes", *BOTH, "--prefer", "app", CONTENT).stdout)
    }
    assert app.keys() == {"app"}
    assert "getStatistics" in call("routes", *BOTH, "--include-internal", PORTAL).stdout
    made = yaml.safe_load(call("routes", *BOTH, "--base-path", "/x/y", "--default-scope", CONTENT).stdout)
    assert {one["path"].split("/")[1] for one in made} == {"x"}
    assert {one["scopes"][0] for one in made} == {".default"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'SPEC...'"),
        ([PORTAL], "no --credential is given"),
        (["--credential", "app", PORTAL], "is no persona"),
        (["--credential", "app=king", PORTAL], "'king' is no persona; there are user, customer"),
        (["--credential", "a b=app", PORTAL], "write NAME=PERSONA"),
        (["--credential", "none=app", PORTAL], "write NAME=PERSONA"),
        (["--credential", "a=app", "--credential", "a=user", PORTAL], "given twice"),
        ([*BOTH, "--prefer", "queen", PORTAL], "'queen' is no persona"),
        ([*BOTH, "--base-path", "x y", PORTAL], "write a path"),
        ([*BOTH, "--base-path", "/a/../b", PORTAL], "has a . or .. segment"),
        ([*BOTH, "--base-path", "/a%2Fb", PORTAL], "has an encoded slash"),
        ([*BOTH, "--out", "x", "--diff", "y", PORTAL], "leave --out out"),
    ],
)
def test_wrong_arguments_exit_2(arguments: list[object], said: str) -> None:
    """With what to write instead."""
    result = call("routes", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr


def test_every_wrong_document_is_complained_of_at_once(tmp_path: Path) -> None:
    """FILE:LINE, as for a configuration; nothing is written."""
    bomb = tmp_path / "bomb.yaml"
    bomb.write_text("a: &a [x, x]\n" + "".join(f"b{n}: &a [{', '.join(['*a'] * 99)}]\n" for n in range(9)))
    swagger = tmp_path / "swagger.json"
    swagger.write_text('{"swagger": "2.0"}')
    remote = tmp_path / "remote.yaml"
    remote.write_text("openapi: 3.0.0\npaths:\n  /a:\n    $ref: https://evil.example/x\n")
    out = tmp_path / "map.yaml"
    result = call("routes", *BOTH, "--out", out, bomb, swagger, remote, tmp_path / "missing", tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert not out.exists()
    assert sorted(
        line.removeprefix(f"{tmp_path}/").partition(";")[0] for line in result.stderr.splitlines()
    ) == [
        f"{tmp_path}:1: (file): is a directory",
        "bomb.yaml:5: (file): is too much (aliases count in full)",
        "missing:1: (file): does not exist",
        "remote.yaml:4: (file): $ref https://evil.example/x leads out of the document",
        "swagger.json:1: (file): is no OpenAPI 3 document (openapi: 3...)",
    ]


def test_endless_file_is_refused() -> None:
    """Only as much is read as a document may have."""
    result = call("routes", *BOTH, "/dev/zero")
    assert result.exit_code == 2
    assert "larger than 8 MiB" in result.stderr


def test_file_that_cannot_be_written_exits_2(tmp_path: Path) -> None:
    """With the system's reason."""
    result = call("routes", *BOTH, "--out", tmp_path / "no" / "map.yaml", PORTAL)
    assert result.exit_code == 2
    assert "cannot be written (No such file or directory)" in result.stderr


def test_doubts_are_warnings_on_stderr(tmp_path: Path) -> None:
    """An unknown scheme once, a key given twice, a document without operations, a preference without a credential."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "openapi: 3.0.0\nsecurity: [{oAuthAdminUser: [x]}]\npaths:\n  /a:\n    get: {}\n    get: {}\n    put: {}\n"
    )
    empty = tmp_path / "empty.yaml"
    empty.write_text("openapi: 3.0.0\n")
    result = call("routes", *BOTH, "--prefer", "user", spec, empty)
    assert result.exit_code == 0
    assert [line.replace(f"{tmp_path}/", "") for line in result.stderr.splitlines()] == [
        "auth-sidecar: --prefer user: no --credential has this persona",
        "spec.yaml:6: warning: (file): get is given twice in one mapping; the last one counts",
        "spec.yaml:6: warning: (file): no persona is known for the security scheme oAuthAdminUser",
        "empty.yaml:1: warning: (file): has no operations",
    ]


def test_name_of_a_file_cannot_begin_a_line(tmp_path: Path) -> None:
    """It stands in the map's header."""
    evil = tmp_path / "x\n- {path: #evil, credential: app}\n.yaml"
    evil.write_text(PORTAL.read_text())
    assert len(yaml.safe_load(call("routes", *BOTH, evil).stdout)) == 25


def test_many_doubts_are_a_few_lines(tmp_path: Path) -> None:
    """And their number."""
    spec = tmp_path / "spec.yaml"
    spec.write_text("openapi: 3.0.0\npaths: {/a: {get: {security: []}}}\n" + "x-a: b\n" * 1000)
    said = call("routes", *BOTH, spec).stderr.splitlines()
    assert len(said) == 21
    assert said[-1].endswith("and 979 more such doubts")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    path = tmp_path / "map.yaml"
    assert call("routes", *BOTH, "--out", path, *OURS).exit_code == 0
    return path


def test_diff_without_a_difference_says_nothing(made: Path) -> None:
    """Exit 0, by the options that the file was made with."""
    result = call("routes", "--diff", made, *OURS)
    assert (result.exit_code, result.output) == (0, "")


def test_diff_says_what_a_newer_document_changes(made: Path, tmp_path: Path) -> None:
    """added, removed and changed, each with method, path and operationId; exit 1."""
    newer = tmp_path / "portal.yaml"
    text = PORTAL.read_text().replace("/myportals:", "/ourportals:")
    newer.write_text(
        text.replace("getUserDetails, security: *users_read", "getUserDetails, security: *users_manage")
    )
    result = call("routes", "--diff", made, newer, CONTENT, SERVICES)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "removed GET /knowledge/portalmgr/v4/myportals (getMyPortals)",
        "added GET /knowledge/portalmgr/v4/ourportals (getMyPortals)",
        "changed GET /knowledge/portalmgr/v4/portals/user (getUserDetails)",
    ]


def test_options_override_what_the_file_was_made_with(made: Path) -> None:
    """Another credential is a change to everything it calls."""
    result = call("routes", "--diff", made, "--include-internal", *OURS)
    assert (
        result.stdout == "added GET /knowledge/portalmgr/v4/portals/{portalID}/statistics (getStatistics)\n"
    )
    result = call(
        "routes", "--diff", made, "--credential", "agent=obo_user", "--credential", "robot=app", *OURS
    )
    assert result.exit_code == 1
    assert all(line.startswith("changed ") for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: (file): is empty"), ("a: b\n", ":1: (file): is no list of routes"),
        ("- {path: /a, credential: app}\n", "does not say what it was made with; give --credential"),
        ("- path: [\n", "is not valid YAML"),
    ],
)  # fmt: skip
def test_diff_of_something_else_exits_2(text: str, said: str, tmp_path: Path) -> None:
    """With file and line."""
    path = tmp_path / "map.yaml"
    path.write_text(text)
    result = call("routes", "--diff", path, PORTAL)
    assert result.exit_code == 2
    assert said in result.stderr
    assert call("routes", "--diff", tmp_path / "missing", PORTAL).exit_code == 2


def test_bar_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For long documents; the map on stdout is the same."""
    long = tmp_path / "portal.yaml"
    long.write_text(PORTAL.read_text() + "x-long: |\n" + "  text\n" * 20_000)
    plain = call("routes", *BOTH, long)
    assert plain.stderr == ""
    from sidecar.cli import spec

    reader, writer = os.openpty()
    with os.fdopen(writer, "w") as terminal, os.fdopen(reader, "rb") as screen:
        os.set_blocking(screen.fileno(), False)  # no bar is an error, not a test that waits
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        spec.documents([long], None)
        terminal.flush()
        assert b"reading" in os.read(screen.fileno(), 4096)
