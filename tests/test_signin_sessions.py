"""Sessions: their tokens kept fresh with a refresh token that may be used once, their ends, and where they are kept."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from sidecar.errors import LoginRequired, TokenUnavailable
from sidecar.oauth.answer import Issued
from sidecar.secret import Secret
from sidecar.signin.session import digest_of
from sidecar.signin.sessions import SessionSource
from sidecar.tokens.recipe import recipe
from tests.fake_clock import FakeClock, settle
from tests.harness import until
from tests.session_process import CLAIMS, USER, RotatingServer, kept, kill, moving, process, text
from tests.token_script import CLIENT, DOWN, credential, refused, token

# -- one session, in memory ----------------------------------------------------------------------------------------


async def test_a_code_becomes_a_session_with_its_token() -> None:
    """The form is that of RFC 6749 section 4.1.3 with RFC 7636 section 4.5."""
    async with process() as one:
        cookie = await one.sign_in()
        assert len(cookie) >= 43
        assert text(one.keeper(cookie)) == "at1"
        assert one.endpoint.requests == [
            {
                "grant_type": "authorization_code",
                "code": "the-code",
                "redirect_uri": "https://app.example/.auth/callback",
                "client_id": "id",
                "code_verifier": "the-verifier",
            }
        ]
        assert one.sessions.counts() == {"user": 1}


async def test_another_cookie_is_nobody() -> None:
    """Also one of the same length, and one of another credential."""
    async with process() as one:
        cookie = await one.sign_in()
        for other in ("", "x" * 43, cookie[:-1], cookie + "x"):
            assert one.source.find(other) is None
            with pytest.raises(LoginRequired):
                one.source.keeper(digest_of(other).hex())
        assert SessionSource(one.sessions, recipe("customer", USER, CLIENT, ["s"])).find(cookie) is None


async def test_a_used_session_is_refreshed_ahead_and_rotation_is_honoured() -> None:
    """Each new refresh token is the next one sent; the scopes are not asked for again."""
    async with process() as one:
        keeper = one.keeper(await one.sign_in())
        for number in range(2, 6):
            await one.clock.passes(51)
            assert text(keeper) == f"at{number}"
        sent = [form["refresh_token"] for form in one.endpoint.requests[1:]]
        assert sent == ["rt1", "rt2", "rt3", "rt4"]
        assert one.endpoint.requests[1] == {
            "grant_type": "refresh_token", "refresh_token": "rt1", "client_id": "id"
        }  # fmt: skip
        assert one.events.triggers[1:] == ["ahead"] * 4
        assert not one.server.revoked


async def test_a_server_without_rotation_keeps_its_refresh_token() -> None:
    """RFC 6749 section 6: an answer without one leaves the old one in use."""
    async with process(RotatingServer(rotates=False)) as one:
        keeper = one.keeper(await one.sign_in())
        for number in range(2, 5):
            await one.clock.passes(51)
            assert text(keeper) == f"at{number}"
        assert {form["refresh_token"] for form in one.endpoint.requests[1:]} == {"rt1"}


async def test_hundred_requests_at_the_moment_of_expiry_make_one_refresh() -> None:
    """Two would be reuse, and strict servers then revoke the sign-in."""
    async with process() as one:
        cookie = await one.sign_in()
        one.answers(DOWN)
        await one.clock.passes(95)
        assert text(one.keeper(cookie)) is None
        one.answers(None)
        await one.clock.passes(40)
        count = one.server.refreshes
        assert count <= 1
        found = await asyncio.gather(*(one.keeper(cookie).get() for _ in range(100)))
        assert len({found_token.bearer for found_token in found}) == 1
        assert one.server.refreshes == 1
        assert not one.server.revoked


async def test_nobody_is_signed_out_because_the_server_is_down() -> None:
    """The held token serves until its hard stop, then 503; and it goes on when the server is back."""
    async with process() as one:
        cookie = await one.sign_in()
        one.answers(DOWN)
        await one.clock.passes(89)
        assert text(one.keeper(cookie)) == "at1"
        await one.clock.passes(10)
        with pytest.raises(TokenUnavailable):
            await one.keeper(cookie).get()
        one.answers(None)
        await one.clock.passes(31)
        assert (await one.keeper(cookie).get()).bearer == b"Bearer at2"
        assert one.log.ends == []


async def test_an_unused_session_is_not_refreshed_but_lives_on() -> None:
    """After a pause the next request asks, and gets its token."""
    async with process(idle_timeout="2h") as one:
        cookie = await one.sign_in()
        await one.clock.passes(3600)
        asked = one.endpoint.count
        await one.clock.passes(1800)
        assert one.endpoint.count == asked
        assert (await one.keeper(cookie).get()).bearer.startswith(b"Bearer at")
        assert one.endpoint.count == asked + 1


async def test_a_refused_refresh_token_ends_the_session() -> None:
    """`invalid_grant`: whoever comes next has to sign in."""
    async with process() as one:
        cookie = await one.sign_in()
        keeper = one.keeper(cookie)
        one.server.revoked = True
        await one.clock.passes(51)
        assert one.log.ends == ["refused"]
        assert one.source.find(cookie) is None
        with pytest.raises(LoginRequired):
            await keeper.get()
        asked = one.endpoint.count
        await one.clock.passes(1000)
        assert one.endpoint.count == asked


async def test_a_refused_client_ends_no_session() -> None:
    """That is ours to mend, and the refresh token is still good."""
    async with process() as one:
        cookie = await one.sign_in()
        one.answers(refused("invalid_client", 401))
        await one.clock.passes(60)
        assert one.log.ends == []
        assert text(one.keeper(cookie)) == "at1"
        one.answers(None)
        await one.clock.passes(31)
        assert text(one.keeper(cookie)) == "at2"


async def test_without_a_refresh_token_the_session_ends_with_its_token() -> None:
    """There is no other way to another one."""
    async with process() as one:
        one.answers(token("at1", 100))
        cookie = await one.sign_in()
        await one.clock.passes(89)
        keeper = one.keeper(cookie)
        assert text(keeper) == "at1"
        await one.clock.passes(2)
        with pytest.raises(LoginRequired):
            await keeper.get()
        assert (one.log.ends, one.source.find(cookie)) == (["expired"], None)
        assert one.endpoint.count == 1


async def test_a_rejected_token_is_refreshed_once() -> None:
    """The API said 401: the token is dropped, a new one fetched."""
    async with process() as one:
        keeper = one.keeper(await one.sign_in())
        first = await keeper.get()
        assert keeper.reject(first)
        assert (await keeper.get()).bearer == b"Bearer at2"
        assert one.events.triggers[-1] == "rejected"


async def test_a_rejected_token_without_refresh_token_is_the_end() -> None:
    """The person has to sign in again."""
    async with process() as one:
        one.answers(token("at1", 100))
        cookie = await one.sign_in()
        keeper = one.keeper(cookie)
        assert keeper.reject(await keeper.get())
        with pytest.raises(LoginRequired):
            await keeper.get()
        assert one.log.ends == ["rejected"]


@pytest.mark.parametrize(
    ("settings", "step", "reason"),
    [
        ({"idle_timeout": "10m"}, 601, "idle"),
        ({"idle_timeout": "10m", "max_lifetime": "30m"}, 300, "lifetime"),
    ],
    ids=["idle", "lifetime"],
)
async def test_a_session_ends_when_nobody_uses_it_or_when_it_is_old(
    settings: dict[str, Any], step: float, reason: str
) -> None:
    """Use keeps it alive, but not for ever."""
    async with process(**settings) as one:
        cookie = await one.sign_in()
        for _ in range(5):
            await one.clock.passes(min(step, 300))
            if step == 300:
                one.keeper(cookie).usable()
        await one.clock.passes(step)
        assert one.source.find(cookie) is None
        assert one.log.ends == [reason]


async def test_looking_at_a_session_does_not_keep_it_alive() -> None:
    """A page that asks `/.auth/session` every minute is not a person who works."""
    async with process(idle_timeout="10m") as one:
        cookie = await one.sign_in()
        for _ in range(9):
            await one.clock.passes(60)
            assert one.source.find(cookie) is not None
        await one.clock.passes(61)
        assert one.source.find(cookie) is None


async def test_too_many_sessions_end_the_one_longest_unused() -> None:
    """Memory is bounded."""
    async with process(max_sessions=2) as one:
        first, second = await one.sign_in(), await one.sign_in()
        one.keeper(first).usable()
        third = await one.sign_in()
        assert [one.source.find(c) is not None for c in (first, second, third)] == [True, False, True]
        assert one.log.ends == ["capacity"]


async def test_a_signed_out_session_is_not_refreshed() -> None:
    """Its cookie leads nowhere, and its timer is gone."""
    async with process() as one:
        cookie = await one.sign_in()
        one.sessions.end(one.keeper(cookie), "logout")
        await one.clock.passes(1000)
        assert (one.endpoint.count, one.source.find(cookie)) == (1, None)


async def test_a_reload_keeps_sessions_of_credentials_that_stay() -> None:
    """New scopes or another secret sign nobody out; another authorization server does."""
    async with process() as one:
        cookie = await one.sign_in()
        one.sessions.hold([SessionSource(one.sessions, recipe("user", USER, CLIENT, ["s", "more"]))])
        assert one.source.find(cookie) is not None
        moved = USER.model_copy(update={"token_url": credential().token_url.parse("https://b.example/token")})
        one.sessions.hold([SessionSource(one.sessions, recipe("user", moved, CLIENT, ["s"]))])
        assert (one.source.find(cookie), one.log.ends) == (None, ["removed"])


async def test_no_token_is_in_a_repr() -> None:
    """Neither of the record nor of the keeper."""
    async with process() as one:
        keeper = one.keeper(await one.sign_in())
        shown = repr(keeper.session) + repr(keeper) + repr(one.sessions.views())
        assert not any(secret in shown for secret in ("at1", "rt1", "Ada"))


# -- kept in a file ------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


async def test_a_session_survives_a_restart(path: Path) -> None:
    """Cookie, token, refresh token and claims: the next process goes on with them."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as first:
        cookie = await first.sign_in()
    await clock.passes(10)
    async with process(server, clock, kept(path)) as second:
        assert second.source.find(cookie) is None
        keeper = await second.source.load(cookie)
        assert keeper is not None
        assert (text(keeper), keeper.session.claims) == ("at1", CLAIMS)
        assert second.endpoint.count == 0
        await clock.passes(41)
        await until(lambda: text(second.keeper(cookie)) == "at2", "the refresh")
    async with process(server, clock, kept(path)) as third:
        keeper = await third.source.load(cookie)
        assert keeper is not None
        assert (text(keeper), keeper.session.generation) == ("at2", 1)
    assert not server.revoked


async def test_the_file_gives_nothing_away(path: Path) -> None:
    """No token, no claim, no cookie in it or beside it; and nobody else may read it."""
    async with process(store=kept(path)) as one:
        cookie = await one.sign_in()
        raw = b"".join(file.read_bytes() for file in path.parent.iterdir())
        for secret in ("at1", "rt1", "Ada", cookie):
            assert secret.encode() not in raw
        assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}


async def test_another_key_reads_nothing(path: Path) -> None:
    """Whoever has only the file signs in again."""
    async with process(store=kept(path)) as one:
        cookie = await one.sign_in()
    async with process(store=kept(path, Secret("q" * 32))) as other:
        assert await other.source.load(cookie) is None


async def test_a_record_put_in_the_place_of_another_opens_nothing(path: Path) -> None:
    """Somebody who can write the file cannot make one person another."""
    async with process(store=kept(path)) as one:
        mine, theirs = await one.sign_in(), await one.sign_in()
    with contextlib.closing(sqlite3.connect(path)) as base, base:
        rows = base.execute("SELECT digest, sealed FROM sessions").fetchall()
        base.execute("UPDATE sessions SET sealed = ? WHERE digest = ?", (rows[0][1], rows[1][0]))
        base.execute("UPDATE sessions SET sealed = ? WHERE digest = ?", (rows[1][1], rows[0][0]))
    async with process(store=kept(path)) as other:
        assert await other.source.load(mine) is None
        assert await other.source.load(theirs) is None


async def test_a_session_that_ended_is_gone_from_the_file(path: Path) -> None:
    """Signed out, or over while no process ran."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as one:
        out, late = await one.sign_in(), await one.sign_in()
        one.sessions.end(one.keeper(out), "logout")
        await until(lambda: not one.sessions._fetches._tasks, "the removal")
    await clock.passes(1801)
    async with process(server, clock, kept(path)) as other:
        assert await other.source.load(out) is None
        assert await other.source.load(late) is None
    with contextlib.closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


async def test_use_is_noted_in_the_file(path: Path) -> None:
    """Else a restart would end sessions that are in use."""
    server, clock = RotatingServer(lifetime=100_000), FakeClock()
    async with process(server, clock, kept(path)) as one:
        cookie = await one.sign_in()
        await clock.passes(1700)
        one.keeper(cookie).usable()
    await clock.passes(1700)
    async with process(server, clock, kept(path)) as other:
        assert await other.source.load(cookie) is not None


async def test_two_processes_refresh_a_session_once_and_share_what_they_get(path: Path) -> None:
    """A rolling update: both have the session in memory, and its refresh point comes for both."""
    server, clock = RotatingServer(), FakeClock()
    async with (
        process(server, clock, kept(path)) as old,
        process(server, clock, kept(path)) as new,
    ):
        cookie = await old.sign_in()
        theirs = await new.source.load(cookie)
        assert theirs is not None
        mine = old.keeper(cookie)
        for number in range(2, 6):
            mine.usable()
            theirs.usable()
            await clock.passes(51)
            await moving(clock, lambda n=number: text(mine) == text(theirs) == f"at{n}", 0.1)  # type: ignore[misc]
        assert (server.refreshes, server.revoked) == (4, False)
        assert (old.log.refreshes + new.log.refreshes).count("taken_over") == 4


async def test_the_loser_of_a_race_takes_over_the_winners_tokens(path: Path) -> None:
    """Its request took so long that another process's turn came: nobody is logged out by that."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as old, process(server, clock, kept(path)) as slow:
        cookie = await old.sign_in()
        theirs = await slow.source.load(cookie)
        assert theirs is not None
        slow.endpoint.gate.clear()
        slow.answers(refused("invalid_grant"))
        assert theirs.reject(await theirs.get())
        await until(lambda: slow.endpoint.under_way, "the slow request")
        await clock.passes(25)
        mine = old.keeper(cookie)
        assert mine.reject(await mine.get())
        assert (await mine.get()).bearer == b"Bearer at2"
        slow.endpoint.gate.set()
        assert (await theirs.get()).bearer == b"Bearer at2"
        assert (slow.log.ends, old.log.ends, slow.log.refreshes) == ([], [], ["taken_over"])


async def test_a_crash_between_rotation_and_storage_is_noticed(
    path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The refresh token in the file is dead: the next process finds the note, asks, and says so."""
    server, clock = RotatingServer(), FakeClock()
    store = kept(path)
    async with process(server, clock, store) as first:
        cookie = await first.sign_in()

        async def crash(session: object) -> None:
            await asyncio.Event().wait()  # the process dies here

        store.save = crash  # type: ignore[method-assign]
        await clock.passes(51)
        await until(lambda: server.refreshes == 1, "the rotation")
        await settle()
        kill(first)
    async with process(server, clock, kept(path)) as second:
        keeper = await second.source.load(cookie)
        assert keeper is not None
        assert keeper.session.refreshing is not None
        assert text(keeper) == "at1"  # it has not run out, and is as good as ever
        await moving(clock, lambda: second.log.ends == ["interrupted"])  # the dead process's turn ends
        with pytest.raises(LoginRequired):
            await keeper.get()
    with contextlib.closing(sqlite3.connect(path)) as base:
        assert base.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


async def test_a_crash_before_the_server_heard_of_it_costs_nothing(path: Path) -> None:
    """The note is there, but the refresh token still works."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as first:
        cookie = await first.sign_in()
        first.endpoint.gate.clear()
        await clock.passes(51)
        await until(lambda: first.endpoint.under_way == 1, "the request")
        kill(first)
    async with process(server, clock, kept(path)) as second:
        keeper = await second.source.load(cookie)
        assert keeper is not None
        assert keeper.session.refreshing is not None
        await moving(clock, lambda: text(keeper) == "at2")
        assert second.log.ends == []


async def test_a_store_that_fails_ends_no_session(path: Path) -> None:
    """A full disk: sessions go on in memory, and the log says so."""
    clock = FakeClock()
    store = kept(path)
    async with process(clock=clock, store=store) as one:

        async def fail(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        for name in ("save", "begin", "give_up", "touch", "remove", "clean", "find"):
            setattr(store, name, fail)
        cookie = await one.sign_in()
        await clock.passes(51)
        assert text(one.keeper(cookie)) == "at2"
        assert await one.source.load("x" * 43) is None
        one.sessions.end(one.keeper(cookie), "logout")
        await settle()


async def test_a_store_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """The sidecar then does not start."""
    with pytest.raises(OSError, match="No such file"):
        async with process(store=kept(tmp_path / "no" / "such" / "place")):
            pass
    (tmp_path / "no-database").write_bytes(b"x" * 4096)
    with pytest.raises(OSError, match="SQLite"):
        async with process(store=kept(tmp_path / "no-database")):
            pass


def test_issued_tokens_of_an_answer_are_unprintable() -> None:
    """`repr` of what the token endpoint answered shows neither."""
    assert repr(Issued("at", 1.0, None, "rt", "it")) == "Issued(lifetime=1.0, scopes=None)"
