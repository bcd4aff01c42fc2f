"""On behalf of whom: a token is for the subject of its request, and for nobody else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.battery.stage import HOST, SECRET, Form, Stage, holder, http
from tests.fake_clock import FakeClock
from tests.harness import OK, Sidecar, Talk, until

pytestmark = pytest.mark.battery

SCOPES = ("u.a", "u.b", "u.c")


def header(subject: str) -> str:
    return "X-On-Behalf-Of: " + subject.encode().decode("latin-1")


@pytest.mark.parametrize("requests", [1500, pytest.param(10_000, marks=pytest.mark.volume)])
async def test_subjects_are_never_mixed_up(stage: Stage, requests: int) -> None:
    """Fifty subjects, three scopes, fifty connections at once: the token is the request's own, every time."""
    routes = [{"path": f"/{s}/**", "credential": "agent", "scopes": [s], "name": s} for s in SCOPES]
    async with stage.sidecar(routes=routes, log={"level": "debug", "requests": False}) as proxy:

        async def asks(first: int) -> None:
            caller = await proxy.caller()
            for n in range(first, requests, 50):
                subject, scope = f"person-{n * 7 % 50}", SCOPES[n % 3]
                assert (await caller.ask(f"/{scope}/x", header(subject), f"X-Who: {subject}")).status == 200
            caller.close()

        await asyncio.gather(*map(asks, range(50)))
    assert len(stage.upstream.requests) == requests
    for request in stage.upstream.requests:
        assert holder(request) == (f"username={request.all('X-Who')[0]}", {request.target.split("/")[1]})
        assert request.all("X-On-Behalf-Of") == []
    assert stage.tokens.calls == 150


async def test_kinds_of_subject_are_kept_apart(proxy: Sidecar, stage: Stage) -> None:
    """The same text as username, userid and email: three tokens, each asked for by its own parameter."""
    for path, field in (("/agent/x", "X-On-Behalf-Of"), ("/byid/x", "X-User"), ("/shopper/x", "X-Customer")):
        for _ in range(2):
            assert (await proxy.ask(path, f"{field}: 1234")).status == 200
    assert [holder(r)[0] for r in stage.upstream.requests[::2]] == [
        "username=1234",
        "userid=1234",
        "email=1234",
    ]
    assert [sorted(k for k in form if k.startswith("subject_")) for form in stage.tokens.forms[1:]] == [
        ["subject_username"], ["subject_userid"], ["subject_email"],
    ]  # fmt: skip


async def test_only_the_routes_own_subject_counts(proxy: Sidecar, stage: Stage) -> None:
    """Another credential's header beside it is a second subject; none of them goes up, on no route."""
    answer = await proxy.ask("/agent/x", "X-On-Behalf-Of: alice", "X-User: somebody-else")
    assert (answer.status, answer.error) == (400, "subject_invalid")
    assert (await proxy.ask("/agent/x", "X-User: somebody-else")).error == "subject_missing"
    assert (await proxy.ask("/open/x", "X-User: somebody-else", "X_On_Behalf_Of: alice")).status == 200
    assert [name for name, _ in stage.upstream.requests[0].headers] == ["Host"]
    assert stage.tokens.calls == 1


DISTINCT = [
    "alice", "Alice", "ALICE", "alice.", "alice@", "\u0430lice", "ali\u0441e", "\uff41lice", "caf\u00e9", "cafe\u0301",
    "alice%20", "alice+", "al\u0131ce", "alic\u2147", "'alice'", '"alice"', "alice;", "0", "00", "undefined", "*",
]  # fmt: skip


async def test_nothing_of_a_subject_is_folded(proxy: Sidecar, stage: Stage) -> None:
    """Case, normal form, width, look-alikes, trailing dots: as many tokens as spellings."""
    for subject in DISTINCT:
        assert (await proxy.ask("/agent/x", header(subject))).status == 200
        assert holder(stage.upstream.requests[-1])[0] == f"username={subject}"
    assert stage.tokens.calls == 1 + len(DISTINCT)


@pytest.mark.parametrize("value", ["  alice", "alice  ", "\talice\t", " \t alice"])
async def test_white_space_around_a_field_is_no_part_of_it(proxy: Sidecar, stage: Stage, value: str) -> None:
    """RFC 9110 section 5.5; inside it is refused."""
    assert (await proxy.ask("/agent/x", f"X-On-Behalf-Of:{value}")).status == 200
    assert holder(stage.upstream.requests[0])[0] == "username=alice"
    assert (await proxy.ask("/agent/x", "X-On-Behalf-Of: al ice")).error == "subject_invalid"


@pytest.mark.parametrize(
    "subject",
    [
        "alice&scope=admin",
        "a%26b",
        "a+b=c",
        "a&subject_username=root",
        "a;b",
        "a=b",
        "a#b",
        "a?b",
        "a\u00e4\u20ac",
        "a%0d%0ab",
        "a\\u0026b",
        "&",
        "=",
        "%",
        "+",
        "x" * 1024,
    ],
    ids=lambda s: ascii(s)[:24],
)
async def test_subject_is_one_parameter_with_the_same_text(
    proxy: Sidecar, stage: Stage, subject: str
) -> None:
    """Whatever means something in a form means nothing here."""
    assert (await proxy.ask("/agent/x", header(subject))).status == 200
    form: Form = stage.tokens.forms[-1]
    assert form == {
        "grant_type": ["password"], "subject_username": [subject], "scope": ["user.read"],
        "client_id": ["the-client"], "client_secret": [SECRET],
    }  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        b"X-On-Behalf-Of: alice\r\nX-On-Behalf-Of: bobby\r\n",
        b"X-On-Behalf-Of: alice\r\nx-on-behalf-of: alice\r\n",
        b"X-On-Behalf-Of: alice, bobby\r\n",
        b"X-On-Behalf-Of: alice,\r\n",
        b"X-On-Behalf-Of: alice\r\nX_On_Behalf_Of: bobby\r\n",
        b"X-On-Behalf-Of: alice\r\nX-On-Behalf_Of: alice\r\n",
        b"X_On_Behalf_Of: alice\r\n",
        b"X-On-Behalf-Of:\r\n",
        b"X-On-Behalf-Of: " + b"x" * 1025 + b"\r\n",
        b"X-On-Behalf-Of: " + b"x" * 10240 + b"\r\n",
        b"X-On-Behalf-Of: \xff\xfe\r\n",
        b"X-On-Behalf-Of: \xc0\xaf\r\n",
        b"X-On-Behalf-Of: \xe2\x80\xae\r\n",
        b"X-On-Behalf-Of: al\xc2\xa0ice\r\n",
        b"X-On-Behalf-Of: al\xe2\x80\x8bice\r\n",
        b"X-On-Behalf-Of: \xed\xa0\x80\r\n",
        b"X-On-Behalf-Of: alice\r\n bobby\r\n",
        b"X-On-Behalf-Of: alice\rbobby\r\n",
        b"X-On-Behalf-Of: alice\x00\r\n",
        b"",
    ],
    ids=lambda f: repr(f)[:40],
)
async def test_what_is_not_one_text_is_no_subject(proxy: Sidecar, stage: Stage, fields: bytes) -> None:
    """400; no token request, and never the application's own token instead."""
    caller = await proxy.caller()
    await caller.send(b"GET /agent/x HTTP/1.1\r\n" + HOST + fields + b"\r\n")
    assert (await caller.answer()).status == 400
    stage.nothing_happened()


async def test_refused_subject_is_refused_alone(stage: Stage) -> None:
    """After a revocation her held token is dropped at the API's 401, and not served again; nobody stands in for her."""
    revoked: set[str] = set()
    clock = FakeClock()

    async def judges(talk: Talk) -> None:
        form = stage.tokens.forms[-1]
        if form.get("subject_username") == ["alice"] and revoked:
            await talk.send(http(400, json.dumps({"error": "invalid_grant"}).encode()))
        else:
            await talk.send(stage.tokens.answer(form))

    async def checks(talk: Talk) -> None:
        bad = talk.request.all("Authorization")[0] in revoked
        await talk.send(http(401, b"", "WWW-Authenticate: Bearer") if bad else OK)

    stage.tokens.script, stage.upstream.script = judges, checks
    async with stage.sidecar(clock) as proxy:
        for who in ("alice", "bobby"):
            assert (await proxy.ask("/agent/x", header(who))).status == 200
        revoked |= set(stage.upstream.requests[0].all("Authorization"))
        first = await proxy.ask("/agent/x", header("alice"))
        assert (first.status, first.error) == (502, "token_refused")
        seen = len(stage.upstream.requests)
        for _ in range(5):
            clock.advance(0.01)
            assert (await proxy.ask("/agent/x", header("alice"))).error == "token_refused"
            assert (await proxy.ask("/agent/x", header("bobby"))).status == 200
            assert (await proxy.ask("/app/x")).status == 200
        later = [holder(request)[0] for request in stage.upstream.requests[seen:]]
        assert later == ["username=bobby", "app"] * 5


async def test_flows_with_the_same_scopes_never_share(stage: Stage) -> None:
    """Anonymous, application and on behalf of somebody, one client, one scope, one URL: a token each."""
    credentials = {
        "guest": {
            "grant": "anonymous",
            "token_url": stage.tokens.url,
            "token_query": {"user_type": "customer"},
        }
    }
    routes = [
        {"path": f"/{name}", "credential": name, "scopes": ["same"], "name": name}
        for name in ("app", "agent", "guest")
    ]
    async with stage.sidecar(credentials=credentials, routes=routes) as proxy:
        for _ in range(2):
            for path in ("/app", "/agent", "/guest"):
                assert (await proxy.ask(path, *([header("alice")] if path == "/agent" else []))).status == 200
    values = [request.all("Authorization")[0] for request in stage.upstream.requests]
    assert values[:3] == values[3:]
    assert len(set(values)) == 3
    assert stage.tokens.calls == 3


async def test_whatever_else_shapes_a_token_keeps_it_apart(stage: Stage, tmp_path: Path) -> None:
    """One client, one scope, one subject: another URL, secret, audience, resource or parameter is another token."""
    other = tmp_path / "other-secret"
    other.write_text("canary-other-secret")
    agent = {
        "grant": "on_behalf_of", "token_url": stage.tokens.url, "allow_subjects": ["*"],
        "subject": {"username": {"header": "X-On-Behalf-Of"}},
    }  # fmt: skip
    shaped: dict[str, dict[str, object]] = {
        "plain": {}, "again": {}, "url": {"token_url": f"{stage.tokens.url}/other"},
        "secret": {"client": {"id": "the-client", "secret": {"file": str(other)}}},
        "client": {"client": {"id": "another", "secret": {"file": str(other)}}},
        "audience": {"audience": "a"}, "audiences": {"audience": ["a", "b"]}, "resource": {"resource": "urn:a"},
        "extra": {"extra_params": {"a": "b"}},
    }  # fmt: skip
    routes = [
        {"path": f"/{name}", "credential": name, "scopes": ["same"], "name": name} for name in shaped
    ] + [{"path": "/plain-too", "credential": "plain", "scopes": ["same"], "name": "too"}]
    credentials = {name: {**agent, **more} for name, more in shaped.items()}
    async with stage.sidecar(credentials=credentials, routes=routes) as proxy:
        for _ in range(2):
            for name in (*shaped, "plain-too"):
                assert (await proxy.ask(f"/{name}", header("alice"))).status == 200
    values = [request.all("Authorization")[0] for request in stage.upstream.requests]
    half = len(shaped) + 1
    assert values[:half] == values[half:]
    assert len(set(values)) == len(shaped) == stage.tokens.calls
    assert values[half - 1] == values[0]  # two routes of one credential share
    forms = stage.tokens.forms
    assert [(f["client_id"], f["client_secret"]) for f in forms[3:5]] == [
        (["the-client"], ["canary-other-secret"]), (["another"], ["canary-other-secret"]),
    ]  # fmt: skip
    assert [f.get("audience") for f in forms[5:7]] == [["a"], ["a", "b"]]


async def test_scopes_are_a_set(stage: Stage) -> None:
    """`b a`, `a b` and `a a b` share one token."""
    routes = [
        {"path": f"/{n}", "credential": "agent", "scopes": scopes, "name": f"n{n}"}
        for n, scopes in enumerate((["b", "a"], ["a", "b"], ["a", "a", "b"]))
    ]
    async with stage.sidecar(routes=routes) as proxy:
        for n in range(3):
            assert (await proxy.ask(f"/{n}", header("alice"))).status == 200
    assert stage.tokens.calls == 1


@pytest.mark.parametrize("subjects", [600, pytest.param(10_000, marks=pytest.mark.volume)])
async def test_made_up_subjects_cost_bounded_memory(stage: Stage, subjects: int) -> None:
    """At most `max_cached` tokens are held, one in use stays, and few token requests are under way at once."""
    limits = {"max_cached": 200}
    async with stage.sidecar(tokens=limits, log={"level": "warning"}) as proxy:
        hot = await proxy.caller()
        callers = [await proxy.caller() for _ in range(40)]

        async def asks(number: int) -> None:
            for n in range(number, subjects, 40):
                assert (await callers[number].ask("/agent/x", header(f"made-up-{n}"))).status == 200
                if number == 0:
                    assert (await hot.ask("/agent/x", header("regular"))).status == 200

        await asyncio.gather(*map(asks, range(40)))
        assert len(proxy.app.tokens()) <= 200
        assert stage.tokens.most_at_once <= 17  # 16 of one credential, and the application's own
        assert sum(form.get("subject_username") == ["regular"] for form in stage.tokens.forms) <= 2
        await until(lambda: not proxy.app._store._fetches._tasks)
