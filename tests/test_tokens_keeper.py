"""One token kept fresh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from sidecar.config.schema import Client, Tokens
from sidecar.digest import subject_digest
from sidecar.errors import SubjectTokenInvalid, TokenRefused, TokenUnavailable
from sidecar.oauth.answer import Reply
from sidecar.tokens.keeper import Keeper
from tests.fake_clock import settle
from tests.token_script import AGENT, APP, DOWN, OKTA, Scene, credential, refused, token


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    async with scene.store:
        yield scene


async def started(scene: Scene) -> Keeper:
    """The keeper of a start-up token, with its first fetch done."""
    source = scene.source(APP)
    scene.store.hold([source])
    await settle()
    return source.keeper()


def text(keeper: Keeper) -> str | None:
    """The token that a request would be given now."""
    found = keeper.usable()
    return found.bearer.decode().removeprefix("Bearer ") if found else None


# -- fetching ----------------------------------------------------------------------------------------


async def test_startup_token_is_fetched_at_start(scene: Scene) -> None:
    """Before any request asks for it."""
    keeper = await started(scene)
    assert text(keeper) == "t1"
    assert scene.events.triggers == ["startup"]
    assert scene.endpoint.requests == [{"grant_type": "client_credentials", "scope": "s", "client_id": "id"}]
    assert scene.events.of("obtained") == [("cred", None, frozenset("s"), 3600.0)]


async def test_hundred_requests_share_one_fetch(scene: Scene) -> None:
    """Complaint: thundering herd. One token request, however many wait."""
    keeper = scene.source(AGENT).keeper("alice")
    found = await asyncio.gather(*(keeper.get() for _ in range(100)))
    assert {t.bearer for t in found} == {b"Bearer t1"}
    assert scene.events.triggers == ["demand"]
    assert len(scene.events.of("waited")) == 100
    await keeper.get()
    assert scene.endpoint.count == 1


async def test_cancelled_waiter_does_not_cancel_the_fetch(scene: Scene) -> None:
    """The others get their token."""
    keeper = scene.source(AGENT).keeper("alice")
    scene.endpoint.gate.clear()
    waiters = [asyncio.create_task(keeper.get()) for _ in range(3)]
    await settle()
    waiters[0].cancel()
    await settle()
    scene.endpoint.gate.set()
    first, *others = await asyncio.gather(*waiters, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert [getattr(t, "bearer", t) for t in others] == [b"Bearer t1"] * 2
    assert scene.endpoint.count == 1


async def test_failed_fetch_fails_all_waiters_each_with_its_own_error(scene: Scene) -> None:
    """Not one stored exception raised again and again: its traceback would grow for ever."""
    scene.endpoint.answer = Reply(500, b"")
    keeper = scene.source(AGENT).keeper("alice")
    errors = await asyncio.gather(*(keeper.get() for _ in range(10)), return_exceptions=True)
    assert all(isinstance(e, TokenUnavailable) and e.credential == "cred" for e in errors)
    assert len({id(e) for e in errors}) == 10
    assert scene.endpoint.count == 1


async def test_between_two_tries_the_refusal_comes_at_once_with_the_time_to_the_next(scene: Scene) -> None:
    """And a demand after that makes the next try."""
    scene.endpoint.answer = Reply(503, b"", "7")
    keeper = scene.source(AGENT).keeper("alice")
    for expected, passed in ((8, 0.0), (8, 0.0), (5, 3.0), (1, 4.9)):
        await scene.clock.passes(passed)
        with pytest.raises(TokenUnavailable) as caught:
            await keeper.get()
        assert caught.value.retry_after == expected
    assert scene.endpoint.count == 1
    scene.endpoint.answer = None
    await scene.clock.passes(0.1)
    assert (await keeper.get()).bearer == b"Bearer t2"


async def test_refusal_is_remembered_per_key(scene: Scene) -> None:
    """RFC 6749 errors: 502 with the code, no storm of token requests, and nobody else is affected."""
    source = scene.source(AGENT)
    alice, bob = source.keeper("alice"), source.keeper("bob")
    assert (await bob.get()).bearer == b"Bearer t1"
    scene.endpoint.answer = refused("invalid_grant")
    for _ in range(100):
        with pytest.raises(TokenRefused) as caught:
            await alice.get()
        assert caught.value.oauth_error == "invalid_grant"
        assert caught.value.credential == "cred"
    assert scene.endpoint.count == 2
    assert text(bob) == "t1"


async def test_storm_of_demands_while_the_endpoint_fails_makes_few_requests(scene: Scene) -> None:
    """100 requests a second for 10 s: the backoff decides."""
    scene.endpoint.answer = Reply(500, b"")
    keeper = scene.source(AGENT).keeper("alice")
    for _ in range(1000):
        with pytest.raises(TokenUnavailable):
            await keeper.get()
        await scene.clock.passes(0.01)
    assert scene.endpoint.count == 4  # at 0, 1, 3 and 7 s
    scene.endpoint.answer = None
    await scene.clock.passes(8)
    assert (await keeper.get()).bearer == b"Bearer t5"


async def test_outage_that_ends_before_the_held_token_is_not_outlasted_by_a_long_wait(scene: Scene) -> None:
    """Tries at 30, 31, 33, 37 and 45 s; the next wait, of 16 s, would pass the hard stop at 54 s."""
    scene.endpoint.lifetime = 60
    keeper = await started(scene)
    scene.endpoint.answer = DOWN
    await scene.clock.passes(48)
    scene.endpoint.answer = None
    await scene.clock.passes(2)
    assert text(keeper) == "t7"


async def test_per_subject_token_is_not_retried_in_the_background(scene: Scene) -> None:
    """Nobody may want it any more; a demand makes the next try."""
    scene.endpoint.answer = DOWN
    keeper = scene.source(AGENT).keeper("alice")
    with pytest.raises(TokenUnavailable):
        await keeper.get()
    await scene.clock.passes(600)
    assert scene.endpoint.count == 1


@pytest.mark.parametrize("answer", [DOWN, refused("invalid_client", 401), Reply(200, b"garbage")], ids=repr)
async def test_startup_token_is_retried_for_ever(scene: Scene, answer: Any) -> None:
    """Complaint: one garbled answer stops refreshing for ever. Refused ones are tried again, too."""
    scene.endpoint.answer = answer
    keeper = await started(scene)
    assert keeper.view().state == "backing_off"
    await scene.clock.passes(3600)
    assert scene.endpoint.count > 100
    assert set(scene.events.triggers) == {"startup"}
    scene.endpoint.answer = None
    await scene.clock.passes(30)
    assert text(keeper) is not None
    assert keeper.view().last_error is None


# -- refreshing --------------------------------------------------------------------------------------


async def test_refresh_happens_ahead_and_nobody_waits(scene: Scene) -> None:
    """At half its life; the held token serves while the request is under way."""
    keeper = await started(scene)
    scene.endpoint.gate.clear()
    await scene.clock.passes(1799)
    assert scene.endpoint.count == 1
    await scene.clock.passes(2)
    assert scene.endpoint.under_way == 1
    assert text(keeper) == "t1"
    scene.endpoint.gate.set()
    await settle()
    assert text(keeper) == "t2"
    assert scene.events.triggers == ["startup", "ahead"]
    assert scene.events.of("waited") == []


async def test_expired_token_is_never_served_while_the_endpoint_is_down(scene: Scene) -> None:
    """Complaint: an expired token injected while the token endpoint is down. Held until the hard stop."""
    keeper = await started(scene)
    scene.endpoint.answer = DOWN
    await scene.clock.passes(3569)
    assert text(keeper) == "t1"
    await scene.clock.passes(1.0)
    assert text(keeper) is None
    with pytest.raises(TokenUnavailable):
        await keeper.get()
    await scene.clock.passes(60)
    assert scene.events.drops == ["expired"]
    view = keeper.view()
    assert view.expires_at == 1000 + 3600  # still told, so that "expired for a minute" can be alerted on
    assert view.state == "backing_off"
    scene.endpoint.answer = None
    await scene.clock.passes(30)
    assert text(keeper) is not None
    assert scene.events.triggers[-1] == "ahead"


async def test_garbled_answer_during_refresh_is_one_failed_try(scene: Scene) -> None:
    """Complaint: one empty or garbled 200 and refreshing stops for ever. Mended by the next try."""
    keeper = await started(scene)
    scene.endpoint.answer = Reply(200, b"")
    await scene.clock.passes(1800)
    assert scene.events.of("failed")[0][2] == "malformed"
    scene.endpoint.answer = None
    await scene.clock.passes(1.0)
    assert text(keeper) == "t3"


async def test_429_is_honoured(scene: Scene) -> None:
    """Complaint: 429 ignored. No request before Retry-After is over, while the held token serves."""
    keeper = await started(scene)
    scene.endpoint.answer = Reply(429, b"", "120")
    await scene.clock.passes(1800 + 120)
    assert scene.endpoint.count == 2
    assert text(keeper) == "t1"
    assert scene.events.of("requested")[-1] == ("cred", "ahead", "throttled")
    await scene.clock.passes(1.1)
    assert scene.endpoint.count == 3


async def test_token_of_ten_seconds_is_refreshed_without_a_gap(scene: Scene) -> None:
    """Complaint: a refresh point later than the margin: outages by construction with short tokens."""
    scene.endpoint.lifetime = 10
    keeper = await started(scene)
    for _ in range(600):
        await scene.clock.passes(0.1)
        assert text(keeper) is not None
    assert 12 <= scene.endpoint.count <= 13


async def test_token_of_a_second_makes_at_most_two_requests_a_second(scene: Scene) -> None:
    """50 requests a second; nobody is refused and nothing loops."""
    scene.endpoint.lifetime = 1
    keeper = await started(scene)
    for _ in range(500):
        await scene.clock.passes(0.02)
        assert text(keeper) is not None
    assert scene.endpoint.count <= 21


async def test_fleeting_token_nobody_uses_is_not_refreshed(scene: Scene) -> None:
    """A second of life and no traffic: no background loop; the next request fetches."""
    scene.endpoint.lifetime = 1
    keeper = await started(scene)
    await scene.clock.passes(3600)
    assert scene.endpoint.count == 1
    assert (await keeper.get()).bearer == b"Bearer t2"


@pytest.mark.parametrize("lifetime", [0, -1, "abc"])
async def test_token_without_life_is_a_failed_try(scene: Scene, lifetime: Any) -> None:
    """Complaint: expires_in zero or negative. Backoff, no hot loop."""
    scene.endpoint.lifetime = lifetime
    keeper = await started(scene)
    await scene.clock.passes(60)
    assert text(keeper) is None
    assert scene.endpoint.count < 8


async def test_answer_slower_than_the_tokens_life_is_a_failed_try(scene: Scene) -> None:
    """Lifetime counts from before the request: such a token is over when it comes."""
    scene.endpoint.lifetime = 5
    scene.endpoint.gate.clear()
    keeper = await started(scene)
    await scene.clock.passes(4.5)
    scene.endpoint.gate.set()
    await settle()
    assert text(keeper) is None
    assert scene.events.of("failed")[0][2] == "timeout"


async def test_jump_of_the_wall_clock_changes_nothing(scene: Scene) -> None:
    """Time is monotonic."""
    keeper = await started(scene)
    for jump in (-1e6, 1e7):
        scene.clock.epoch += jump
        await scene.clock.passes(1)
        assert text(keeper) == "t1"
    assert scene.endpoint.count == 1


async def test_idle_token_is_let_go_not_refreshed(scene: Scene) -> None:
    """A per-subject token that nobody used for idle_after."""
    source = scene.source(AGENT)
    keeper = source.keeper("alice")
    await keeper.get()
    await scene.clock.passes(1000)
    keeper.usable()
    await scene.clock.passes(1799)  # refreshed on the way: it was used not long before
    assert scene.endpoint.count == 2
    await scene.clock.passes(2)
    assert scene.events.drops == ["idle"]
    assert scene.store.views() == []
    assert scene.clock.pending == []
    await scene.clock.passes(10_000)
    assert scene.endpoint.count == 2


async def test_used_per_subject_token_is_refreshed_ahead(scene: Scene) -> None:
    """While it is used nobody waits; while the endpoint fails it is tried again."""
    keeper = scene.source(AGENT).keeper("alice")
    await keeper.get()
    await scene.clock.passes(1000)
    assert text(keeper) == "t1"
    scene.endpoint.answer = DOWN
    await scene.clock.passes(803)
    assert scene.events.triggers == ["demand", "ahead", "ahead", "ahead"]
    scene.endpoint.answer = None
    await scene.clock.passes(10)
    assert text(keeper) == "t5"


# -- rejected by the upstream ------------------------------------------------------------------------


async def test_rejected_token_is_replaced_once_for_all(scene: Scene) -> None:
    """Complaint: a revoked token gives 401 until it expires. One fetch however many requests saw it."""
    keeper = await started(scene)
    old = await keeper.get()
    assert [keeper.reject(old) for _ in range(100)] == [True] * 100
    fresh = await keeper.get()
    assert fresh.bearer == b"Bearer t2"
    assert fresh.after_rejection
    assert keeper.reject(old)  # late news: another one is held already
    assert text(keeper) == "t2"
    assert scene.events.triggers == ["startup", "rejected"]
    assert scene.events.drops == ["rejected"]


async def test_token_fetched_because_of_a_rejection_is_believed_for_ten_seconds(scene: Scene) -> None:
    """An upstream that says 401 to everything: 1,000 requests make a handful of token requests."""
    keeper = await started(scene)
    passed_on = 0
    for _ in range(1000):
        rejected = await keeper.get()
        if keeper.reject(rejected):
            passed_on += not keeper.reject(await keeper.get())
        else:
            passed_on += 1
        await scene.clock.passes(0.1)
    assert passed_on == 1000
    assert scene.endpoint.count <= 12


async def test_rejection_while_the_endpoint_fails_says_when_to_come_back(scene: Scene) -> None:
    """It is us who have no token, not the caller who is unauthorized; no token request is made of it."""
    keeper = await started(scene)
    scene.endpoint.answer = Reply(429, b"", "600")
    await scene.clock.passes(1800)
    held = await keeper.get()
    assert keeper.reject(held)
    assert text(keeper) is None
    assert keeper.reject(held)
    with pytest.raises(TokenUnavailable):
        await keeper.get()
    assert scene.endpoint.count == 2
    scene.endpoint.answer = None
    await scene.clock.passes(602)
    assert text(keeper) == "t3"


async def test_rejected_and_refused_is_not_served_again(scene: Scene) -> None:
    """After a revocation only this subject is refused, and the old token is gone."""
    keeper = scene.source(AGENT).keeper("alice")
    old = await keeper.get()
    scene.endpoint.answer = refused("invalid_grant")
    assert keeper.reject(old)
    with pytest.raises(TokenRefused, match="invalid_grant"):
        await keeper.get()
    assert text(keeper) is None


# -- secrets -----------------------------------------------------------------------------------------


async def test_rotated_secret_is_picked_up_by_one_immediate_retry(scene: Scene, tmp_path: Path) -> None:
    """Complaint: secret rotation needs a restart. invalid_client: read again, tried again if it changed."""
    file = tmp_path / "secret"
    file.write_text("old\n")
    client = Client.model_validate({"id": "id", "secret": {"file": str(file)}})

    def answer() -> Reply:
        good = scene.endpoint.requests[-1]["client_secret"] == "new"
        file.write_text("new\n")
        return token("good") if good else refused("invalid_client", 401)

    scene.endpoint.answer = answer
    found = await scene.source(AGENT, client=client).keeper("alice").get()
    assert found.bearer == b"Bearer good"
    assert [r["client_secret"] for r in scene.endpoint.requests] == ["old", "new"]
    assert scene.events.of("requested") == [("cred", "demand", "refused"), ("cred", "demand", "ok")]
    assert scene.events.of("failed") == []


async def test_unchanged_secret_is_not_tried_twice(scene: Scene, tmp_path: Path) -> None:
    """A wrong secret is one failed try."""
    file = tmp_path / "secret"
    file.write_text("wrong")
    client = Client.model_validate({"id": "id", "secret": {"file": str(file)}})
    scene.endpoint.answer = refused("invalid_client", 401)
    with pytest.raises(TokenRefused):
        await scene.source(AGENT, client=client).keeper("alice").get()
    assert scene.endpoint.count == 1


@pytest.mark.parametrize("content", [None, "", "  \n"], ids=["missing", "empty", "blank"])
async def test_unreadable_secret_is_a_failed_try(scene: Scene, tmp_path: Path, content: str | None) -> None:
    """Half-written or gone: no request is sent, nothing crashes, and it is tried again."""
    file = tmp_path / "secret"
    if content is not None:
        file.write_text(content)
    client = Client.model_validate({"id": "id", "secret": {"file": str(file)}})
    source = scene.source(APP, client=client)
    scene.store.hold([source])
    await settle()
    assert scene.endpoint.count == 0
    assert scene.events.of("failed")[0][2] == "invalid_client"
    with pytest.raises(TokenUnavailable, match="secret is not usable"):
        await source.keeper().get()
    file.write_text("s")
    await scene.clock.passes(10)
    assert text(source.keeper()) == "t1"


async def test_subject_and_secret_quoted_by_the_server_do_not_reach_the_log(scene: Scene) -> None:
    """An error_description may quote what was sent."""
    body = b'{"error": "invalid_grant", "error_description": "alice@x is unknown"}'
    scene.endpoint.answer = Reply(400, body)
    with pytest.raises(TokenRefused) as caught:
        await scene.source(AGENT).keeper("alice@x").get()
    assert "alice" not in f"{scene.events.seen}{caught.value}{caught.value.detail}"
    assert scene.events.of("failed")[0][4] == "HTTP 400 invalid_grant: *** is unknown"


# -- token exchange ----------------------------------------------------------------------------------


def subject_token(scene: Scene, seconds: float) -> str:
    return jwt.encode({"exp": int(scene.clock.wall() + seconds)}, "k" * 32, algorithm="HS256")


async def test_exchanged_token_lives_no_longer_than_its_subject_token(scene: Scene) -> None:
    """And is not refreshed ahead towards that end in ever shorter steps."""
    keeper = scene.source(OKTA).keeper(subject_token(scene, 600))
    assert (await keeper.get()).lifetime == 600
    for _ in range(60):
        await scene.clock.passes(9)
        keeper.usable()
    assert scene.endpoint.count == 1
    await scene.clock.passes(31)
    assert text(keeper) is None
    await scene.clock.passes(30)
    with pytest.raises(SubjectTokenInvalid, match="expired"):
        await keeper.get()
    assert scene.endpoint.count == 1


async def test_exchanged_token_shorter_than_its_subject_token_is_refreshed(scene: Scene) -> None:
    """As any other; opaque subject tokens cap nothing."""
    for subject in (subject_token(scene, 36_000), "opaque"):
        keeper = scene.source(OKTA).keeper(subject)
        await keeper.get()
        await scene.clock.passes(1700)
        keeper.usable()
        await scene.clock.passes(101)
        assert keeper.rotations == 2
    assert scene.endpoint.requests[-1]["subject_token"] == "opaque"


# -- ends --------------------------------------------------------------------------------------------


async def test_keeper_costs_no_task_and_one_timer(scene: Scene) -> None:
    """Ten thousand of them are memory and nothing else."""
    tasks = len(asyncio.all_tasks())
    source = scene.source(AGENT)
    keepers = [source.keeper(str(n)) for n in range(50)]
    await asyncio.gather(*(keeper.get() for keeper in keepers))
    await settle()
    assert len(asyncio.all_tasks()) == tasks
    assert len(scene.clock.pending) == 50
    assert not hasattr(keepers[0], "__dict__")


async def test_bug_in_a_fetch_ends_the_store_loudly() -> None:
    """What nobody expected must not end refreshing silently."""
    scene = Scene()

    def broken() -> Reply:
        raise ZeroDivisionError

    scene.endpoint.answer = broken

    async def serve() -> None:
        async with scene.store:
            scene.store.hold([scene.source(APP)])
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await serve()
    assert caught.group_contains(ZeroDivisionError)


async def test_closing_cancels_fetches_and_frees_waiters() -> None:
    """A request that waits at the end is told; later ones are, too."""
    scene = Scene()
    scene.endpoint.gate.clear()
    async with scene.store:
        keeper = scene.source(AGENT).keeper("alice")
        waiter = asyncio.create_task(keeper.get())
        await settle()
        assert scene.endpoint.under_way == 1
    with pytest.raises(TokenUnavailable):
        await waiter
    with pytest.raises(TokenUnavailable):
        await keeper.get()
    assert scene.endpoint.under_way == 0


async def test_nothing_secret_shows(scene: Scene) -> None:
    """Neither token nor subject in a keeper, its view, or any event."""
    keeper = scene.source(AGENT).keeper("canary-subject")
    scene.endpoint.answer = token("canary-token")
    await keeper.get()
    shown = f"{keeper!r}{keeper.view()!r}{scene.events.seen!r}{keeper.token!r}{scene.store!r}"
    assert "canary" not in shown


async def test_token_rejected_while_it_is_being_refreshed_waits_for_that_fetch(scene: Scene) -> None:
    """One fetch at a time: the one under way brings the next token, and who was rejected waits for it."""
    keeper = await started(scene)
    held = keeper.usable()
    assert held is not None
    scene.endpoint.gate.clear()
    await scene.clock.passes(1801)
    assert scene.events.triggers == ["startup"]
    assert scene.endpoint.count == 2
    assert keeper.reject(held)
    assert keeper.usable() is None
    waiting = asyncio.create_task(keeper.get())
    await settle()
    assert scene.endpoint.count == 2
    scene.endpoint.gate.set()
    assert (await waiting).bearer == b"Bearer t2"
    assert scene.events.triggers == ["startup", "ahead"]
    assert scene.events.drops == ["rejected"]


async def test_two_requests_for_a_token_are_half_a_second_apart(scene: Scene) -> None:
    """Also where a token lives shorter: in between the refusal comes at once."""
    scene.endpoint.lifetime = 0.3
    keeper = scene.source(AGENT).keeper("alice")
    await keeper.get()
    await scene.clock.passes(0.4)
    with pytest.raises(TokenUnavailable):
        await keeper.get()
    await scene.clock.passes(0.11)
    assert (await keeper.get()).bearer == b"Bearer t2"


async def test_events_say_whose_token_and_how_long(scene: Scene) -> None:
    """What metrics and log lines are made of, complete."""
    keeper = scene.source(AGENT).keeper("alice")
    scene.endpoint.gate.clear()
    waiting = asyncio.create_task(keeper.get())
    await scene.clock.passes(2.5)
    scene.endpoint.gate.set()
    token_held = await waiting
    assert scene.events.of("waited") == [("cred", 2.5)]
    assert scene.events.of("obtained") == [("cred", subject_digest("alice"), frozenset("s"), 3600.0)]
    scene.endpoint.answer = Reply(503, b"")
    keeper.reject(token_held)
    await settle()
    assert scene.events.of("dropped") == [("cred", "rejected")]
    assert scene.events.of("failed") == [("cred", "rejected", "http_5xx", 1.0, "HTTP 503")]


async def test_waiting_request_gets_the_next_token_when_the_first_is_rejected_at_once(scene: Scene) -> None:
    """Another request was quicker, and was told 401: the fetch that follows is waited for as well."""
    keeper = scene.source(AGENT).keeper("alice")

    async def is_told_401() -> None:
        assert keeper.reject(await keeper.get())

    _, second = await asyncio.gather(is_told_401(), keeper.get())
    assert second.bearer == b"Bearer t2"
    assert scene.events.triggers == ["demand", "rejected"]


async def test_token_that_is_over_when_it_arrives_is_a_failed_try(scene: Scene) -> None:
    """Its lifetime counts from before the request was sent."""
    scene.endpoint.lifetime = 5
    scene.endpoint.gate.clear()
    keeper = scene.source(AGENT).keeper("alice")
    waiting = asyncio.create_task(keeper.get())
    await scene.clock.passes(6)
    scene.endpoint.gate.set()
    with pytest.raises(TokenUnavailable, match="did not answer in time"):
        await waiting
    said = "the token was over before its answer had arrived"
    assert scene.events.of("failed") == [("cred", "demand", "timeout", 1.0, said)]


async def test_granted_scopes_are_told_as_the_configuration_writes_them(scene: Scene) -> None:
    """Without the prefix that the authorization server knows them by."""
    scene.endpoint.answer = token("t", scope="https://p/a b")
    source = scene.source(credential(scope_prefix="https://p/"), "a", "b")
    assert (await source.keeper().get()).scopes == {"a", "b"}
    assert scene.endpoint.requests[0]["scope"] == "https://p/a https://p/b"


async def test_view_shows_a_keeper_from_its_first_to_its_last_moment(scene: Scene) -> None:
    """Empty, fetching, held, past its end and backing off: what /status shows."""
    scene.endpoint.gate.clear()
    keeper = scene.source(AGENT, "b", "a").keeper("alice")
    first = keeper.view()
    assert (first.credential, first.scopes, first.subject) == ("cred", ("a", "b"), subject_digest("alice"))
    assert (first.state, first.startup, first.ever_obtained, first.in_use, first.rotations) == (
        "empty", False, False, True, 0
    )  # fmt: skip
    times = ("asked_at", "lifetime", "refresh_at", "hard_stop", "expires_at", "next_try", "last_error")
    assert {getattr(first, name) for name in times} == {None}
    waiting = asyncio.create_task(keeper.get())
    await settle()
    assert keeper.view().state == "fetching"
    scene.endpoint.gate.set()
    await waiting
    held, now = keeper.view(), scene.clock.now()
    assert (held.state, held.lifetime, held.asked_at, held.expires_at) == ("held", 3600.0, now, now + 3600)
    assert (held.refresh_at, held.hard_stop, held.next_try, held.rotations) == (
        now + 1800,
        now + 3570,
        None,
        1,
    )
    scene.endpoint.answer = DOWN
    await scene.clock.passes(1000)
    assert keeper.usable()
    await scene.clock.passes(800)
    failed = keeper.view()
    assert (failed.state, failed.last_error, failed.next_try) == ("held", "connect", now + 1801)
    await scene.clock.passes(1790)
    assert keeper.view().state == "backing_off"


async def test_fewer_scopes_than_asked_for_are_told_as_they_were_given(scene: Scene) -> None:
    """Not as they were wanted: the log then says what the token can do."""
    scene.endpoint.answer = token("t", scope="https://p/a")
    keeper = scene.source(credential(scope_prefix="https://p/"), "a", "b").keeper()
    assert (await keeper.get()).scopes == {"a"}


async def test_dropped_tokens_are_counted_under_their_credential(scene: Scene) -> None:
    """Expired, idle, for want of room: each with its name."""
    keeper = await started(scene)
    scene.endpoint.answer = DOWN
    await scene.clock.passes(3600)
    assert keeper.usable() is None
    assert scene.events.of("dropped") == [("cred", "expired")]
    scene.endpoint.answer = None
    await scene.source(AGENT).keeper("alice").get()
    await scene.clock.passes(1801)
    assert scene.events.of("dropped")[1:] == [("cred", "idle")]
    scene.store.reconfigure(scene.store._shared.refresh, Tokens.model_validate({"max_cached": 2}))
    for name in ("bob", "carol"):
        await scene.source(AGENT).keeper(name).get()
    assert scene.events.of("dropped")[2:] == [("cred", "capacity")]


async def test_expired_subject_token_names_the_credential_and_not_itself(scene: Scene) -> None:
    """What the caller reads in its problem document."""
    ends = scene.clock.wall() + 10
    caller = jwt.encode({"exp": ends}, "k" * 32)
    keeper = scene.source(OKTA).keeper(caller)
    await scene.clock.passes(10)
    with pytest.raises(SubjectTokenInvalid, match="the caller's bearer token has expired") as caught:
        await keeper.get()
    assert caught.value.credential == "cred"
    assert not scene.endpoint.count
