"""Files that people and other programs write: configurations, OpenAPI documents, a tenant's metadata.

Owns the same claim for each: read within bounded time, or refused in words; never another exception.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from sidecar.cli.metadata import MetadataError, metadata
from sidecar.config.describe import effective
from sidecar.config.loading import load
from sidecar.errors import ConfigError
from sidecar.openapi.building import DocumentError
from sidecar.openapi.choosing import Plan
from sidecar.openapi.collecting import collect
from sidecar.openapi.mapfile import read_map
from sidecar.openapi.operations import document
from sidecar.openapi.reading import read
from sidecar.openapi.rendering import render
from tests.fuzz.mutation import bounded, mutated
from tests.map_check import strict_warnings

_ROOT = Path(__file__).parent.parent.parent
_SECONDS = 5.0  # of processor time; a few hundredths are usual
_CANARY = "canary-8c1f"

# -- configurations --------------------------------------------------------------------------------------------

_CONFIG_WORDS = [
    b"${HOME}", b"${NOPE}", b"${NOPE:-x}", b"${", b"$", b": ", b"- ", b"&a ", b"*a", b"!!python/object:os.system ",
    b"!!binary ", b"<<: ", b"? ", b"| ", b">\n", b"{", b"}", b"[", b"]", b"'", b'"', b"#", b"\t", b"\r", b"\n",
    b"\n\n",
    b"---\n", b"%YAML 1.1\n", b"\xef\xbb\xbf", b"\xff\xfe", b"\x00", b"null", b"~", b"yes", b"017", b"1:30", b"1e400",
    b".inf", b"-1s", b"99999999999999999999h", b"0", b"include: sidecar.yaml", b"include: ..", b"include: /dev/null",
    b"file: /dev/null", b"file: .", b"env: NOPE", b"env: SECRET", b"**", b"{a}{b}", b"/%zz", b"unix:/x",
    b"0.0.0.0:80",
    b"[::]:1", b"http://u:p@h/", b"https://[", b"https://\xc3\xa9/", b"routes:", b"credentials:", b"x" * 3000,
    b"[" * 300, b"\xe2\x80\xa8", b"client:\n  secret: canary-8c1f\n",
]  # fmt: skip
RICH = b"""
listen: 127.0.0.1:0
admin: 127.0.0.1:0
upstream: {url: "https://api.example/x", proxy: "http://proxy.example:3128", max_connections: 9, idle_timeout: 5m}
client: {id: "${CLIENT}", secret: {env: SECRET}, auth: client_secret_basic}
identity: {jwks_url: "https://idp.example/keys", issuer: "https://idp.example/", audience: my-app,
           algorithms: [RS256]}
credentials:
  app: {grant: client_credentials, token_url: "https://as.example/token", extra_params: {a: b},
        resource: ["https://r"]}
  agent: {grant: on_behalf_of, token_url: "https://as.example/token", subject: {username: {header: X-On-Behalf-Of}},
          allow_subjects: ["*"]}
  shop: {grant: on_behalf_of, token_url: "https://as.example/token", subject: {email: {claim: email}}}
  okta: {grant: token_exchange, token_url: "https://as.example/token", registration_id: r, scope_prefix: "https://p/"}
refresh: {at: 0.5, jitter: 0.1, expiry_skew: 30s, retry: {initial: 1s, max: 30s}, idle_after: 30m}
tokens: {default_lifetime: 1h, max_cached: 10, scopes: union}
limits: {max_in_flight: 10, max_header_bytes: 32KiB, replay_body: 64KiB}
allowed_hosts: [localhost, "[::1]"]
allowed_origins: ["https://app.example"]
unmapped: deny
log: {level: info, format: json, requests: true}
routes:
  - {path: "/a/{b}/**", methods: [GET, POST], credential: app, scopes: [app.a.read], name: one}
  - {path: /b, credential: agent, scopes: [a.onbehalfof.read]}
  - {path: /c, credential: shop, scopes: [a.onbehalfof.read]}
  - {path: /d, credential: none}
  - include: more.yaml
"""
MORE = b"- {path: /e, credential: okta, scopes: [knowledge.a.read]}\n- path: /f\n  credential: none\n"
_CONFIGS = [
    RICH,
    (_ROOT / "config" / "sidecar.yaml").read_bytes(),
    (_ROOT / "config" / "demo.yaml").read_bytes(),
    b"upstream: {url: https://api.example}\nroutes: []\n",
]
CONFIGS = mutated(_CONFIGS, _CONFIG_WORDS, most=6)
INCLUDED = mutated([MORE], _CONFIG_WORDS, most=3)
_folder: list[Path] = []


@contextlib.contextmanager
def folder() -> Iterator[None]:
    """Files are written into one folder, again and again."""
    with tempfile.TemporaryDirectory() as name:
        _folder.append(Path(name))
        try:
            yield
        finally:
            _folder.pop()


def check_config(main: bytes, more: bytes) -> None:
    """A configuration that can be shown, or problems that each name a file and a line; no inline secret in any."""
    here = _folder[-1]
    path = here / "sidecar.yaml"
    path.write_bytes(main)
    (here / "more.yaml").write_bytes(more)
    environ = {"SECRET": _CANARY, "CLIENT": "client", "HOME": "/nowhere"}
    with bounded(_SECONDS):
        try:
            loaded = load(path, environ)
        except ConfigError as error:
            _judge_problems(error)
            return
    shown = json.dumps(effective(loaded.config), default=str)
    assert _CANARY not in shown, "a secret in /config"
    assert all(warning.line >= 1 and _CANARY not in str(warning) for warning in loaded.warnings)


def _judge_problems(error: ConfigError) -> None:
    assert error.problems, "refused without a reason"
    for problem in error.problems:
        assert problem.line >= 1
        assert problem.message.isprintable(), f"{problem.message!r}"
        assert _CANARY not in str(problem), "a secret in a problem"


# -- OpenAPI documents -----------------------------------------------------------------------------------------

_SPEC_WORDS = [
    b"$ref: '#/paths/~1a'", b"$ref: '#'", b'{"$ref": "#/paths"}', b"security: []", b"security:\n", b"&a ",
    b"*a", b"<<: ",
    b"null", b"{}", b"[]", b"{", b"}", b"'", b'"', b"\n", b"\t", b"\x00", b"\xff", b"\xe2\x80\xa8", b"${A}",
    b"${SCOPE_PREFIX}",
    b"x-internal: true", b"servers:\n", b"get:", b"/{a}{b}", b"/a/../b", b"/%2e", b"oAuthUser", b"[" * 300,
    b"- " * 40,
]  # fmt: skip
SEEDS_OF_SPECS = [
    p.read_bytes() for p in sorted((_ROOT / "tests" / "specs").iterdir()) if p.suffix != ".py" and p.is_file()
]
SPECS = mutated(SEEDS_OF_SPECS, _SPEC_WORDS, most=5)


def check_spec(raw: bytes, by: Plan) -> None:
    """A map that `check --strict` takes and that is read back as it is, or an error in words."""
    with bounded(_SECONDS):
        try:
            made = document(read(raw), by.base_path)
        except DocumentError as error:
            assert error.message.isprintable()  # noqa: PT017 - both ways are fine
            return
        text = render(collect([("x", made)], by), by)
    assert strict_warnings(text, by, _folder[-1]) == ()
    was = read_map(text.encode())
    assert was.flaws == ()
    assert was.plan is not None
    assert render(collect([("x", made)], was.plan), was.plan) == text


MAPS = mutated(
    [
        yaml.safe_dump(
            [{"path": "/a/{b}", "methods": ["GET"], "credential": "app", "scopes": ["app.read"]}]
        ).encode(),
        b"# x\n" + MORE,
    ],
    [*_SPEC_WORDS, *_CONFIG_WORDS],
)


def check_map(raw: bytes) -> None:
    """A route file that `routes --diff` is given."""
    with bounded(_SECONDS):
        found = read_map(raw)
    assert all(flaw.line >= 1 and flaw.message.isprintable() for flaw in found.flaws)


# -- a tenant's metadata ---------------------------------------------------------------------------------------

_METADATA: Any = {
    "tokenUrls": ["https://ai.egain.cloud/system/auth/TMPRODB88619984-U/oauth2/token"],
    "anonymous": {
        "url": "https://api.ai.egain.cloud/core/authmgr/v3/oauth2/v2.0/anonymous/token?user_type=customer"
    },
    "apiDomain": "https://api.ai.egain.cloud",
    "scopePrefix": "https://api.ai.egain.cloud/auth/",
}
METADATA = mutated(
    [json.dumps(_METADATA).encode()],
    [b"https://[", b"https://[::1", b"https://h:99999/token", b"https://\\u2100/", b"[" * 1000, b"${HOME}", b"\xff",
     b'"prefix":"https://[x"', b"/oauth2/token", b"NaN", b'"', b"@", b"1" * 5000],
)  # fmt: skip


def check_metadata(raw: bytes) -> None:
    """What is recognised can be written into a configuration as it is; or MetadataError."""
    path = _folder[-1] / "metadata.json"
    path.write_bytes(raw)
    with bounded(_SECONDS):
        try:
            found = metadata(str(path))
        except MetadataError:
            return
    for text in (found.tenant, found.api_host, found.scope_prefix, *found.token_urls.values()):
        assert text is None or (text.isascii() and text.isprintable() and "$" not in text and '"' not in text)
