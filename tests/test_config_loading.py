"""Loading a configuration: change one key of a valid one, and see what is said about it."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.config.loading import Loaded, load
from sidecar.config.schema import HeaderSource
from sidecar.errors import ConfigError, Problem

BASE = """\
listen: 127.0.0.1:8080
admin: 127.0.0.1:8081
upstream:
  url: https://api.ai.egain.cloud
  connect_timeout: 5s
client:
  id: app-1
  secret: {file: client-secret}
credentials:
  app:
    grant: client_credentials
    token_url: https://ai.egain.cloud/system/auth/T-U/oauth2/token
  agent:
    grant: on_behalf_of
    token_url: https://ai.egain.cloud/system/auth/T-U/oauth2/token
    subject: {username: {header: X-On-Behalf-Of}}
    allow_subjects: ["*"]
refresh:
  retry: {initial: 1s, max: 30s}
tokens:
  max_cached: 100
limits:
  replay_body: 64KiB
log: {level: info}
routes:
  - path: /articles/{id}
    methods: [GET]
    credential: agent
    scopes: [knowledge.portalmgr.onbehalfof.read]
  - path: /imports
    credential: app
    scopes: [app.knowledge.portalmgr.manage]
  - path: /open/**
    credential: none
"""

TOKEN_URL = "https://ai.egain.cloud/system/auth/T-U/oauth2/token"
AGENT = "  agent:\n    grant: on_behalf_of\n"
SUBJECT = "    subject: {username: {header: X-On-Behalf-Of}}\n"

# what to replace, with what, key path, what is said; the line is that of the `§` in the replacement,
# where there is one
WRONG: dict[str, tuple[str, str, str, str]] = {
    "unknown key": ("log: {", "§lgo: {", "lgo", "unknown key; did you mean log?"),
    "unknown nested key": (
        "  connect_timeout:",
        "§  conect_timeout:",
        "upstream.conect_timeout",
        "connect_timeout?",
    ),
    "unknown key that looks like a tag": (
        "log: {",
        "§~header: 1\nlog: {",
        '"~header"',
        "unknown key; known here: admin, ",
    ),
    "unknown key with a tilde": ("log: {", "§~: 1\nlog: {", '"~"', "unknown key; known here: admin, "),
    "unknown key, nothing near": (
        "log: {level: info}",
        "§xyzzy: 1",
        "xyzzy",
        "unknown key; known here: admin, ",
    ),
    "misspelt required key is one mistake": ("  url: h", "§  ulr: h", "upstream.ulr", "did you mean url?"),
    "missing key": (
        "  app:\n    grant: client_credentials\n    token_url: " + TOKEN_URL,
        "§  app:\n    grant: client_credentials",
        "credentials.app.token_url",
        "is missing; add it",
    ),
    "missing key of a list item": ("    credential: app\n", "", "routes[1].credential", "is missing; add it"),
    "bare port": ("listen: 127.0.0.1:8080", "§listen: 8080", "listen", "needs a host and a port"),
    "port too large": ("127.0.0.1:8081", "127.0.0.1:70000", "admin", "from 0 to 65535"),
    "no host": ("listen: 127.0.0.1:8080", "listen: :8080", "listen", "has no host"),
    "bare IPv6": ("listen: 127.0.0.1:8080", "listen: ::1:8080", "listen", "stands in brackets"),
    "relative socket": ("listen: 127.0.0.1:8080", "listen: unix:x.sock", "listen", "not absolute"),
    "remote listener": ("listen: 127.0.0.1:", "listen: 0.0.0.0:", "listen", "allow_remote: true"),
    "same address twice": ("admin: 127.0.0.1:8081", "§admin: 127.0.0.1:8080", "admin", "use two ports"),
    "admin on a socket": ("admin: 127.0.0.1:8081", "§admin: unix:/run/a.sock", "admin", "write HOST:PORT"),
    "upstream is the sidecar": (
        "https://api.ai.egain.cloud",
        "§http://127.0.0.1:8080",
        "upstream.url",
        "the sidecar's own listen address",
    ),
    "user in a URL": ("https://api.", "§https://u:p@api.", "upstream.url", "has a user or password in it"),
    "query in a URL": (
        "oauth2/token\n  agent",
        "§oauth2/token?a=b\n  agent",
        "credentials.app.token_url",
        "token_query",
    ),
    "fragment in a URL": ("egain.cloud\n", "§egain.cloud/#x\n", "upstream.url", "has a fragment"),
    "blank in a URL": ("https://api.ai", "§https://api. ai", "upstream.url", "has a blank"),
    "other scheme": ("https://api.ai", "§ftp://api.ai", "upstream.url", "is not an http or https URL"),
    "no host in a URL": ("https://api.ai.egain.cloud", "§https:///x", "upstream.url", "has no host"),
    "http to another machine": ("https://api.ai", "§http://api.ai", "upstream.url", "insecure: true"),
    "http token endpoint": (
        "    token_url: https://ai.egain.cloud/system/auth/T-U/oauth2/token\n  agent",
        "§    token_url: http://tokens.example/t\n  agent",
        "credentials.app.token_url",
        "is plain http://",
    ),
    "https proxy": (
        "  connect_timeout: 5s",
        "§  proxy: https://p:1",
        "upstream.proxy",
        "is spoken to in plain HTTP",
    ),
    "proxy with a password": (
        "  connect_timeout: 5s",
        "§  proxy: http://u:p@p:1",
        "upstream.proxy",
        "proxies that ask for one are not supported",
    ),
    "proxy of another kind": (
        "  connect_timeout: 5s",
        "§  proxy: socks5://p:1",
        "upstream.proxy",
        "write http://HOST:PORT",
    ),
    "proxy with a path": ("  connect_timeout: 5s", "§  proxy: http://p:1/x", "upstream.proxy", "has a path"),
    "duration without unit": (
        "connect_timeout: 5s",
        "§connect_timeout: 5",
        "upstream.connect_timeout",
        "no unit",
    ),
    "duration in days": (
        "connect_timeout: 5s",
        "§connect_timeout: 1d",
        "upstream.connect_timeout",
        "not a duration",
    ),
    "no duration at all": (
        "connect_timeout: 5s",
        "§connect_timeout: 0s",
        "upstream.connect_timeout",
        "more than 0",
    ),
    "sexagesimal": (
        "connect_timeout: 5s",
        "§connect_timeout: 1:30",
        "upstream.connect_timeout",
        "not a duration",
    ),
    "size": ("replay_body: 64KiB", "§replay_body: 64kb", "limits.replay_body", "write 64KiB or 1MiB"),
    "octal": ("max_cached: 100", "§max_cached: 0100", "tokens.max_cached", "is not a whole number"),
    "exponent": ("max_cached: 100", "§max_cached: 1e3", "tokens.max_cached", "is not a whole number"),
    "hexadecimal": ("max_cached: 100", "§max_cached: 0x10", "tokens.max_cached", "is not a whole number"),
    "quoted number": ("max_cached: 100", '§max_cached: "100"', "tokens.max_cached", "without quotes"),
    "zero": ("max_cached: 100", "§max_cached: 0", "tokens.max_cached", "is too small; write at least 1"),
    "yes is no flag": (
        "log: {level: info}",
        "§log: {requests: yes}",
        "log.requests",
        "neither true nor false",
    ),
    "on is no level": (
        "log: {level: info}",
        "§log: {level: on}",
        "log.level",
        "write debug, info, warning or error",
    ),
    "mapping wanted": ("log: {level: info}", "§log: info", "log", "is not a mapping"),
    "list wanted": ("methods: [GET]", "§methods: GET", "routes[0].methods", "is not a list"),
    "empty list": ("methods: [GET]", "§methods: []", "routes[0].methods", "is an empty list"),
    "text wanted": ("id: app-1", "§id: ''", "client.id", "is empty"),
    "value missing": ("connect_timeout: 5s", "§connect_timeout:", "upstream.connect_timeout", "has no value"),
    "null where there is no nothing": (
        "max_cached: 100",
        "§max_cached: null",
        "tokens.max_cached",
        "whole number",
    ),
    "inline secret": (
        "{file: client-secret}",
        "§hunter2",
        "client.secret",
        "use {file: PATH} or {env: NAME}",
    ),
    "inline secret from the environment": (
        "{file: client-secret}",
        "§${HUNTER}",
        "client.secret",
        "a secret is never written in the file",
    ),
    "two places for one secret": (
        "{file: client-secret}",
        "{file: client-secret, env: HUNTER}",
        "client.secret",
        "exactly one of file and env",
    ),
    "secret file missing": ("client-secret}", "§nope}", "client.secret.file", "does not exist"),
    "secret file empty": ("client-secret}", "§blank}", "client.secret.file", "is empty; write the secret"),
    "secret file is a directory": ("client-secret}", "§.}", "client.secret.file", "is a directory"),
    "secret variable unset": (
        "{file: client-secret}",
        "§{env: NOPE}",
        "client.secret.env",
        "NOPE is not set",
    ),
    "secret variable with an invisible character": (
        "{file: client-secret}",
        "§{env: NO\ufeffPE}",
        "client.secret.env",
        r"environment variable 'NO\ufeffPE' is not set",
    ),
    "secret variable blank": (
        "{file: client-secret}",
        "§{env: BLANK}",
        "client.secret.env",
        "BLANK is empty",
    ),
    "secret missing": (
        "  secret: {file: client-secret}\n",
        "",
        "client.secret",
        "auth is client_secret_post",
    ),
    "private key missing": (
        "id: app-1\n",
        "id: app-1\n  auth: private_key_jwt\n",
        "client.private_key",
        "add private_key",
    ),
    "private key is none": (
        "id: app-1\n",
        "id: app-1\n§  private_key: {file: client-secret}\n",
        "client.private_key.file",
        "is not a private key",
    ),
    "client missing": (
        "client:\n  id: app-1\n  secret: {file: client-secret}\ncredentials:\n  app:\n",
        "credentials:\n  app:\n    client: {id: a, auth: none}\n",
        "credentials.agent.client",
        "add a client: block",
    ),
    "CA file missing": (
        "  connect_timeout: 5s",
        "§  ca_file: nope.pem",
        "upstream.ca_file",
        "does not exist",
    ),
    "CA file empty": ("  connect_timeout: 5s", "§  ca_file: blank", "upstream.ca_file", "no certificate"),
    "CA file garbage": (
        "  connect_timeout: 5s",
        "§  ca_file: client-secret",
        "upstream.ca_file",
        "no certificate",
    ),
    "CA file is a directory": (
        "  connect_timeout: 5s",
        "§  ca_file: .",
        "upstream.ca_file",
        "is a directory",
    ),
    "grant unknown": (
        "grant: client_c",
        "§grant: c",
        "credentials.app.grant",
        "write client_credentials, anonymous",
    ),
    "credential called none": (
        "  app:\n",
        "§  none: {grant: anonymous, token_url: https://t/}\n  app:\n",
        "credentials.none",
        "choose another name",
    ),
    "credential with an odd name": (
        "  app:\n",
        "§  a b: {grant: anonymous, token_url: https://t/}\n  app:\n",
        'credentials."a b"',
        "is not a proper name",
    ),
    "subject missing": (
        SUBJECT + '    allow_subjects: ["*"]\n',
        "",
        "credentials.agent.subject",
        "is missing",
    ),
    "subject of two kinds": (
        "{username: {header: X-On-Behalf-Of}}",
        "{username: {header: X-On-Behalf-Of}, email: {value: a}}",
        "credentials.agent.subject",
        "exactly one of username, userid and email",
    ),
    "subject of no kind": (
        "{username: {header: X-On-Behalf-Of}}",
        "{}",
        "credentials.agent.subject",
        "exactly one",
    ),
    "subject from two places": (
        "{header: X-On-Behalf-Of}",
        "{header: X-On-Behalf-Of, value: a}",
        "credentials.agent.subject.username",
        "exactly one of header, value and claim",
    ),
    "subject header unusable": (
        "X-On-Behalf-Of",
        "Host",
        "credentials.agent.subject.username.header",
        "belongs to HTTP itself",
    ),
    "subject header is the token's": (
        "X-On-Behalf-Of",
        "authorization",
        "credentials.agent.subject.username.header",
        "a meaning of its own",
    ),
    "subjects not limited": (
        '    allow_subjects: ["*"]\n',
        "",
        "credentials.agent.allow_subjects",
        "the subject comes from the request",
    ),
    "claim without identity": (
        "{header: X-On-Behalf-Of}",
        "{claim: sub}",
        "credentials.agent.subject.username.claim",
        "needs the top-level identity block",
    ),
    "identity without keys": (
        "refresh:\n",
        "identity: {issuer: https://i/, audience: a}\nrefresh:\n",
        "identity",
        "exactly one of jwks_url and jwks_file",
    ),
    "identity with a symmetric algorithm": (
        "refresh:\n",
        "identity: {issuer: i, audience: a, jwks_url: https://i/k, algorithms: [HS256]}\nrefresh:\n",
        "identity.algorithms[0]",
        "is none of the known values; write RS256",
    ),
    "identity keys not a key set": (
        "refresh:\n",
        "identity: {issuer: i, audience: a, jwks_file: client-secret}\nrefresh:\n",
        "identity.jwks_file",
        "is not a JWK set",
    ),
    "own form field overridden": (
        AGENT,
        "  agent:\n§    extra_params: {grant_type: x}\n    grant: on_behalf_of\n",
        "credentials.agent.extra_params.grant_type",
        "is set by the sidecar itself",
    ),
    "secret in a URL": (
        AGENT,
        "  agent:\n§    token_query: {client_secret: x}\n    grant: on_behalf_of\n",
        "credentials.agent.token_query.client_secret",
        "must not be in a URL",
    ),
    "retry the wrong way round": (
        "max: 30s",
        "max: 500ms",
        "refresh.retry.initial",
        "is longer than max (500ms)",
    ),
    "share out of range": ("refresh:\n", "refresh:\n§  at: 1\n", "refresh.at", "write less than 1"),
    "credential unknown": ("credential: app", "§credential: ap", "routes[1].credential", "did you mean app?"),
    "scope empty": ("[app.knowledge.portalmgr.manage]", '§[""]', "routes[1].scopes[0]", "a scope is empty"),
    "two scopes in one": (
        "[app.knowledge.portalmgr.manage]",
        "§[a b]",
        "routes[1].scopes[0]",
        "one scope per list item",
    ),
    "scope malformed": ("[app.knowledge.portalmgr.manage]", "§['a\"b']", "routes[1].scopes[0]", "RFC 6749"),
    "scopes without credential": (
        "    credential: none\n",
        "    credential: none\n§    scopes: [a]\n",
        "routes[2].scopes",
        "has no token",
    ),
    "method in small letters": ("[GET]", "§[get]", "routes[0].methods[0]", "write it in capitals"),
    "CONNECT": ("[GET]", "§[CONNECT]", "routes[0].methods[0]", "never forwarded"),
    "method twice": ("[GET]", "§[GET, GET]", "routes[0].methods", "is given twice"),
    "same pattern under other names": (
        "- path: /imports",
        "§- path: /articles/{other}",
        "routes[1]",
        "sidecar.yaml:26, and both take GET; keep one",
    ),
    "same literal spelt differently": ("/open/**", "§/%69mports", "routes[2]", "sidecar.yaml:30"),
    "pattern with a query": ("/open/**", "§/open?x=1", "routes[2].path", "matches the path only"),
    "rest in the middle": ("/open/**", "§/**/x", "routes[2].path", "end the pattern with /**"),
    "parameter in a part": ("/open/**", '§"/a{b}"', "routes[2].path", "only a part of a segment"),
    "dot segment": ("/open/**", "§/a/../b", "routes[2].path", "no request would match it"),
    "host with a port": ("log: {", "§allowed_hosts: [a:80]\nlog: {", "allowed_hosts[0]", "not a plain ASCII"),
    "any origin": ("log: {", '§allowed_origins: ["*"]\nlog: {', "allowed_origins[0]", "is not an origin"),
    "key twice": (
        "log: {level: info}",
        "log: {level: info}\n§log: {}",
        "log",
        "is given twice (first in line 24)",
    ),
    "tag": ("id: app-1", "§id: !!python/object:os.system app-1", "client.id", "tags are not supported"),
    "merge key": ("log: {level: info}", "§log: {<<: {level: info}}", 'log."<<"', "merge keys"),
    "undefined alias": ("id: app-1", "§id: *x", "client.id", "is an alias (*) of something"),
    "variable unset": (
        "id: app-1",
        "§id: ${NOPE}",
        "client.id",
        "NOPE is not set; set it or write ${NOPE:-default}",
    ),
    "variable empty": ("id: app-1", "§id: ${EMPTY}", "client.id", "EMPTY is empty"),
    "reference not closed": ("id: app-1", "§id: ${NOPE", "client.id", "write ${NAME} or ${NAME:-default}"),
    "include that is not there": (
        "- path: /open/**\n    credential: none",
        "§- include: nope.yaml",
        "routes[2].include",
        "nope.yaml does not exist",
    ),
    "include misspelt": (
        "- path: /open/**\n    credential: none",
        "§- inlcude: nope.yaml",
        "routes[2].inlcude",
        "did you mean include?",
    ),
    "include of itself": (
        "- path: /open/**\n    credential: none",
        "§- include: sidecar.yaml",
        "routes[2].include",
        "includes itself",
    ),
}

ENVIRON = {"HUNTER": "hunter2", "BLANK": "  ", "EMPTY": "", "COUNT": "7", "NULL": "null", "YAML": "a: [b"}


@pytest.fixture
def write(tmp_path: Path) -> Path:
    """A directory with what the base configuration names; the configuration itself is put in by a test."""
    (tmp_path / "client-secret").write_text("s3cret\n")
    (tmp_path / "blank").write_text("\n")
    return tmp_path


def put(directory: Path, text: str | bytes, name: str = "sidecar.yaml") -> Path:
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def changed(old: str, new: str) -> str:
    assert old in BASE
    return BASE.replace(old, new, 1)


def loaded(directory: Path, text: str) -> Loaded:
    return load(put(directory, text), ENVIRON)


def problems(directory: Path, text: str | bytes) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(put(directory, text), ENVIRON)
    return caught.value.problems


def test_the_base_of_these_tests_is_valid(write: Path) -> None:
    """Nothing is wrong and nothing is doubtful before a key is changed."""
    assert loaded(write, BASE).warnings == ()


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_key_is_one_problem_with_its_line_and_path(write: Path, name: str) -> None:
    """At the key's own line (a missing key: its parent's), with its path, what is wrong and what to do."""
    old, new, key, said = WRONG[name]
    marked = changed(old, new)
    text = marked.replace("§", "")
    found = problems(write, text)
    assert len(found) == 1, [str(problem) for problem in found]
    assert found[0].key == key
    assert said in found[0].message
    assert "; " in found[0].message  # what is wrong; what to do
    assert found[0].file == str(write / "sidecar.yaml")
    if marked != text:
        assert found[0].line == marked[: marked.index("§")].count("\n") + 1
    assert "hunter2" not in str(found[0])
    assert "s3cret" not in str(found[0])


MISSING_LINES = {
    "    credential: app\n": ("routes[1].credential", 30),
    "  secret: {file: client-secret}\n": ("client.secret", 6),
    '    allow_subjects: ["*"]\n': ("credentials.agent.allow_subjects", 13),
    "  url: https://api.ai.egain.cloud\n": ("upstream.url", 3),
}


@pytest.mark.parametrize("line", MISSING_LINES)
def test_a_missing_key_is_reported_at_its_parent(write: Path, line: str) -> None:
    """The line is the parent's, the path is the missing key's."""
    found = problems(write, changed(line, ""))
    assert [(problem.key, problem.line) for problem in found] == [MISSING_LINES[line]]


def test_a_missing_top_level_key_is_reported_in_line_1(write: Path) -> None:
    """The parent of a top-level key is the file."""
    text = changed("upstream:\n  url: https://api.ai.egain.cloud\n  connect_timeout: 5s\n", "")
    assert [(p.key, p.line) for p in problems(write, text)] == [("upstream", 1)]


def test_all_problems_are_reported_at_once(write: Path) -> None:
    """Syntax of keys, types, relations between keys and files are complained about in one go, in order."""
    text = (
        BASE.replace("connect_timeout: 5s", "conect_timeout: 5s")
        .replace("id: app-1", "id: ${NOPE}")
        .replace("{file: client-secret}", "{file: nope}")
        .replace('    allow_subjects: ["*"]\n', "")
        .replace("max_cached: 100", "max_cached: many")
        .replace("credential: app", "credential: ap")
        .replace("/open/**", "/imports")
    )
    assert [problem.key for problem in problems(write, text)] == [
        "upstream.conect_timeout",
        "client.id",
        "client.secret.file",
        "credentials.agent.allow_subjects",
        "tokens.max_cached",
        "routes[1].credential",
        "routes[2]",
    ]


def test_what_only_follows_from_another_problem_goes_unsaid(write: Path) -> None:
    """A credential that is wrong still exists; a client with a wrong key still is a client."""
    text = BASE.replace("grant: client_credentials", "grant: wrong").replace("id: app-1", "idd: app-1")
    assert [problem.key for problem in problems(write, text)] == ["client.idd", "credentials.app.grant"]


def test_a_wrong_credential_does_not_hide_that_another_is_unknown(write: Path) -> None:
    """Only what would follow from the very same thing goes unsaid."""
    text = BASE.replace("grant: client_credentials", "grant: wrong").replace(
        "credential: agent", "credential: ag"
    )
    assert [problem.key for problem in problems(write, text)] == [
        "credentials.app.grant",
        "routes[0].credential",
    ]


def test_keys_of_another_grant_are_refused(write: Path) -> None:
    """A subject without on_behalf_of would be a token that carries nobody."""
    found = problems(write, changed("grant: on_behalf_of", "grant: client_credentials"))
    assert [problem.key for problem in found] == [
        "credentials.agent.subject",
        "credentials.agent.allow_subjects",
    ]
    assert all("grant: on_behalf_of only" in problem.message for problem in found)


TEXTS = ["on", "no", "017", "1:30", "1e3", "0123", "true", "1_000", "2024-01-01", "0x10", ".5", "=", "123"]


@pytest.mark.parametrize("written", TEXTS)
def test_text_is_never_retyped(write: Path, written: str) -> None:
    """What YAML 1.1 makes a flag, a number or a date stays the text that was written."""
    client = loaded(write, changed("id: app-1", f"id: {written}")).config.client
    assert client is not None
    assert client.id == written


@pytest.mark.parametrize("written", ["null", "~", "Null"])
def test_null_leaves_an_optional_key_out(write: Path, written: str) -> None:
    """An explicit null is the default of a key whose default is nothing."""
    assert (
        loaded(write, changed("  connect_timeout: 5s", f"  ca_file: {written}")).config.upstream.ca_file
        is None
    )


SUBSTITUTED = {
    "a${HUNTER}b${HUNTER}": "ahunter2bhunter2",
    "${NOPE:-x}": "x",
    "${EMPTY:-x}": "x",
    "${NOPE:-}y": "y",
    "'${NULL}'": "null",
    "${NULL}": "null",
    "${YAML}": "a: [b",
    "$HUNTER": "$HUNTER",
    "a$$b": "a$$b",
}


@pytest.mark.parametrize("written", SUBSTITUTED)
def test_variables_are_put_into_text_and_never_into_yaml(write: Path, written: str) -> None:
    """A value from the environment is text: it cannot be null, a mapping or another reference."""
    config = loaded(write, changed("id: app-1", f"id: {written}")).config
    assert config.client is not None
    assert config.client.id == SUBSTITUTED[written]


@pytest.mark.parametrize("written", ["${COUNT}", '"${COUNT}"', "${NOPE:-7}"])
def test_a_variable_may_be_a_number_where_one_is_wanted(write: Path, written: str) -> None:
    """Text from the environment is converted to what the key wants."""
    assert loaded(write, changed("max_cached: 100", f"max_cached: {written}")).config.tokens.max_cached == 7


ADDRESSES = {"AUTH_SIDECAR_LISTEN": "127.0.0.1:8085", "AUTH_SIDECAR_ADMIN": "0.0.0.0:8086"}


@pytest.mark.parametrize("key", ["listen", "admin"])
def test_an_address_the_file_does_not_name_comes_from_the_environment(write: Path, key: str) -> None:
    """A pod says where its probes look, and any file fits into it."""
    written = f"{key}: 127.0.0.1:{8080 if key == 'listen' else 8081}\n"
    config = load(put(write, changed(written, "")), ADDRESSES).config
    assert str(getattr(config, key)) == ADDRESSES[f"AUTH_SIDECAR_{key.upper()}"]


def test_an_address_in_the_file_beats_the_environment(write: Path) -> None:
    """What is written is meant."""
    config = load(put(write, BASE), ADDRESSES).config
    assert (str(config.listen), str(config.admin)) == ("127.0.0.1:8080", "127.0.0.1:8081")


def test_a_wrong_address_in_the_environment_is_named_after_its_variable(write: Path) -> None:
    """Nothing in the file would show where it comes from."""
    with pytest.raises(ConfigError) as refused:
        load(put(write, changed("admin: 127.0.0.1:8081\n", "")), {"AUTH_SIDECAR_ADMIN": "everywhere"})
    (problem,) = refused.value.problems
    assert problem.key == "admin (from AUTH_SIDECAR_ADMIN)"


def test_relative_paths_start_at_the_file_they_stand_in(write: Path) -> None:
    """A secret's path comes out absolute, wherever the process runs."""
    config = loaded(write, BASE).config
    assert config.client is not None
    assert config.client.secret is not None
    assert config.client.secret.file == write / "client-secret"


def test_aliases_are_supported(write: Path) -> None:
    """An anchor's value may be used again."""
    text = changed("username: {header: X-On-Behalf-Of}", "username: &who {header: X-Who}").replace(
        "refresh:\n",
        "  other:\n    grant: on_behalf_of\n    token_url: https://t.example/\n"
        '    subject: {username: *who}\n    allow_subjects: ["*"]\nrefresh:\n',
    )
    subject = loaded(write, text).config.credentials["other"].subject
    assert subject is not None
    assert subject.source == HeaderSource(header="X-Who")


def with_include(text: str = "- include: more/routes.yaml\n") -> str:
    return BASE + "  " + text


def test_included_routes_stand_where_the_include_stands(write: Path) -> None:
    """Nested ones too, each relative to its including file; every file is listed for watching."""
    (write / "more").mkdir()
    put(write / "more", "- path: /m\n  credential: app\n- include: deep.yaml\n", "routes.yaml")
    put(write / "more", "- path: /d\n  credential: none\n", "deep.yaml")
    found = loaded(write, with_include() + "  - path: /last\n    credential: none\n")
    assert [route.path for route in found.config.routes][3:] == ["/m", "/d", "/last"]
    assert found.files == tuple(
        write / name for name in ("sidecar.yaml", "more/routes.yaml", "more/deep.yaml")
    )
    assert found.places["routes[4]"] == (str(write / "more/deep.yaml"), 1)
    assert found.places["routes[5].path"] == (str(write / "sidecar.yaml"), 36)
    assert found.places["upstream.url"] == (str(write / "sidecar.yaml"), 4)


def test_a_problem_in_an_included_file_names_that_file(write: Path) -> None:
    """File, line and number of the route are those of the included file."""
    (write / "more").mkdir()
    put(write / "more", "- path: /m\n  credential: app\n\n- path: /n\n  credential: ap\n", "routes.yaml")
    assert [str(problem) for problem in problems(write, with_include())] == [
        f"{write}/more/routes.yaml:5: routes[1].credential: there is no such credential; did you mean app?"
    ]


INCLUDES = {
    "of each other": (
        "- include: ../sidecar.yaml\n",
        "more/routes.yaml:1: routes[0].include",
        "includes itself",
    ),
    "that is a mapping": ("routes: []\n", "more/routes.yaml:1: (file)", "is not a list of routes"),
    "that is empty": ("", "more/routes.yaml:1: (file)", "is empty"),
    "that is no YAML": ("- [", "more/routes.yaml", "is not valid YAML"),
    "without a name": ("- include:\n", "more/routes.yaml:1: routes[0].include", "has no value"),
    "with a line end": (
        '- include: "a\\nb"\n',
        "more/routes.yaml:1: routes[0].include",
        "is not a file name",
    ),
    "with more keys": (
        "- {include: x, path: /y}\n",
        "more/routes.yaml:1: routes[0]",
        "has other keys beside",
    ),
}


@pytest.mark.parametrize("name", INCLUDES)
def test_an_include_that_cannot_be_used_is_one_problem(write: Path, name: str) -> None:
    """Cycles, wrong shapes and broken files are refused, at the place where they are."""
    text, place, said = INCLUDES[name]
    (write / "more").mkdir()
    put(write / "more", text, "routes.yaml")
    (found,) = problems(write, with_include())
    assert str(found).startswith(f"{write}/{place}")
    assert said in found.message


def test_a_file_is_included_once(write: Path) -> None:
    """The same routes twice would overlap with themselves."""
    put(write, "- path: /m\n  credential: app\n", "routes.yaml")
    (found,) = problems(write, with_include("- include: routes.yaml\n") + "  - include: ./routes.yaml\n")
    assert "is included twice" in found.message


def test_a_long_chain_of_includes_is_refused(write: Path) -> None:
    """Nesting has an end."""
    for number in range(20):
        put(write, f"- include: r{number + 1}.yaml\n", f"r{number}.yaml")
    (found,) = problems(write, with_include("- include: r0.yaml\n"))
    assert "one include too many" in found.message


def _bomb() -> str:
    names = "abcdefghijk"
    lines = [f"{one}: &{one} [{', '.join(['*' + before] * 10)}]\n" for before, one in pairwise(names)]
    return "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(lines)


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is empty"),
    "only comments": ("# nothing\n", "is empty"),
    "a list": ("- a\n", "is not a mapping"),
    "a scalar": ("a", "is not a mapping"),
    "not UTF-8": (b"listen: \xff\n", "is not UTF-8"),
    "UTF-16": ("listen: x\n".encode("utf-16"), "is not UTF-8"),
    "control character": ("listen: \x01\n", "has a character that YAML forbids"),
    "syntax error": ("listen: [\nadmin: x\n", "is not valid YAML"),
    "reference in a flow mapping": ("client: {id: ${NAME}}\n", 'write "${NAME}" in quotes'),
    "tab": ("upstream:\n\turl: x\n", "is not valid YAML"),
    "two documents": ("a: b\n---\nc: d\n", "second YAML document"),
    "complex key": ("? [a]\n: b\n", "a key is not plain text"),
    "alias bomb": (_bomb(), "aliases count in full"),
    "text bomb": (f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 2000)}]\n", "aliases count in full"),
    "alias inside its anchor": ("a: &a [*a]\n", "is an alias"),
    "deep list": ("[" * 10_000, "is nested more than"),
    "deep mapping": ("{a: " * 10_000, "is nested more than"),
    "deep blocks": ("- " * 10_000, "is nested more than"),
    "too large": (b"a: b\n" * (2 << 20), "is larger than 8 MiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_quickly(write: Path, name: str) -> None:
    """No bomb, no depth and no size costs more than a moment of processor time; one clear problem each."""
    text, said = HOSTILE[name]
    put(write, text)
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(write / "sidecar.yaml", {})
    assert time.process_time() - started < 1
    assert len(caught.value.problems) == 1
    assert said in caught.value.problems[0].message


def test_many_small_nodes_are_refused(write: Path) -> None:
    """A file of millions of values is no configuration; it is not read to its end."""
    (found,) = problems(write, "a:\n" + "- b\n" * 1_000_000)
    assert "is too much for a configuration" in found.message


@pytest.mark.parametrize(("name", "said"), [("nope.yaml", "does not exist"), (".", "is a directory")])
def test_a_file_that_cannot_be_read_is_one_problem(write: Path, name: str, said: str) -> None:
    """A missing file and a directory are told apart."""
    with pytest.raises(ConfigError) as caught:
        load(write / name, {})
    (found,) = caught.value.problems
    assert said in found.message


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text("ab:-[]{}&*!|>\n\t '\"#%@`?,<$\x00é\u2028").map(str.encode))
def test_no_bytes_raise_anything_else(write: Path, raw: bytes) -> None:
    """Whatever a file holds, what comes out is a list of problems."""
    assert problems(write, raw)


_JSON_ISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(TEXTS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["header", "value", "file", "path", "credential", "scopes", "x"]), inner
        )
    ),
    max_leaves=8,
)
_KEYS = [
    "listen",
    "admin",
    "upstream",
    "client",
    "credentials",
    "identity",
    "refresh",
    "tokens",
    "routes",
    "log",
]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(_KEYS), _JSON_ISH, min_size=1))
def test_no_values_raise_anything_else(write: Path, data: dict[str, object]) -> None:
    """Wrong types anywhere are problems, in words without a trace of the library that found them."""
    import yaml

    for problem in problems(write, yaml.safe_dump(data)):
        assert "Input should" not in problem.message
        assert "pydantic" not in problem.message
        assert "\n" not in str(problem)
        assert problem.line >= 1
