"""Branches of pure modules that no request, file or server of the other tests comes to; each is a rule of its own."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from sidecar.config.network import HttpUrl, TcpAddress, address
from sidecar.config.scalars import duration_text
from sidecar.config.schema import Client, Config, Credential
from sidecar.config.values import SecretFrom
from sidecar.errors import BadRequest, ConfigError, PathNotCanonical, SubjectInvalid, UpstreamFault
from sidecar.oauth.client import Identification, prove
from sidecar.oauth.keyset import read_keys
from sidecar.oauth.untrusted import one_line
from sidecar.openapi.choosing import Plan
from sidecar.openapi.collecting import collect
from sidecar.openapi.mapfile import origin_at, read_map
from sidecar.openapi.operations import document
from sidecar.openapi.reading import read
from sidecar.openapi.rendering import render
from sidecar.proxy.admission import check_framing
from sidecar.proxy.answer import AnswerReader
from sidecar.proxy.answerhead import AnswerHead
from sidecar.proxy.headers import MAX_SPELLINGS, RequestFields, RequestHead
from sidecar.proxy.mapgap import Complaint
from sidecar.proxy.subject import from_claim
from sidecar.routing.target import canonical
from sidecar.secret import Secret
from sidecar.webhook.patch import _with_env
from tests.harness import configuration, load_mapping

FIELDS = RequestFields(["X-On-Behalf-Of"])


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ((1, 1), [(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"5")]),
        ((1, 1), [(b"Content-Length", b"5"), (b"Transfer-Encoding", b"chunked")]),
        ((1, 0), [(b"Transfer-Encoding", b"chunked")]),
        ((1, 1), [(b"Transfer-Encoding", b"gzip")]),
        ((1, 1), [(b"Transfer-Encoding", b"chunked;q=1")]),
        ((2, 0), []),
        ((0, 9), []),
    ],
)
def test_framing_is_checked_without_the_parser_too(
    version: tuple[int, int], fields: list[tuple[bytes, bytes]]
) -> None:
    """llhttp refuses these today; a more lenient release of it must not let them through."""
    with pytest.raises(BadRequest):
        check_framing(version, RequestHead(FIELDS, fields))


def test_spellings_of_request_fields_are_bounded() -> None:
    """A caller that makes up names costs bounded memory, and what is known is learned again."""
    fields = RequestFields(["X-On-Behalf-Of"])
    for number in range(3 * MAX_SPELLINGS):
        head = RequestHead(fields, [(b"X-%d" % number, b"y"), (b"aUTHORIZATION", b"z")])
        assert head.lines == [b"X-%d: y\r\n" % number]
        assert head.authorizations == [b"z"]
    assert len(fields.known) <= MAX_SPELLINGS


@pytest.mark.parametrize("path", ["/a%41 b", "/%41\\", "/x%41#", "/%41\x80", "/%41\x00"])
def test_odd_character_behind_an_encoded_one_is_refused(path: str) -> None:
    """As it is anywhere else in a path."""
    with pytest.raises(PathNotCanonical):
        canonical(path)


@pytest.mark.parametrize("value", [1, True, ["alice"], {"sub": "alice"}, b"alice"])
def test_claim_that_is_no_text_names_nobody(value: object) -> None:
    """A number is no user name, and a list none of its items."""
    with pytest.raises(SubjectInvalid):
        from_claim(value)


def test_secret_never_shows_and_compares() -> None:
    """In texts of any kind; it cannot be pickled."""
    secret, same, other = Secret("s3cr3t"), Secret("s3cr3t"), Secret("x")
    assert "s3cr3t" not in f"{secret} {secret:>20} {secret!r} {[secret]} {secret.__format__('x')}"
    assert secret == same != other
    assert secret != "s3cr3t"
    assert len({secret, same, other}) == 2
    assert secret
    assert not Secret("")
    with pytest.raises(TypeError, match="not serialised"):
        pickle.dumps(secret)


def test_nothing_to_hide_hides_nothing() -> None:
    """An empty secret stands everywhere in a text."""
    assert one_line("the words", hide=["", "word"]) == "the ***s"


def test_client_without_a_secret_cannot_prove_itself() -> None:
    """An error that the caller of `prove` expects, not a crash."""
    shown = Identification(
        id="x", secret=None, key_id=None, algorithm="RS256", audience="https://as", wall=0.0, jti="1"
    )
    for auth in ("client_secret_post", "client_secret_basic"):
        client = Client.model_construct(id="x", auth=auth)
        with pytest.raises(ValueError, match="no client secret"):
            prove(client, shown)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0015, "0.0015s"), (0.0, "0s"), (0.25, "250ms"), (90.0, "90s")]
)
def test_duration_is_written_in_a_unit_that_has_no_rest(seconds: float, text: str) -> None:
    """Less than a millisecond has none."""
    assert duration_text(seconds) == text


def test_what_was_converted_is_converted_to_itself(tmp_path: Path) -> None:
    """Models can be made of models: nothing is read, joined or refused a second time."""
    for value in ("127.0.0.1:80", "[::1]:8080", "unix:/x/y.sock"):
        assert address(address(value)) == address(value)
    url = HttpUrl.endpoint("https://as.example/token/")
    assert HttpUrl.endpoint(url) is url
    secret = SecretFrom.model_validate({"env": "SECRET"})
    assert SecretFrom.model_validate(secret) == secret
    made = Credential.model_validate(
        {
            "grant": "on_behalf_of",
            "token_url": "https://as.example/t",
            "subject": {"username": {"header": "X-User"}},
        }
    )
    assert made.subject is not None
    again = type(made.subject).model_validate({"username": made.subject.source})
    assert again == made.subject
    config = Config.model_validate(
        {"upstream": {"url": "https://api.example", "ca_file": tmp_path / "ca.pem"}}
    )
    assert Config.model_validate(config) == config


def test_map_has_only_what_is_a_route() -> None:
    """A file edited by hand: items that are no mapping, or have no path, are nobody's operation."""
    found = read_map(
        b"- just text\n- include: other.yaml\n- {path: 7, credential: app}\n- {path: /a, credential: app}\n"
    )
    assert [str(line) for line in found.lines.values()] == ["* /a"]


def test_complaint_reads_a_bounded_part_of_an_answer() -> None:
    """An upstream that answers 403 with a gigabyte is not kept in memory."""
    complaint = Complaint(AnswerHead())
    for _ in range(100):
        complaint.add(b"x" * 10_000)
    assert complaint.gap() is None
    assert sum(map(len, complaint._body)) == complaint._size < 100_000


class Told:
    """A receiver that notes what it is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: self.seen.append(name)

    def failed(self, fault: UpstreamFault, unanswered: bool) -> None:
        self.seen.append("failed, unanswered" if unanswered else "failed")


def reader(told: Any) -> AnswerReader:
    made = AnswerReader(4096)
    made.begin(told, head_request=False, wants_upgrade=False)
    return made


def test_bytes_that_nobody_asked_for_spoil_the_connection() -> None:
    """Before a request, behind an answer, and when whoever asked has left."""
    idle = AnswerReader(4096)
    idle.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    assert not idle.end()
    told = Told()
    done = reader(told)
    done.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    done.feed(b"x")
    assert not done.end()
    assert told.seen[-1] == "flush"
    assert told.seen.count("flush") == 1


def test_switch_of_protocols_behind_an_answer_is_nobodys() -> None:
    """A stowaway like any other: the first answer stands, and there is no tunnel."""
    told = Told()
    done = reader(told)
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    data += b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n\x81\x00"
    done.feed(data[:5])
    done.feed(data[5:])
    assert [one for one in told.seen if one != "flush"] == ["answer_head", "answer_body", "answer_end"]
    assert not done.end()


def test_end_of_a_connection_that_nobody_waits_for_tells_nobody() -> None:
    """Whoever asked has left in the middle of a body that would have ended now."""
    told = Told()
    left = reader(told)
    left.feed(b"HTTP/1.1 200 OK\r\n\r\nsome")
    assert not left.end()
    seen = list(told.seen)
    left.eof(clean=True)
    assert told.seen == seen
    assert not left.reusable


def test_connection_that_dies_unanswered_says_so() -> None:
    """It is what decides whether a request may be sent again."""
    for data, said in ((b"", "failed, unanswered"), (b"HTTP/1.1 2", "failed")):
        told = Told()
        cut = reader(told)
        if data:
            cut.feed(data)
        cut.eof(clean=True)
        assert [one for one in told.seen if one != "flush"] == [said]


def test_empty_parameter_name_is_told_wherever_an_alias_puts_it(tmp_path: Path) -> None:
    """YAML's own complaint is about the anchor's line; what refers to it is wrong as well."""
    nobody = {"": "x"}  # written once, with an anchor
    credential = {
        "grant": "client_credentials",
        "token_url": "https://as.example/t",
        "extra_params": nobody,
        "token_query": nobody,
    }
    mapping = configuration(
        "https://api.example", client={"id": "x", "auth": "none"}, credentials={"app": credential}
    )
    with pytest.raises(ConfigError) as caught:
        load_mapping(mapping, tmp_path)
    said = [str(problem).partition(": credentials.app.")[2] for problem in caught.value.problems]
    assert said == [
        'extra_params."": a key is empty; write KEY: VALUE',
        'token_query."": is not a proper key; write a plain name',
    ]


def test_extra_parameters_are_looked_at_one_by_one(tmp_path: Path) -> None:
    """One that the sidecar sets itself is told beside one that is fine, and so is a subject header with a meaning."""
    credential = {
        "grant": "on_behalf_of",
        "token_url": "https://as.example/t",
        "subject": {"username": {"header": "Cookie"}},
        "allow_subjects": ["*"],
        "extra_params": {"tenant": "x", "grant_type": "y", "audience2": "z"},
        "token_query": {"client_secret": "x", "user_type": "y"},
    }
    mapping = configuration(
        "https://api.example", client={"id": "x", "auth": "none"}, credentials={"a": credential}
    )
    with pytest.raises(ConfigError) as caught:
        load_mapping(mapping, tmp_path)
    said = [problem.key for problem in caught.value.problems]
    assert sorted(said) == [
        "credentials.a.extra_params.grant_type",
        "credentials.a.subject.username.header",
        "credentials.a.token_query.client_secret",
    ]


def test_path_with_a_control_character_is_no_path(tmp_path: Path) -> None:
    """It would end a line of a log."""
    mapping = configuration("https://api.example", upstream={"ca_file": "a\x01b"})
    with pytest.raises(ConfigError, match="control character"):
        load_mapping(mapping, tmp_path)


def test_key_sets_are_compared_by_what_they_say() -> None:
    """The same document read twice is no change of keys."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "kid": "1"}
    one, other = (read_keys(json.dumps({"keys": [{**jwk, "kid": kid}]}).encode()) for kid in ("1", "2"))
    assert one == read_keys(json.dumps({"keys": [jwk]}).encode())
    assert one != other
    assert one != [jwk]


@pytest.mark.parametrize("text", ["", "# just\n# comments\n", "\n---\n"])
def test_file_without_a_header_was_not_made_from_documents(text: str) -> None:
    """Only comments, or nothing at all: there is no plan, and no line has an origin."""
    assert read_map((text + "[]").encode()).plan is None
    assert origin_at(text, 1) is None
    assert origin_at(text, 99) is None


def test_flow_without_a_persona_names_nobody() -> None:
    """`implicit` is for pages in a browser; a scheme that has only that is none of ours."""
    scheme = {"type": "oauth2", "flows": {"implicit": {"tokenUrl": "https://x/-U/", "scopes": {}}}}
    spec = {
        "openapi": "3.0.0",
        "paths": {"/a": {"get": {"security": [{"mine": ["s"]}]}}},
        "components": {"securitySchemes": {"mine": scheme}},
    }
    (operation,) = document(read(json.dumps(spec).encode()), None).operations
    assert not operation.security.open
    plan = Plan((("app", "app"), ("user", "user")), (), False, None, False, False)
    (section,) = collect([("x", document(read(json.dumps(spec).encode()), None))], plan)
    assert not section.mapped
    assert len(section.unmapped) == 1


def test_scheme_that_refers_to_nothing_is_no_persona() -> None:
    """A dangling `$ref`: the operation is kept, with nobody who can call it."""
    spec = {
        "openapi": "3.0.0",
        "paths": {"/a": {"get": {"security": [{"mine": ["s"]}]}}},
        "components": {"securitySchemes": {"mine": {"$ref": "#/components/nothing"}}},
    }
    (operation,) = document(read(json.dumps(spec).encode()), None).operations
    assert [one.persona for one in operation.security.alternatives] == [None]


@pytest.mark.parametrize("pointer", ["#", "#/", "#x", "#/nothing", "#/openapi"])
def test_scheme_that_refers_to_no_scheme_is_no_persona(pointer: str) -> None:
    """The whole document, something that is not there, a text."""
    spec = {
        "openapi": "3.0.0",
        "paths": {"/a": {"get": {"security": [{"mine": ["s"]}]}}},
        "components": {"securitySchemes": {"mine": {"$ref": pointer}}},
    }
    (operation,) = document(read(json.dumps(spec).encode()), None).operations
    assert [one.persona for one in operation.security.alternatives] == [None]


@pytest.mark.parametrize("line", [0, -1, 1, 2, 3, 999])
def test_line_of_a_map_that_is_no_route_has_no_origin(line: int) -> None:
    """Outside the file, or in the header above the first document's part."""
    spec = {"openapi": "3.0.0", "paths": {"/a": {"get": {"security": [{"oAuthUser": ["knowledge.a.read"]}]}}}}
    plan = Plan((("me", "user"),), ("user",), False, None, False, False)
    text = render(collect([("t.yaml", document(read(json.dumps(spec).encode()), None))], plan), plan)
    assert read_map(text.encode()).plan is not None
    route = next(number for number, one in enumerate(text.split("\n"), 1) if one.startswith("- "))
    assert origin_at(text, route) is not None
    assert origin_at(text, line) is None
    lines = text.split("\n")
    lines.insert(route - 1, "# besides, a comment of the map's own")
    assert origin_at("\n".join(lines), route + 1) == origin_at(text, route)


def test_misspelt_key_is_told_with_its_neighbours_wherever_it_stands(tmp_path: Path) -> None:
    """In a list's item and in a named mapping."""
    credential = {
        "grant": "client_credentials",
        "token_url": "https://as.example/t",
        "scope_prefx": "https://p/",
    }
    mapping = configuration(
        "https://api.example",
        client={"id": "x", "auth": "none"},
        credentials={"app": credential},
        routes=[{"path": "/a", "credential": "none", "mehods": ["GET"]}],
    )
    with pytest.raises(ConfigError) as caught:
        load_mapping(mapping, tmp_path)
    said = {problem.message for problem in caught.value.problems}
    assert said == {"unknown key; did you mean scope_prefix?", "unknown key; did you mean methods?"}


def test_header_of_the_callers_identity_is_no_subject(tmp_path: Path) -> None:
    """Its value is a token, not a name; both keys are told."""
    credential = {
        "grant": "on_behalf_of",
        "token_url": "https://as.example/t",
        "subject": {"username": {"header": "X-Identity"}},
        "allow_subjects": ["*"],
    }
    identity = {
        "jwks_url": "https://idp.example/k",
        "issuer": "https://idp.example",
        "audience": "a",
        "header": "X-Identity",
    }
    mapping = configuration(
        "https://api.example",
        client={"id": "x", "auth": "none"},
        credentials={"a": credential},
        identity=identity,
    )
    with pytest.raises(ConfigError, match="is the header of identity as well"):
        load_mapping(mapping, tmp_path)


def test_environment_variable_that_a_template_sets_is_set_anew() -> None:
    """A pod's own port wins over the template's; the other variables stay where they are."""
    made = {
        "env": [
            {"name": "A", "value": "1"},
            {"name": "P", "value": "127.0.0.1:1"},
            {"name": "B", "value": "2"},
        ]
    }
    changed = _with_env(made, "P", TcpAddress("127.0.0.1", 9000))
    assert changed == [
        {"name": "A", "value": "1"},
        {"name": "P", "value": "127.0.0.1:9000"},
        {"name": "B", "value": "2"},
    ]
    assert _with_env({}, "P", TcpAddress("::1", 1)) == [{"name": "P", "value": "[::1]:1"}]


def signing_in(**changes: Any) -> dict[str, Any]:
    """A configuration in which people sign in."""
    credential = {
        "grant": "authorization_code",
        "authorization_url": "https://ai.egain.cloud/system/auth/T-U/oauth2/authorize",
        "token_url": "https://ai.egain.cloud/system/auth/T-U/oauth2/token",
        "redirect_url": "http://localhost:8080/.auth/callback",
        **changes,
    }
    routes = [{"path": "/a", "credential": "person", "scopes": ["knowledge.portalmgr.read"]}]
    credentials = {"person": credential}
    return configuration(
        "https://api.ai.egain.cloud",
        client={"id": "x", "auth": "none"},
        credentials=credentials,
        routes=routes,
    )


@pytest.mark.parametrize(
    ("changes", "key", "said"),
    [
        (
            {"authorization_params": {"prompt": "login", "state": "x"}},
            "authorization_params.state",
            "set by the sidecar",
        ),
        ({"post_logout_redirect_url": "https://x/y#z"}, "post_logout_redirect_url", "has a fragment"),
        ({"post_logout_redirect_url": "https://x/y?a b"}, "post_logout_redirect_url", "has a blank"),
    ],
)
def test_parameter_of_a_sign_in_that_cannot_be_is_told(
    changes: dict[str, Any], key: str, said: str, tmp_path: Path
) -> None:
    """Beside one that can."""
    with pytest.raises(ConfigError) as caught:
        load_mapping(signing_in(**changes), tmp_path)
    (problem,) = caught.value.problems
    assert problem.key == f"credentials.person.{key}"
    assert said in problem.message


def test_people_of_one_kind_signed_in_for_tokens_of_another_are_a_warning(tmp_path: Path) -> None:
    """eGain's users and customers have URLs of their own."""
    other = "https://ai.egain.cloud/system/auth/T-C/oauth2/authorize"
    said = [
        warning.message for warning in load_mapping(signing_in(authorization_url=other), tmp_path).warnings
    ]
    assert any("use the same tenant suffix in both" in message for message in said)
    said = [warning.message for warning in load_mapping(signing_in(), tmp_path).warnings]
    assert not any("use the same tenant suffix in both" in message for message in said)
