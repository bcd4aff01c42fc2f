"""The command line as a whole: help, typos, `check`, `schema`, exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest

from sidecar import __version__
from sidecar.cli.commands import cli
from sidecar.config.describe import json_schema
from tests.commands import call, write

ORDER = ["init", "routes", "check", "explain", "token", "doctor", "run", "login", "webhook", "demo", "schema"]
FINE: dict[str, Any] = {
    "upstream": {"url": "https://api.example"},
    "client": {"id": "x", "auth": "none"},
    "credentials": {"app": {"grant": "client_credentials", "token_url": "https://as.example/token"}},
    "routes": [{"path": "/a", "credential": "app", "scopes": ["app.x"]}],
}
DOUBTFUL = {**FINE, "routes": [{"path": "/a", "credential": "app", "scopes": ["knowledge.portalmgr.read"]}]}
WRONG = {"upstream": {"url": "ftp://x", "urll": "y"}, "listen": 8080}


def test_version() -> None:
    """Name and number, nothing else."""
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"auth-sidecar {__version__}\n")


def test_top_level_help_teaches_the_order_of_use() -> None:
    """check before explain before doctor before run; the list of commands is complete."""
    text = call("--help").stdout
    places = [text.index(f"auth-sidecar {name} ") for name in ("check", "explain", "doctor", "run")]
    assert places == sorted(places)
    listed = [line.split()[0] for line in text.partition("Commands:\n")[2].splitlines() if line.strip()]
    assert listed == ORDER


@pytest.mark.parametrize("name", ORDER)
def test_help_of_each_command_has_examples(name: str) -> None:
    """Lines that can be copied, each a valid call of that command."""
    text = call(name, "--help").stdout
    examples = [line.split() for line in text.splitlines() if line.startswith("    auth-sidecar ")]
    assert len(examples) >= (1 if name == "schema" else 2)
    assert all(words[1] == name for words in examples)
    options = {opt for p in cli.commands[name].params for opt in p.opts}
    assert {word for words in examples for word in words[2:] if word.startswith("--")} <= options


def test_help_fits_the_usual_terminal() -> None:
    """No example is wrapped or cut: 100 columns at most."""
    for name in ("", *ORDER):
        text = call(*([name] if name else []), "--help").stdout
        assert max(map(len, text.splitlines())) <= 100, name


@pytest.mark.parametrize(
    ("typed", "said"),
    [("explian", "did you mean explain?"), ("docter", "did you mean doctor?"), ("zzz", "there are init,")],
)
def test_typo_in_a_command_is_told_what_was_meant(typed: str, said: str) -> None:
    """Exit 2 and the nearest name."""
    result = call(typed, "x")
    assert result.exit_code == 2
    assert said in result.stderr


def test_schema_is_the_configurations() -> None:
    """As JSON on stdout."""
    result = call("schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == json_schema()


def test_check_of_a_fine_configuration_says_what_is_in_it(tmp_path: Path) -> None:
    """One line on stdout, nothing on stderr."""
    path = write(tmp_path, FINE)
    result = call("check", path)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{path} is fine: 1 route, 1 credential (app)\n"


def test_check_prints_every_problem_with_its_line(tmp_path: Path) -> None:
    """FILE:LINE: key: what is wrong; what to do - on stderr, exit 2."""
    path = write(tmp_path, WRONG)
    result = call("check", path)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [f"{path}:{n}" for n in (2, 3, 4)]
    assert [line.split(": ")[1] for line in lines] == ["upstream.url", "upstream.urll", "listen"]
    assert all("; " in line for line in lines)


@pytest.mark.parametrize(("flags", "status"), [([], 0), (["--strict"], 2)])
def test_check_prints_warnings_and_strict_counts_them(tmp_path: Path, flags: list[str], status: int) -> None:
    """`warning:` after the line number; exit 0, with --strict 2."""
    path = write(tmp_path, DOUBTFUL)
    result = call("check", *flags, path)
    assert result.exit_code == status
    assert result.stderr.startswith(f"{path}:14: warning: routes[0].scopes[0]: ")
    assert ("1 warning" in result.stdout) is (status == 0)


@pytest.mark.parametrize(
    ("mapping", "flags", "status", "errors", "warnings"),
    [
        (FINE, [], 0, [], []),
        (WRONG, [], 2, ["upstream.url", "upstream.urll", "listen"], []),
        (DOUBTFUL, [], 0, [], ["routes[0].scopes[0]"]),
        (DOUBTFUL, ["--strict"], 2, [], ["routes[0].scopes[0]"]),
    ],
    ids=["fine", "wrong", "doubtful", "strict"],
)
def test_check_json(
    tmp_path: Path,
    mapping: dict[str, Any],
    flags: list[str],
    status: int,
    errors: list[str],
    warnings: list[str],
) -> None:
    """Everything on stdout, in the documented shape."""
    path = write(tmp_path, mapping)
    result = call("check", "--json", *flags, path)
    assert (result.exit_code, result.stderr) == (status, "")
    found = json.loads(result.stdout)
    assert found.keys() == {"errors", "warnings"}
    assert [one["key"] for one in found["errors"]] == errors
    assert [one["key"] for one in found["warnings"]] == warnings
    for one in (*found["errors"], *found["warnings"]):
        assert one.keys() == {"file", "line", "key", "message"}
        assert (one["file"], type(one["line"])) == (str(path), int)


COMMANDS = [["check"], ["run"], ["doctor"], ["explain", "GET", "/"], ["token", "app"]]


@pytest.mark.parametrize("words", COMMANDS, ids=[words[0] for words in COMMANDS])
def test_every_command_refuses_a_wrong_or_missing_configuration(tmp_path: Path, words: list[str]) -> None:
    """Exit 2, all problems on stderr, nothing on stdout."""
    name, *rest = words
    for path, count in ((write(tmp_path, WRONG), 3), (tmp_path / "nowhere.yaml", 1), (tmp_path, 1)):
        result = call(name, path, *rest)
        assert (result.exit_code, result.stdout) == (2, "")
        lines = result.stderr.splitlines()
        assert len(lines) == count
        assert all(line.startswith(f"{path}:") for line in lines)


def test_a_key_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    """Escape sequences of a file are printed as text."""
    path = write(tmp_path, {**FINE, "a\x1b[2Jb\nc": 1})
    result = call("check", path)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert click.unstyle(result.stderr) == result.stderr
