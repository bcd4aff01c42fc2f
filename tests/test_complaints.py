"""What users of other sidecars and proxies complain about, each as a test of this one.

The whole sidecar runs, between a stand-in for the authorization server and a raw upstream that looks at every
token it is shown. Time is moved by hand: hours pass in no time.

Number 14, the life of a pod - jobs that never finish, an app that is up before its proxy or goes on after it - takes
processes: test_lifecycle.py has signals and servers that are down, the suites `pod` and `chart` the order of starting
and stopping.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from sidecar.demo.keys import signing_key
from sidecar.demo.standin import StandIn
from tests.fake_clock import FakeClock
from tests.harness import OK, RawUpstream, Sidecar, Talk, answer_ok, sidecar, until, with_tokens

pytestmark = pytest.mark.usefixtures("case")  # the invariants of the battery hold here, too
UNAUTHORIZED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


class Scene:
    """Authorization server, upstream and sidecar on one clock."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(epoch=time.time())  # the stand-in checks what it is given by its own clock
        self.egain = StandIn(lifetime=60, clock=self.clock)
        self.upstream = RawUpstream()
        self.folder = folder
        self.left: list[float] = []  # seconds left of each token that the upstream was shown
        self.sidecar: Sidecar

    def mapping(self, **changes: Any) -> dict[str, Any]:
        return with_tokens(self.egain, self.upstream.url, self.folder, **changes)

    def started(self, mapping: dict[str, Any] | None = None) -> Any:
        return sidecar(mapping or self.mapping(), self.folder, self.clock)

    async def look(self, talk: Talk) -> None:
        """The upstream's script: every request shows exactly one token, which has not expired."""
        await talk.body()
        (value,) = talk.request.all("Authorization")
        token = jwt.decode(value.removeprefix("Bearer "), options={"verify_signature": False})
        self.left.append(token["exp"] - self.clock.wall())
        await talk.send(OK)

    async def passes(self, app: Sidecar, seconds: float) -> None:
        """Time passes, and whatever falls due then is seen through."""
        self.clock.advance(seconds)
        await until(lambda: not app.app._store._fetches._tasks, "the token requests' end")

    @property
    def asked(self) -> int:
        return len(self.egain.token_requests)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path)
    scene.upstream.script = scene.look
    async with scene.egain, scene.upstream.running():
        scene.egain.directory.open = True
        yield scene


async def ready(started: Sidecar) -> None:
    await until(lambda: not started.app.missing(), "readiness")


async def test_complaint_1_expired_token_is_sent_while_the_authorization_server_is_down(scene: Scene) -> None:
    """The held token serves until shortly before its end, then 503; the upstream never sees a dead one."""
    scene.egain.lifetime = 3600
    async with scene.started() as started:
        await ready(started)
        scene.egain.faults.token.on(kind="status", status=503)
        statuses = []
        for _ in range(80):
            await scene.passes(started, 60)
            statuses.append((await started.ask("/app/x")).status)
        assert statuses[:59] == [200] * 59
        assert set(statuses[60:]) == {503}
        assert min(scene.left) >= 30
        scene.egain.faults.clear()
        await scene.passes(started, 31)
        assert (await started.ask("/app/x")).status == 200


async def test_complaint_2_401_at_start_up_when_it_is_the_proxy_that_has_no_token(scene: Scene) -> None:
    """503 with Retry-After and not ready; as soon as there is a token, 200 and ready."""
    scene.egain.faults.token.on(kind="close")
    async with scene.started() as started:
        answer = await started.ask("/app/x")
        assert (answer.status, answer.error) == (503, "token_unavailable")
        assert answer.all("Retry-After")
        assert started.app.missing()
        scene.egain.faults.clear()
        await scene.passes(started, 31)
        await ready(started)
        assert (await started.ask("/app/x")).status == 200


@pytest.mark.parametrize("kind", ["garbage", "empty", "html"])
async def test_complaint_3_one_garbled_answer_and_refreshing_stops_for_ever(scene: Scene, kind: str) -> None:
    """It is one failed try: a few seconds later there is the next."""
    async with scene.started() as started:
        await ready(started)
        scene.egain.faults.token.on(kind=kind, times=1)
        await scene.passes(started, 31)
        asked = scene.asked
        await scene.passes(started, 5)
        assert scene.asked > asked
        await scene.passes(started, 20)
        assert (await started.ask("/app/x")).status == 200
        assert await started.metric("auth_sidecar_token_failures_total", reason="malformed") == 1


@pytest.mark.parametrize(("skew", "least"), [("30s", 30), ("5m", 300), ("1h", 360)])
async def test_complaint_4_no_margin_before_expiry_or_one_that_cannot_be_set(
    scene: Scene, skew: str, least: float
) -> None:
    """expiry_skew, or a tenth of the lifetime where that is less."""
    scene.egain.lifetime = 3600
    async with scene.started(scene.mapping(refresh={"expiry_skew": skew})) as started:
        await ready(started)
        scene.egain.faults.token.on(kind="status", status=503)
        for _ in range(61):
            await scene.passes(started, 60)
            await started.ask("/app/x")
        assert least <= min(scene.left) <= least + 61


@pytest.mark.parametrize("lifetime", [2, 10, 60])
async def test_complaint_5_short_tokens_are_outages_by_construction(scene: Scene, lifetime: float) -> None:
    """Whatever the lifetime, refresh comes long before the hard stop: no request fails, none waits."""
    scene.egain.lifetime = lifetime
    async with scene.started() as started:
        await ready(started)
        caller = await started.caller()
        for _ in range(100):
            await scene.passes(started, lifetime / 10)
            assert (await caller.ask("/app/x")).status == 200
        assert await started.metric("auth_sidecar_token_wait_seconds_count", credential="app") == 0
        assert scene.asked >= 10
    # The token at half its life is the last one seen: nine tenths would be soon enough for an endpoint that
    # answers at once, and a gap with any other. (What the stand-in writes into a token is whole seconds.)
    assert min(scene.left) >= lifetime * 0.4 - 1


async def test_complaint_6_thundering_herd_and_no_jitter(scene: Scene) -> None:
    """A hundred first requests make one token request; tokens of one moment are not refreshed in one moment."""
    async with scene.started() as started:
        await ready(started)
        asked = scene.asked
        answers = await asyncio.gather(
            *(started.ask("/agent/x", "X-On-Behalf-Of: alice") for _ in range(100))
        )
        assert {a.status for a in answers} == {200}
        assert scene.asked == asked + 1
        await asyncio.gather(*(started.ask("/agent/x", f"X-On-Behalf-Of: user{n}") for n in range(40)))
        views = [v for v in started.app.tokens() if v.refresh_at is not None and v.asked_at is not None]
        shares = {round((v.refresh_at or 0) - (v.asked_at or 0), 3) for v in views}
        assert len(shares) > 30
        assert all(27 <= share <= 30 for share in shares)


async def test_complaint_7_revoked_token_gives_401_until_it_expires(scene: Scene) -> None:
    """The first 401 brings a new token, and the request is sent again with it."""
    async with scene.started() as started:
        await ready(started)
        await started.ask("/app/x")
        dead = scene.upstream.requests[-1].all("Authorization")

        async def check(talk: Talk) -> None:
            await talk.send(UNAUTHORIZED if talk.request.all("Authorization") == dead else OK)

        scene.upstream.script = check
        assert [(await started.ask("/app/x")).status for _ in range(3)] == [200] * 3


async def test_complaint_8_sending_again_loses_the_body_or_returns_the_old_401(scene: Scene) -> None:
    """Every one of many requests is sent again, with its own body, and gets its own answer."""
    async with scene.started() as started:
        await ready(started)
        await started.ask("/app/x")
        dead = scene.upstream.requests[-1].all("Authorization")

        async def check(talk: Talk) -> None:
            body = await talk.body()
            if talk.request.all("Authorization") == dead:
                await talk.send(UNAUTHORIZED)
            else:
                await talk.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

        scene.upstream.script = check
        bodies = [b"body of %d" % n * n for n in range(1, 40)]
        answers = await asyncio.gather(*(started.ask("/app/x", method="POST", body=b) for b in bodies))
        assert [(a.status, a.body) for a in answers] == [(200, b) for b in bodies]


@pytest.mark.parametrize(
    ("change", "lifetime"),
    [
        ({"set": {"expires_in": "60"}}, 60),
        ({"set": {"expires_in": 60.9}}, 60.9),
        ({"set": {"expires_in": None}}, 60),
        ({"omit": ["expires_in"]}, 60),
        ({"set": {"expires_in": 10**25}}, 86400),
        ({"set": {"expires_in": 0}}, None),
        ({"set": {"expires_in": -1}}, None),
        ({"set": {"expires_in": True}}, None),
        ({"set": {"expires_in": "abc"}}, None),
        ({"set": {"expires_in": []}}, None),
    ],
    ids=str,
)
async def test_complaint_9_expires_in_is_missing_zero_negative_or_a_string(
    scene: Scene, change: dict[str, Any], lifetime: float | None
) -> None:
    """A bounded lifetime, or one failed try; never a crash, never a storm."""
    scene.egain.faults.token.on(**change)
    async with scene.started() as started:
        await until(lambda: scene.asked)
        await scene.passes(started, 0)
        answer = await started.ask("/app/x")
        if lifetime is None:
            assert (answer.status, answer.error) == (503, "token_unavailable")
            assert scene.asked == 1
        else:
            assert answer.status == 200
            assert await started.metric(
                "auth_sidecar_token_lifetime_seconds", credential="app"
            ) == pytest.approx(lifetime, abs=1)


async def test_complaint_10_wrong_cache_key_gives_another_users_or_another_scopes_token(scene: Scene) -> None:
    """Subjects, kinds of subject, scopes and credentials never share; the order of scopes does not matter."""
    read, manage = "knowledge.portalmgr.onbehalfof.read", "knowledge.portalmgr.onbehalfof.manage"
    mapping = scene.mapping()
    agent = mapping["credentials"]["agent"]
    mapping["credentials"]["byid"] = {**agent, "subject": {"userid": {"header": "X-On-Behalf-Of"}}}
    mapping["credentials"]["shopper"] = {
        **agent, "subject": {"email": {"header": "X-On-Behalf-Of"}}, "token_url": scene.egain.customer_token_url,
    }  # fmt: skip
    mapping["routes"] = [
        {"path": "/name/read", "credential": "agent", "scopes": [read]},
        {"path": "/name/both", "credential": "agent", "scopes": [read, manage]},
        {"path": "/name/both-again", "credential": "agent", "scopes": [manage, read, read]},
        {"path": "/id/read", "credential": "byid", "scopes": [read]},
        {"path": "/mail/read", "credential": "shopper", "scopes": [read]},
    ]
    async with scene.started(mapping) as started:
        for path in ("/name/read", "/name/both", "/name/both-again", "/id/read", "/mail/read"):
            for subject in ("alice", "Alice", "alice@example.com"):
                assert (await started.ask(path, f"X-On-Behalf-Of: {subject}")).status == 200
        seen = {(r.subject, tuple(sorted(set(r.scopes)))) for r in scene.egain.token_requests}
        assert len(scene.egain.token_requests) == len(seen) == 12
        for request in scene.upstream.requests:
            (value,) = request.all("Authorization")
            token = jwt.decode(value.removeprefix("Bearer "), options={"verify_signature": False})
            wanted = {read} if request.line.endswith("/read HTTP/1.1") else {read, manage}
            assert set(token["scope"].split()) == wanted
        shown = [request.all("Authorization")[0] for request in scene.upstream.requests]
        assert len(set(shown)) == 12  # `both` and `both-again` share theirs, and nobody else's
        assert shown[3:6] == shown[6:9]


async def test_complaint_11_no_private_key_jwt(scene: Scene) -> None:
    """RFC 7523, from a file that is read at each token request: the next one has the new key."""
    key = scene.folder / "key.pem"
    key.write_text(scene.egain.client_private_key)
    scene.egain.lifetime = 10
    scene.clock.epoch -= (
        20  # an assertion's times are checked by the machine's clock, which stands still here
    )
    mapping = scene.mapping()
    mapping["client"] = {
        "id": scene.egain.client_id, "auth": "private_key_jwt", "private_key": {"file": str(key)},
        "key_id": scene.egain.client_key_id,
    }  # fmt: skip
    async with scene.started(mapping) as started:
        await ready(started)
        assert (await started.ask("/app/x")).status == 200
        assert {r.client_auth for r in scene.egain.token_requests} == {"private_key_jwt"}
        new, clients = signing_key("client's next"), scene.egain.directory.clients
        registered = clients[scene.egain.client_id]
        clients[registered.id] = dataclasses.replace(registered, public_key=new.public_pem())
        key.write_text(new.private_pem())
        for _ in range(4):
            await scene.passes(started, 4)
            assert (await started.ask("/app/x")).status == 200
        assert scene.asked >= 3
        assert {r.status for r in scene.egain.token_requests} == {200}


async def test_complaint_12_no_on_behalf_of_or_exchange_at_the_egress(scene: Scene) -> None:
    """Both, side by side with the application's own token, chosen by route."""
    mine = scene.egain.idp_token("bob@example.com")
    async with scene.started() as started:
        await ready(started)
        for target, *headers in (
            ("/app/x",), ("/agent/x", "X-On-Behalf-Of: alice"), ("/okta/x", f"Authorization: Bearer {mine}"),
        ):  # fmt: skip
            assert (await started.ask(target, *headers)).status == 200
        tokens = [
            jwt.decode(r.all("Authorization")[0].removeprefix("Bearer "), options={"verify_signature": False})
            for r in scene.upstream.requests
        ]
        assert [t["sub"] for t in tokens[1:]] == ["alice", "bob"]
        assert len({t["sub"] for t in tokens}) == 3


async def test_complaint_13_secret_rotation_needs_a_restart(scene: Scene) -> None:
    """The next token request has the new secret, and no request fails in between."""
    async with scene.started() as started:
        await ready(started)
        for n in range(3):
            scene.egain.rotate_secret(f"rotated {n}")
            (scene.folder / "client-secret").write_text(f"rotated {n}\n")
            for _ in range(10):
                await scene.passes(started, 6)
                assert (await started.ask("/app/x")).status == 200
        assert {r.status for r in scene.egain.token_requests} == {200}


async def test_complaint_15_loopback_is_shared_and_identity_headers_can_be_spoofed(scene: Scene) -> None:
    """With `claim` only the verified token speaks; a header that looks like a subject changes nothing."""
    mapping = scene.mapping()
    mapping["credentials"]["agent"]["subject"] = {"username": {"claim": "sub"}}
    mapping["identity"] = {
        "jwks_url": scene.egain.idp_jwks_url, "issuer": scene.egain.idp_issuer, "audience": scene.egain.idp_audience,
    }  # fmt: skip
    mapping["credentials"]["agent"]["allow_subjects"] = ["alice@example.com"]
    async with scene.started(mapping) as started:
        spoofed = ("X-On-Behalf-Of: pa", "X-Forwarded-User: pa", "X-Remote-User: pa")
        assert (await started.ask("/agent/x", *spoofed)).error == "subject_token_missing"
        for who, status in (("alice", 200), ("bob", 403)):
            token = scene.egain.idp_token(f"{who}@example.com", sub=f"{who}@example.com")
            answer = await started.ask("/agent/x", f"Authorization: Bearer {token}", *spoofed)
            assert answer.status == status
        assert [r.subject for r in scene.egain.token_requests if r.subject] == [
            ("username", "alice@example.com")
        ]
        assert (await started.ask("/app/x", "Origin: https://page.example")).error == "origin_not_allowed"


async def test_complaint_16_buffering_breaks_event_streams(scene: Scene) -> None:
    """An event is at the caller before the upstream writes the next one."""
    step = asyncio.Event()

    async def events(talk: Talk) -> None:
        await talk.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for _ in range(3):
            await talk.send(b"8\r\ndata: x\n\r\n")
            await step.wait()
            step.clear()

    scene.upstream.script = events
    async with scene.started() as started:
        await ready(started)
        caller = await started.caller()
        await caller.send(b"GET /app/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await caller.head()
        for _ in range(3):
            assert await caller.reader.readuntil(b"data: x\n\r\n") == b"8\r\ndata: x\n\r\n"
            step.set()


async def test_complaint_17_no_metric_to_alert_on_an_expired_token(scene: Scene) -> None:
    """A gauge that counts down, passes zero, and comes back."""
    async with scene.started() as started:
        await ready(started)
        gauge = "auth_sidecar_token_expires_in_seconds"
        assert await started.metric(gauge, credential="app") == pytest.approx(60, abs=1)
        scene.egain.faults.token.on(kind="status", status=500)
        await scene.passes(started, 40)
        assert await started.metric(gauge, credential="app") == pytest.approx(20, abs=1)
        await scene.passes(started, 40)
        assert await started.metric(gauge, credential="app") == pytest.approx(-20, abs=1)
        scene.egain.faults.clear()
        await scene.passes(started, 31)
        assert (await started.metric(gauge, credential="app") or 0) > 20


async def test_complaint_18_429_is_ignored(scene: Scene) -> None:
    """Retry-After is waited for, while the held token serves."""
    async with scene.started() as started:
        await ready(started)
        scene.egain.faults.token.on(kind="throttled", retry_after="20")
        await scene.passes(started, 31)
        asked = scene.asked
        for _ in range(19):
            await scene.passes(started, 1)
            assert (await started.ask("/app/x")).status == 200
        assert scene.asked == asked
        scene.egain.faults.clear()
        await scene.passes(started, 2)
        assert scene.asked == asked + 1
        assert await started.metric("auth_sidecar_token_failures_total", reason="http_429") == 1


async def test_complaint_19_credentials_in_the_basic_header_are_not_form_encoded(scene: Scene) -> None:
    """RFC 6749 section 2.3.1, with a secret full of characters that show it."""
    scene.egain.rotate_secret("s3cr3t:with/odd%chars + ümlaut")
    mapping = scene.mapping()
    mapping["client"]["auth"] = "client_secret_basic"
    (scene.folder / "client-secret").write_text("s3cr3t:with/odd%chars + ümlaut")
    async with scene.started(mapping) as started:
        await ready(started)
        assert (await started.ask("/app/x")).status == 200
        assert {r.client_auth for r in scene.egain.token_requests} == {"client_secret_basic"}


async def test_upstream_without_complaints(scene: Scene) -> None:
    """The scene itself: a healthy sidecar serves a healthy upstream."""
    scene.upstream.script = answer_ok
    async with scene.started() as started:
        await ready(started)
        assert (await started.ask("/open/x")).body == b"ok"
