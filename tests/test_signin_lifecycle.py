"""What must not happen to sessions: races, clocks that are set, stores that fail, processes that end."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path

import pytest

from sidecar.errors import LoginRequired
from sidecar.signin.seal import Seal
from sidecar.signin.sessions import SessionSource
from sidecar.signin.sqlite import SqliteStore
from sidecar.tokens.recipe import recipe
from tests.fake_clock import FakeClock, settle
from tests.harness import until
from tests.session_process import CLAIMS, KEY, USER, Process, RotatingServer, kept, kill, process, text
from tests.token_script import CLIENT, credential, refused

HOUR = 3600.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as base:
        found: tuple[int] = base.execute("SELECT count(*) FROM sessions").fetchone()
    return found[0]


def broken(store: SqliteStore, *names: str) -> None:
    """These calls fail from now on, as on a full disk."""

    async def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    for name in names:
        setattr(store, name, fail)


def mended(store: SqliteStore, *names: str) -> None:
    for name in names:
        delattr(store, name)


async def work(one: Process, cookie: str, seconds: float, step: float = 600) -> None:
    """Somebody goes on using a session."""
    for _ in range(int(seconds // step)):
        one.keeper(cookie).usable()
        await one.clock.passes(step)


# -- the wall clock is set -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-20 * HOUR, 20 * HOUR])
async def test_setting_the_wall_clock_ends_no_session_and_prolongs_none(jump: float) -> None:
    """Neither its idle time nor its lifetime."""
    async with process(RotatingServer(lifetime=1e6), max_lifetime="12h") as one:
        cookie = await one.sign_in()
        await work(one, cookie, 2 * HOUR)
        one.clock.epoch += jump
        await work(one, cookie, 9.5 * HOUR)
        assert one.source.find(cookie) is not None
        await one.clock.passes(1000)
        assert one.source.find(cookie) is not None
        one.keeper(cookie).usable()
        await one.clock.passes(1000)
        assert one.source.find(cookie) is None
        assert one.log.ends == ["lifetime"]


@pytest.mark.parametrize("jump", [-20 * HOUR, 20 * HOUR])
async def test_setting_the_wall_clock_ends_no_session_in_a_file(path: Path, jump: float) -> None:
    """What the file says of its age is corrected, before anything is cleaned away."""
    server, clock = RotatingServer(lifetime=7200), FakeClock()
    async with process(server, clock, kept(path)) as one:
        cookie = await one.sign_in()
        clock.epoch += jump
        await clock.passes(61)
        await until(lambda: not one.sessions._fetches._tasks)
        await clock.passes(60)
        await until(lambda: not one.sessions._fetches._tasks)
        assert rows(path) == 1
        keeper = one.keeper(cookie)
        assert keeper.reject(await keeper.get())
        assert (await keeper.get()).bearer == b"Bearer at2"
        assert one.log.ends == []
    await clock.passes(1000)
    async with process(server, clock, kept(path)) as other:
        keeper_there = await other.source.load(cookie)
        assert keeper_there is not None
        assert keeper_there.ends_at - clock.now() == pytest.approx(12 * HOUR - 1121, abs=2)
        assert keeper_there.over_at - clock.now() == pytest.approx(1800 - 1000, abs=2)


# -- signing out ---------------------------------------------------------------------------------------------------


async def test_signing_out_while_a_refresh_is_under_way_is_for_good(path: Path) -> None:
    """The refresh brings a token and its place in the file back for nobody."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as one:
        cookie = await one.sign_in()
        keeper = one.keeper(cookie)
        one.endpoint.gate.clear()
        assert keeper.reject(await keeper.get())
        waiting = asyncio.create_task(keeper.get())
        await until(lambda: one.endpoint.under_way, "the refresh")
        await one.sessions.sign_out(keeper, "logout")
        one.endpoint.gate.set()
        with pytest.raises(LoginRequired):
            await waiting
        await until(lambda: not one.sessions._fetches._tasks)
        assert await one.source.load(cookie) is None
        assert rows(path) == 0


async def test_what_was_signed_out_is_out_of_the_file_at_once(path: Path) -> None:
    """The process may die with the answer to the logout on its way."""
    async with process(store=kept(path)) as one:
        await one.sessions.sign_out(one.keeper(await one.sign_in()), "logout")
        kill(one)
        assert rows(path) == 0


async def test_a_session_that_could_not_be_removed_does_not_come_back(path: Path) -> None:
    """The file is locked: the cookie is dead all the same, and the row goes when it can."""
    store = kept(path)
    async with process(store=store) as one:
        cookie = await one.sign_in()
        broken(store, "remove")
        await one.sessions.sign_out(one.keeper(cookie), "logout")
        assert await one.source.load(cookie) is None
        assert rows(path) == 1
        mended(store, "remove")
        await one.clock.passes(61)
        await until(lambda: rows(path) == 0)


async def test_nothing_is_asked_for_after_signing_out() -> None:
    """Not even when the API rejects the token of a request that was under way."""
    async with process() as one:
        keeper = one.keeper(await one.sign_in())
        held = await keeper.get()
        await one.sessions.sign_out(keeper, "logout")
        assert keeper.reject(held)
        with pytest.raises(LoginRequired):
            await keeper.get()
        assert one.endpoint.count == 1


# -- a store that fails for a while --------------------------------------------------------------------------------


async def test_a_refresh_token_that_could_not_be_kept_is_used_all_the_same(path: Path) -> None:
    """The one in the file is used up: sending it again would end the sign-in at strict servers."""
    store, clock = kept(path), FakeClock()
    async with process(clock=clock, store=store) as one:
        cookie = await one.sign_in()
        broken(store, "save")
        keeper = one.keeper(cookie)
        await clock.passes(51)
        await until(lambda: text(keeper) == "at2")
        mended(store, "save")
        await clock.passes(51)
        await until(lambda: text(keeper) == "at3")
        assert not one.server.revoked
        await until(lambda: not one.sessions._fetches._tasks)
    async with process(one.server, clock, kept(path)) as other:
        found = await other.source.load(cookie)
        assert found is not None
        assert text(found) == "at3"


async def test_a_session_that_could_not_be_kept_at_first_is_kept_later(path: Path) -> None:
    """That the file knows nothing of it does not mean that somebody has signed out."""
    store = kept(path)
    async with process(store=store) as one:
        broken(store, "add")
        cookie = await one.sign_in()
        mended(store, "add")
        await one.clock.passes(51)
        await until(lambda: text(one.keeper(cookie)) == "at2")
        await until(lambda: rows(path) == 1)


async def test_a_file_that_cannot_be_opened_leaves_nothing_behind(path: Path) -> None:
    """A reload may try again and again."""
    path.write_bytes(b"x" * 4096)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(OSError, match="SQLite"):
            await kept(path).open()
    assert threading.active_count() == before


# -- several processes ---------------------------------------------------------------------------------------------


async def test_a_session_unused_here_lives_on_where_it_is_used(path: Path) -> None:
    """The ingress has sent somebody here once, and elsewhere since."""
    server, clock = RotatingServer(lifetime=1e6), FakeClock()
    async with process(server, clock, kept(path)) as here, process(server, clock, kept(path)) as there:
        cookie = await here.sign_in()
        assert await there.source.load(cookie) is not None
        for _ in range(35):
            there.keeper(cookie).usable()
            await clock.passes(60)
            await until(lambda: not there.sessions._fetches._tasks)
        assert here.source.find(cookie) is None
        await until(lambda: not here.sessions._fetches._tasks)
        assert (here.log.ends, rows(path)) == ([], 1)
        assert await here.source.load(cookie) is not None
        await clock.passes(1860)
        await until(lambda: "idle" in here.log.ends + there.log.ends)
        assert rows(path) == 0


async def test_the_end_of_a_process_waits_for_its_refreshes(path: Path) -> None:
    """A rolling update must not lose a refresh token between rotation and storage."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as old:
        cookie = await old.sign_in()
        old.endpoint.gate.clear()
        await clock.passes(51)
        await until(lambda: old.endpoint.under_way)
        asyncio.get_running_loop().call_later(0.1, old.endpoint.gate.set)
    assert server.refreshes == 1
    async with process(server, clock, kept(path)) as new:
        keeper = await new.source.load(cookie)
        assert keeper is not None
        assert (text(keeper), keeper.session.refreshing) == ("at2", None)


async def test_a_row_of_another_version_is_nobody(path: Path) -> None:
    """Two versions share the file during an update: that is no bug, and ends no process."""
    async with process(store=kept(path)) as one:
        cookie = await one.sign_in()
        digest = one.keeper(cookie).key
        sealed = Seal(KEY).seal(b"session %b %d" % (digest, 7), b'{"claims": {}}')
        with contextlib.closing(sqlite3.connect(path)) as base, base:
            base.execute("UPDATE sessions SET generation = 7, sealed = ?", (sealed,))
        async with process(store=kept(path)) as other:
            assert await other.source.load(cookie) is None
        await one.clock.passes(51)
        await until(lambda: one.log.ends == ["gone"])


# -- what the file is believed -------------------------------------------------------------------------------------


async def test_what_stands_beside_the_sealed_record_is_not_believed(path: Path) -> None:
    """Whoever can write the file makes no session another credential's, and none younger."""
    server, clock = RotatingServer(lifetime=1e6), FakeClock()
    async with process(server, clock, kept(path)) as one:
        cookie = await one.sign_in()
    with contextlib.closing(sqlite3.connect(path)) as base, base:
        base.execute("UPDATE sessions SET credential = 'admin', created = created + 1e6")
    async with process(server, clock, kept(path)) as other:
        admin = SessionSource(other.sessions, recipe("admin", USER, CLIENT, ["s"]))
        assert await admin.load(cookie) is None
        found = await other.source.load(cookie)
        assert found is not None
        assert found.ends_at - clock.now() <= 12 * HOUR


async def test_tokens_of_another_authorization_server_are_not_sent_to_this_one(path: Path) -> None:
    """The configuration was changed between two starts."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as one:
        cookie = await one.sign_in()
    moved = USER.model_copy(update={"token_url": credential().token_url.parse("https://b.example/token")})
    async with process(server, clock, kept(path)) as other:
        assert await SessionSource(other.sessions, recipe("user", moved, CLIENT, ["s"])).load(cookie) is None


async def test_a_lasting_sign_in_is_not_cleaned_away_unused(path: Path) -> None:
    """The next `auth-sidecar login` of another credential must not end this one."""
    server, clock = RotatingServer(), FakeClock()
    async with process(server, clock, kept(path)) as one:
        found = await one.source.sign_in("the-code", "the-verifier")
        assert isinstance(found, tuple)
        cookie = await one.source.begin(*found, CLAIMS, cookie="of-the-terminal")
        await settle()
    await clock.passes(2 * HOUR)
    async with process(server, clock, kept(path)):
        pass
    async with process(server, clock, kept(path)) as other:
        assert await other.source.load(cookie) is not None


async def test_a_refused_refresh_is_counted() -> None:
    """`refused` among the refreshes, and the end of the session by that."""
    async with process() as one:
        await one.sign_in()
        one.answers(refused("invalid_grant"))
        await one.clock.passes(51)
        assert (one.log.refreshes, one.log.ends) == (["refused"], ["refused"])
