"""Which tokens are kept, and who may share one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.schema import Client, Refresh, Tokens
from sidecar.errors import SubjectTokenInvalid
from sidecar.oauth.answer import Reply
from sidecar.tokens.recipe import recipe, subject_key
from tests.fake_clock import settle
from tests.token_script import AGENT, APP, CLIENT, DOWN, OKTA, Scene, credential, token


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    async with scene.store:
        yield scene


def client(**more: Any) -> Client:
    return Client.model_validate({"id": "id", "secret": {"env": "S"}, **more})


def obo(kind: str, source: dict[str, str], **more: Any) -> Any:
    return credential("on_behalf_of", subject={kind: source}, **more)


DIFFERENT = {
    "base": ("n", APP, client(), "a"),
    "name": ("m", APP, client(), "a"),
    "scopes": ("n", APP, client(), "b"),
    "more scopes": ("n", APP, client(), "ab"),
    "no scopes": ("n", APP, client(), ""),
    "grant": ("n", credential("anonymous"), client(), "a"),
    "url": ("n", credential(token_url="https://as.example/token/"), client(), "a"),
    "query": ("n", credential(token_query={"a": "1"}), client(), "a"),
    "query value": ("n", credential(token_query={"a": "2"}), client(), "a"),
    "prefix": ("n", credential(scope_prefix="x"), client(), "a"),
    "client": ("n", APP, client(id="other"), "a"),
    "client from a file": ("n", APP, client(id={"file": "/id"}), "a"),
    "client named like one": ("n", APP, client(id="file /id"), "a"),
    "secret": ("n", APP, client(secret={"env": "T"}), "a"),
    "auth": ("n", APP, client(auth="client_secret_basic"), "a"),
    "key": ("n", APP, client(private_key={"env": "K"}), "a"),
    "kid": ("n", APP, client(key_id="k"), "a"),
    "algorithm": ("n", APP, client(algorithm="ES256"), "a"),
    "extra": ("n", credential(extra_params={"a": "1"}), client(), "a"),
    "resource": ("n", credential(resource="r"), client(), "a"),
    "audience": ("n", credential(audience="r"), client(), "a"),
    "audiences": ("n", credential(audience=["r", "s"]), client(), "a"),
    "username": ("n", obo("username", {"header": "X"}), client(), "a"),
    "userid": ("n", obo("userid", {"header": "X"}), client(), "a"),
    "email": ("n", obo("email", {"header": "X"}), client(), "a"),
    "fixed": ("n", obo("username", {"value": "1"}), client(), "a"),
    "fixed kind": ("n", obo("userid", {"value": "1"}), client(), "a"),
    "fixed other": ("n", obo("username", {"value": "2"}), client(), "a"),
    "exchange": ("n", OKTA, client(), "a"),
    "registration": ("n", credential("token_exchange", registration_id="r"), client(), "a"),
    "token type": ("n", credential("token_exchange", subject_token_type="t"), client(), "a"),
}


def test_everything_that_shapes_a_token_is_in_its_key() -> None:
    """Complaint: wrong cache key: another scope's, client's or audience's token."""
    keys = {name: recipe(*what).key for name, what in DIFFERENT.items()}
    assert len(set(keys.values())) == len(keys)


def test_what_does_not_shape_a_token_is_not_in_its_key() -> None:
    """`b a`, `a b`, `a a b` are one entry; so are parameters in another order."""
    assert recipe("n", APP, CLIENT, ["b", "a"]).key == recipe("n", APP, CLIENT, ["a", "b", "a"]).key
    one = credential(token_query={"a": "1", "b": "2"}, extra_params={"c": "3", "d": "4"})
    two = credential(token_query={"b": "2", "a": "1"}, extra_params={"d": "4", "c": "3"})
    assert recipe("n", one, CLIENT, "a").key == recipe("n", two, CLIENT, "a").key


@given(st.lists(st.text(), unique=True, max_size=8))
def test_two_subjects_never_share_a_key(subjects: list[str]) -> None:
    """Alice/alice, NFC/NFD, full-width, trailing dots: nothing is folded."""
    bases = [recipe("n", AGENT, CLIENT, scope).key for scope in "ab"]
    keys = {subject_key(base, subject) for base in bases for subject in subjects}
    assert len(keys) == 2 * len(subjects)


async def test_every_subject_gets_its_own_token(scene: Scene) -> None:
    """Complaint: another user's token. Thousands of mixed concurrent requests, 50 subjects, 3 scopes."""

    def answer() -> Reply:
        form = scene.endpoint.requests[-1]
        return token(f"{form['subject_username']}/{form['scope']}")

    scene.endpoint.answer = answer
    sources = {scope: scene.source(AGENT, scope) for scope in ("s1", "s2", "s3")}
    wanted = [(f"user{n % 50}", f"s{n % 3 + 1}") for n in range(3000)]
    random.Random(1).shuffle(wanted)

    async def ask(subject: str, scope: str) -> bytes:
        keeper = sources[scope].keeper(subject)
        return (keeper.usable() or await keeper.get()).bearer

    # The scripted endpoint answers by its last request: one at a time for the first of each.
    for subject, scope in dict.fromkeys(wanted):
        await ask(subject, scope)
    found = await asyncio.gather(*(ask(*pair) for pair in wanted))
    assert found == [f"Bearer {subject}/{scope}".encode() for subject, scope in wanted]
    assert scene.endpoint.count == 150


async def test_a_source_takes_a_subject_exactly_when_it_needs_one(scene: Scene) -> None:
    """An on-behalf-of token without a subject, or an application's with one, is a bug of the caller."""
    for of, subject in ((APP, "alice"), (AGENT, None), (OKTA, None)):
        with pytest.raises(ValueError, match="subject"):
            scene.source(of).keeper(subject)
    fixed = scene.source(obo("username", {"value": "pa"}))
    await fixed.keeper().get()
    assert scene.endpoint.requests[-1]["subject_username"] == "pa"
    assert (fixed.credential, fixed.per_subject) == ("cred", False)


async def test_least_recently_used_subjects_make_room(scene: Scene) -> None:
    """Bounded over all credentials; a hot subject and the application's tokens stay."""
    app, agent = scene.source(APP), scene.source(AGENT)
    scene.store.hold([app, agent])
    scene.store.reconfigure(Refresh(), Tokens(max_cached=11))
    await settle()
    hot = agent.keeper("hot")
    await hot.get()
    for n in range(200):
        await agent.keeper(f"user{n}").get()
        assert agent.keeper("hot") is hot
        assert len(scene.store.views()) <= 11
    assert app.keeper().usable()
    assert scene.events.drops == ["capacity"] * 191
    assert len(scene.clock.pending) == 11


async def test_token_that_is_let_go_is_told_once(scene: Scene) -> None:
    """A request that still has it may be answered with 401: it was dropped for want of room, not again as rejected."""
    scene.store.reconfigure(Refresh(), Tokens.model_validate({"max_cached": 1}))
    source = scene.source(AGENT)
    alice = source.keeper("alice")
    sent = await alice.get()
    await source.keeper("bob").get()
    assert scene.events.drops == ["capacity"]
    assert alice.reject(sent)
    assert scene.events.drops == ["capacity"]


async def test_application_token_that_no_configuration_names_is_let_go_and_made_anew(scene: Scene) -> None:
    """Asked for beside the start-up set, and unused for idle_after: whoever asks again gets a keeper that refreshes."""
    source = scene.source(APP)
    first = source.keeper()
    assert source.keeper() is first
    await first.get()
    await scene.clock.passes(1801)
    assert scene.store.views() == []
    second = source.keeper()
    assert second is not first
    await second.get()
    await scene.clock.passes(1799)
    assert scene.events.triggers == ["demand", "demand"]
    assert second.usable()
    await scene.clock.passes(2)
    assert scene.events.triggers == ["demand", "demand", "ahead"]


async def test_evicted_keeper_still_serves_who_has_it(scene: Scene) -> None:
    """A request under way keeps its token, and may still get another."""
    scene.store.reconfigure(Refresh(), Tokens(max_cached=1))
    agent = scene.source(AGENT)
    alice = agent.keeper("alice")
    held = await alice.get()
    await agent.keeper("bob").get()
    assert alice.usable() is held
    assert alice.reject(held)
    assert (await alice.get()).bearer == b"Bearer t3"
    await scene.clock.passes(10_000)
    assert all(view.rotations < 3 for view in scene.store.views())


async def test_missing_lists_startup_tokens_never_obtained(scene: Scene) -> None:
    """What readiness waits for; a token that was obtained once counts, also when it is over."""
    scene.endpoint.answer = DOWN
    scene.store.hold([scene.source(APP, "b", "a"), scene.source(AGENT)])
    assert scene.store.missing() == ["token of credential cred (a b)"]
    scene.endpoint.answer = None
    await scene.clock.passes(5)
    assert scene.store.missing() == []
    scene.endpoint.answer = DOWN
    await scene.clock.passes(7200)
    assert scene.store.missing() == []


async def test_reload_keeps_tokens_of_untouched_keys(scene: Scene) -> None:
    """Others are let go; new ones are fetched; nothing is fetched twice."""
    old = [scene.source(APP, "a"), scene.source(APP, "b"), scene.source(AGENT), scene.source(OKTA)]
    scene.store.hold(old)
    await settle()
    alice, okta = old[2].keeper("alice"), old[3].keeper("opaque")
    await asyncio.gather(alice.get(), okta.get())
    kept, released = old[0].keeper(), old[1].keeper()
    assert scene.endpoint.count == 4
    new = [scene.source(APP, "a"), scene.source(APP, "c"), scene.source(AGENT)]
    scene.store.hold(new)
    await settle()
    assert new[0].keeper() is kept
    assert new[2].keeper("alice") is alice
    assert scene.endpoint.count == 5
    assert {view.scopes for view in scene.store.views()} == {("a",), ("c",), ("s",)}
    assert released.usable()  # requests of the old configuration are served to their end
    await scene.clock.passes(1801)
    assert released.rotations == okta.rotations == 1


async def test_new_settings_apply_from_the_next_token_on(scene: Scene) -> None:
    """The token that is held keeps its times."""
    source = scene.source(APP)
    scene.store.hold([source])
    await settle()
    scene.store.reconfigure(
        Refresh.model_validate({"at": 0.1, "jitter": 0.0}), Tokens.model_validate({"max_lifetime": 1000.0})
    )
    await scene.clock.passes(1799)
    assert scene.endpoint.count == 1
    await scene.clock.passes(1)
    held = source.keeper().usable()
    assert held is not None
    assert (held.lifetime, held.refresh_at - held.asked_at) == (1000, 100)


async def test_tokens_are_fetched_only_while_the_store_is_open() -> None:
    """hold() before `async with` is fine: the fetches begin with it."""
    scene = Scene()
    source = scene.source(APP)
    scene.store.hold([source])
    await settle()
    assert scene.endpoint.count == 0
    async with scene.store:
        await settle()
        assert source.keeper().usable()


async def test_view_tells_everything_but_who_and_what(scene: Scene) -> None:
    """State, times and counts; the subject as a digest."""
    keeper = scene.source(AGENT, "b", "a").keeper("alice")
    assert keeper.view().state == "empty"
    scene.endpoint.gate.clear()
    task = asyncio.create_task(keeper.get())
    await settle()
    assert keeper.view().state == "fetching"
    scene.endpoint.gate.set()
    await task
    view = keeper.view()
    assert (view.state, view.scopes, view.startup, view.in_use) == ("held", ("a", "b"), False, True)
    assert (view.asked_at, view.refresh_at, view.hard_stop, view.expires_at) == (1000, 2800, 4570, 4600)
    assert (view.next_try, view.last_error, view.rotations, view.ever_obtained) == (None, None, 1, True)
    assert view.subject is not None
    assert "alice" not in repr(view)


async def test_expired_subject_token_takes_nobodys_place(scene: Scene) -> None:
    """It is refused before anything is kept for it, so it evicts no one and costs no memory."""
    source = scene.store.source("okta", OKTA, CLIENT, ["s"])
    before = len(scene.store.views())
    for n in range(20):
        expired = jwt.encode({"exp": scene.clock.wall() - 60, "n": n}, "k" * 32, algorithm="HS256")
        with pytest.raises(SubjectTokenInvalid):
            source.keeper(expired)
    assert len(scene.store.views()) == before
