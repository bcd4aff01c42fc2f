"""README and docs say what is: examples load, codes, links, targets and commands exist."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml

from sidecar.config.loading import Loaded, load
from sidecar.errors import Refusal, TokenRefused
from sidecar.openapi.personas import GRANTS, persona_of
from sidecar.proxy import problems
from sidecar.routing.routes import RouteTable
from sidecar.routing.target import parse

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted(DOCS.rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
MOUNTED = "/var/run/secrets/egain/"  # where the examples have their secrets
SHELL = {"", "sh", "bash", "shell", "console"}

# A registry's address or a machine's own paths have no business in a page that others read.
FORBIDDEN = re.compile(
    r"(?:^|[^\w.])/(?:home|root|work)/|pypi\.org|python[h]osted|npmjs\.(?:org|com)|deb\.debian\.org"
)

pages = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def fences(page: Path) -> list[tuple[str, str]]:
    """(language, text) of each fenced block."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [(language, text) for language, text in found]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def rows(page: Path, heading: str, indent: str = "") -> list[list[str]]:
    """The cells of the first table that begins with this heading, without heading and rule."""
    lines = (line.removeprefix(indent) for line in page.read_text().splitlines())
    next(line for line in lines if line.startswith(f"| {heading} |"))
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


def code(cell: str) -> str:
    """What stands between a cell's first two backticks."""
    return cell.split("`")[1]


# -- examples --------------------------------------------------------------------------------------------------


def whole_configurations() -> Iterator[tuple[str, str]]:
    for page, name in zip(PAGES, NAMES, strict=True):
        for number, (language, text) in enumerate(fences(page)):
            if language == "yaml" and re.search(r"^upstream:", text, re.MULTILINE):
                yield f"{name} {number}", text


CONFIGURATIONS = dict(whole_configurations())


def loaded(text: str, folder: Path) -> Loaded:
    """Load an example where its secrets are."""
    (folder / "client_secret").write_text("not-a-secret\n")
    (folder / "session_key").write_text("not-a-secret, but of 32 bytes or more\n")
    path = folder / "sidecar.yaml"
    path.write_text(text.replace(MOUNTED, f"{folder}/"))
    return load(path, dict.fromkeys(names(text), "stand-in"))


def names(text: str) -> list[str]:
    """Every environment variable an example asks for."""
    return [one or other for one, other in re.findall(r"\$\{(\w+)|\benv: (\w+)", text)]


def test_examples_are_found() -> None:
    """README, the smallest one, and the routes' one at least."""
    assert {name.split()[0] for name in CONFIGURATIONS} >= {
        "README.md",
        "docs/configuration.md",
        "docs/routes.md",
    }


@pytest.mark.parametrize("text", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_whole_configuration_loads_without_a_warning(text: str, tmp_path: Path) -> None:
    """Copied from the page, with its secrets in place."""
    assert loaded(text, tmp_path).warnings == ()


def test_readme_configuration_has_every_way_of_getting_a_token(tmp_path: Path) -> None:
    """Each credential of the example has a route, and each row of the table a credential."""
    config = loaded(CONFIGURATIONS[next(iter(CONFIGURATIONS))], tmp_path).config
    assert {route.credential for route in config.routes} == set(config.credentials)
    grants = [code(row[1]) for row in rows(ROOT / "README.md", "whose token")]
    assert sorted(grants) == sorted(one.grant for one in config.credentials.values())


@pytest.mark.parametrize("page", [DOCS / "metrics.md", *PAGES[:1]], ids=["metrics.md", "README.md"])
def test_every_yaml_block_is_yaml(page: Path) -> None:
    """Also those that are no configuration."""
    blocks = [text for language, text in fences(page) if language == "yaml"]
    assert blocks
    for text in blocks:
        assert isinstance(yaml.safe_load(re.sub(r"\$\{\w+\}", "x", text)), dict)


# -- routes.md -------------------------------------------------------------------------------------------------


def sent(target: str) -> str:
    """The target as it goes to the upstream, or the code it is refused with."""
    try:
        found = parse(target)
    except Refusal as refusal:
        return refusal.code
    return found.path + found.query


@pytest.mark.parametrize("row", rows(DOCS / "routes.md", "received"), ids=lambda row: code(row[0]))
def test_canonical_path_is_as_documented(row: list[str]) -> None:
    """The left column comes in, the right one goes out."""
    assert sent(code(row[0])) == code(row[1])


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> RouteTable[str]:
    (text,) = (text for name, text in CONFIGURATIONS.items() if name.startswith("docs/routes.md"))
    config = loaded(text, tmp_path_factory.mktemp("routes")).config
    return RouteTable((route.path, route.methods, route.label) for route in config.routes)


@pytest.mark.parametrize("row", rows(DOCS / "routes.md", "request"), ids=lambda row: code(row[0]))
def test_route_is_as_documented(table: RouteTable[str], row: list[str]) -> None:
    """Each request of the table gets the route, or the refusal, that is named beside it."""
    method, target = code(row[0]).split()
    methods = None if sent(target) == "path_not_canonical" else table.find(parse(target).path)
    if methods is None:
        assert code(row[1]) == (sent(target) if sent(target)[0] != "/" else "route_not_mapped")
    else:
        assert code(row[1]) == (methods.find(method) or "method_not_allowed")
        assert "Allow:" not in row[2] or f"`Allow: {', '.join(methods.allowed())}`" in row[2]


# -- errors.md -------------------------------------------------------------------------------------------------


def refusals(root: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for found in root.__subclasses__():
        if "code" in vars(found):
            yield found
        yield from refusals(found)


def test_every_code_is_documented_with_its_status_and_no_other() -> None:
    """errors.md and errors.py agree, both ways."""
    documented = [(code(row[0]), int(row[1])) for row in rows(DOCS / "errors.md", "code")]
    assert len(set(documented)) == len(documented)
    assert set(documented) == {(found.code, found.status) for found in refusals()}


def test_what_a_code_carries_is_documented() -> None:
    """Fields that belong to it, and that it closes the connection."""
    told = {code(row[0]): " ".join(row[2:]) for row in rows(DOCS / "errors.md", "code")}
    for found in refusals():
        assert ("connection is closed" in told[found.code]) == found.closes, found.code
        for name, value in found("x").fields():
            assert name in told[found.code], found.code
            assert name != "WWW-Authenticate" or f"{name}: {value}`" in told[found.code]


def test_example_of_a_problem_is_what_is_sent() -> None:
    """The body in errors.md, member for member."""
    (example,) = (text for language, text in fences(DOCS / "errors.md") if language == "json")
    found = json.loads(example)
    refusal = TokenRefused(found["detail"], oauth_error=found["oauth_error"], credential=found["credential"])
    assert list(problems.document(refusal, found["route"]).items()) == list(found.items())


# -- links, targets, commands ----------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pages
def test_internal_links_lead_somewhere(page: Path) -> None:
    """To a file of this repository, and to a heading in it where one is named."""
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pages
def test_files_that_are_named_exist(page: Path) -> None:
    """`tests/…`, `docs/…`, `sidecar/…` and `config/…` in code spans; module paths of architecture.md, too."""
    spans = re.findall(
        r"`((?:tests|docs|sidecar|config|benchmarks|monitoring|helm)/[\w./-]+\.\w+)`", page.read_text()
    )
    for span in spans:
        assert any((root / span).exists() for root in (ROOT, ROOT / "sidecar")), span


def commands(page: Path) -> Iterator[list[str]]:
    """Command lines in fenced blocks without another language, and in code spans."""
    blocks = [text for language, text in fences(page) if language in SHELL]
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    for line in [line.strip() for block in blocks for line in block.splitlines()] + spans:
        if re.match(r"(make|auth-sidecar)( |$)", line.removeprefix("$ ")):
            yield line.removeprefix("$ ").split()


@cache
def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pages
def test_make_targets_exist(page: Path) -> None:
    """Each `make TARGET` of a page is one of the Makefile's."""
    for program, *words in commands(page):
        if program == "make":
            assert {word for word in words if "=" not in word} <= targets(), words


def auth_sidecar(*arguments: str, folder: Path = ROOT, tenant: str = "T") -> subprocess.CompletedProcess[str]:
    """Run the command as a program, in a folder, with the variables that the examples ask for."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "EGAIN_CLIENT_ID": "stand-in", "EGAIN_TENANT": tenant}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@cache
def subcommands() -> set[str]:
    shown = auth_sidecar("--help").stdout
    return set(re.findall(r"^\W{2,4}([a-z][\w-]*)\b", shown.partition("Commands")[2], re.MULTILINE))


@pages
def test_commands_exist(page: Path) -> None:
    """Each `auth-sidecar COMMAND` of a page is one that `--help` lists."""
    for program, *words in commands(page):
        if program == "auth-sidecar" and words and not words[0].startswith("-"):
            assert words[0] in subcommands(), words


def test_commands_of_the_readme_take_its_configuration(tmp_path: Path) -> None:
    """check and explain, as they stand there: exit 0, nothing to complain about."""
    loaded(CONFIGURATIONS[next(iter(CONFIGURATIONS))], tmp_path)
    ran = []
    for program, *words in commands(ROOT / "README.md"):
        if program == "auth-sidecar" and words[:1] in (["check"], ["explain"]) and len(words) > 1:
            done = auth_sidecar(*words, folder=tmp_path)
            assert (done.returncode, done.stderr) == (0, ""), words
            ran.append(words[0])
    assert ran == ["check", "explain"]


SESSIONS = [text for language, text in fences(DOCS / "routes.md") if language == "console"]


def shown_by(session: str) -> tuple[list[str], str]:
    """The arguments of a session's command, and what it prints."""
    command, _, shown = session.partition("\n")
    return shlex.split(command)[2:], shown


@pytest.mark.parametrize("session", SESSIONS, ids=lambda text: text.partition("\n")[0])
def test_what_commands_say_is_as_documented(session: str, tmp_path: Path) -> None:
    """Each session of routes.md, with the page's own configuration and document, word for word."""
    (text,) = (text for name, text in CONFIGURATIONS.items() if name.startswith("docs/routes.md"))
    loaded(text, tmp_path)
    (spec,) = (text for language, text in fences(DOCS / "routes.md") if text.startswith("openapi:"))
    (tmp_path / "portal.yaml").write_text(spec)
    arguments, shown = shown_by(session)
    for before in map(shown_by, SESSIONS[: SESSIONS.index(session)]):
        if before[0][0] == "init":  # what later sessions look at
            auth_sidecar(*before[0], folder=tmp_path)
    done = auth_sidecar(*arguments, folder=tmp_path, tenant="TMPRODB88619984")
    assert (done.returncode, done.stderr, done.stdout) == (int("--diff" in arguments), "", shown)


def test_table_of_personas_is_the_programs() -> None:
    """Schemes and grants in routes.md are those that routes and init work by."""
    table = [[cell.strip() for cell in row] for row in rows(DOCS / "routes.md", "persona", indent="   ")]
    assert [code(row[0]) for row in table] == [
        "app",
        "obo_user",
        "obo_customer",
        "anonymous",
        "user",
        "customer",
    ]
    for row in table:
        assert persona_of(row[1], None) == code(row[0])
        assert row[2] == "-" or GRANTS[code(row[0])] == code(row[2])  # type: ignore[index]


@pages
def test_nothing_of_one_machine_or_registry_is_named(page: Path) -> None:
    """Such an address is nobody else's."""
    assert FORBIDDEN.findall(page.read_text()) == []


# -- architecture.md -------------------------------------------------------------------------------------------


def imported(file: Path) -> Iterator[str]:
    """Which modules of ours a file imports while it runs."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module == "sidecar":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sidecar."):
            yield str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (a.name.split(".")[1] for a in node.names if a.name.startswith("sidecar."))


def test_imports_run_one_way_as_the_module_table_says() -> None:
    """Each module imports from its own row and those above it; every module has a row."""
    layers = [re.findall(r"`(\w+)(?:\.py|/)`", row[0]) for row in rows(DOCS / "architecture.md", "module")]
    level = {module: number for number, modules in enumerate(layers) for module in modules}
    top = {"__main__", "__init__"}
    for file in (ROOT / "sidecar").rglob("*.py"):
        module = file.relative_to(ROOT / "sidecar").parts[0].removesuffix(".py")
        if module in top:
            continue
        assert module in level, module
        for other in imported(file):
            assert other == "__version__" or level[other] <= level[module], f"{file.name}: {other}"
