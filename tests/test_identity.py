"""Who the caller is: a JWT verified by its provider's keys."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from sidecar.config.schema import Identity as Settings
from sidecar.config.values import HttpUrl
from sidecar.errors import SubjectTokenInvalid, TokenUnavailable
from sidecar.identity import Identity
from sidecar.oauth.answer import Failure, Reply
from sidecar.oauth.keyset import read_keys
from tests.fake_clock import FakeClock, settle

ISSUER, AUDIENCE = "https://idp.example.com/", "my-app"
RSA_KEY = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
ED = ed25519.Ed25519PrivateKey.generate()
KINDS: dict[str, Any] = {"RS256": RSA_KEY, "PS256": RSA_KEY, "ES256": P256, "ES384": P384, "EdDSA": ED}


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    algorithm = {rsa.RSAPrivateKey: "RS256", ec.EllipticCurvePrivateKey: "ES256"}
    kind = next((name for cls, name in algorithm.items() if isinstance(key, cls)), "EdDSA")
    found = jwt.get_algorithm_by_name(kind).to_jwk(key.public_key(), as_dict=True)
    return {**found, **({} if kid is None else {"kid": kid}), **more}


def document(*keys: Any) -> Reply:
    return Reply(200, json.dumps({"keys": keys}).encode())


@dataclass
class Documents:
    """A scripted provider."""

    reply: Reply | Failure
    count: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def fetch(self, url: HttpUrl) -> Reply | Failure:
        self.count += 1
        await self.gate.wait()
        return self.reply


class Scene:
    """An identity with a fake clock and a scripted provider."""

    def __init__(self, *keys: Any, **settings: Any) -> None:
        self.clock = FakeClock()
        self.documents = Documents(document(*(keys or (jwk(RSA_KEY, "1"),))))
        self.documents.gate.set()
        values = {"jwks_url": "https://idp.example.com/keys", "issuer": ISSUER, "audience": AUDIENCE}
        self.identity = Identity(Settings.model_validate(values | settings), self.clock, self.documents)

    def token(
        self, key: Any = RSA_KEY, kid: str | None = "1", algorithm: str = "RS256", **claims: Any
    ) -> str:
        all_claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": self.clock.wall() + 600, "sub": "alice"} | claims
        all_claims = {name: value for name, value in all_claims.items() if value is not None}
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(all_claims, key, algorithm=algorithm, headers=headers)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA"])
async def test_valid_token_gives_its_claims(algorithm: str) -> None:
    """Every asymmetric kind of signature."""
    scene = Scene(*(jwk(key, name) for name, key in KINDS.items()), algorithms=list(KINDS))
    claims = await scene.identity.verify(scene.token(KINDS[algorithm], algorithm, algorithm, sub="alice"))
    assert claims["sub"] == "alice"


INVALID: dict[str, dict[str, Any]] = {
    "issuer": {"iss": "https://evil.example/"},
    "no issuer": {"iss": None},
    "audience": {"aud": "other"},
    "no audience": {"aud": None},
    "expired": {"exp": 1_800_000_000 - 31},
    "no exp": {"exp": None},
    "exp is text": {"exp": "soon"},
    "exp is huge": {"exp": 1e300},
    "not yet": {"nbf": 1_800_000_000 + 31},
    "from the future": {"iat": 1_800_000_000 + 31},
    "nbf is text": {"nbf": "soon"},
    "other key": {"key": OTHER_RSA},
    "unknown kid": {"kid": "2"},
    "algorithm not accepted": {"algorithm": "RS384"},
    "key of another kind": {"key": P256, "algorithm": "ES256"},
}


@pytest.mark.parametrize("change", INVALID.values(), ids=INVALID)
async def test_token_that_is_not_valid_is_refused(change: dict[str, Any]) -> None:
    """Each check alone is enough for a 401, and nothing of the token is in its text."""
    scene = Scene()
    token = scene.token(**change)
    with pytest.raises(SubjectTokenInvalid) as caught:
        await scene.identity.verify(token)
    assert "alice" not in caught.value.detail
    assert scene.identity.known(token) is None


async def test_leeway_is_for_clocks_that_differ() -> None:
    """30 s before and after."""
    scene = Scene()
    now = scene.clock.wall()
    for claims in ({"exp": now - 29}, {"nbf": now + 29}, {"iat": now + 29}, {"aud": ["x", AUDIENCE]}):
        assert await scene.identity.verify(scene.token(**claims))


async def test_public_key_is_never_an_hmac_secret() -> None:
    """alg: HS256 and none are refused, even when a configuration could name them."""
    scene = Scene()
    settings = Settings.model_construct(
        jwks_url=HttpUrl.endpoint("https://idp/keys"),
        issuer=ISSUER,
        audience=AUDIENCE,
        algorithms=["HS256", "none", "RS256"],
    )
    identity = Identity(settings, scene.clock, scene.documents)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": scene.clock.wall() + 60}
    public = base64.urlsafe_b64decode(jwk(RSA_KEY, "1")["n"] + "==")
    for forged in (
        jwt.encode(claims, public, algorithm="HS256", headers={"kid": "1"}),
        jwt.encode(claims, "", algorithm="none", headers={"kid": "1"}),
    ):
        with pytest.raises(SubjectTokenInvalid, match="algorithm"):
            await identity.verify(forged)


GARBAGE = ["", "a", "a.b", "a.b.c", "....", "é.é.é", "\ud800.a.b", "e30.e30.", "W10.e30.x", "A" * 100_000]


@pytest.mark.parametrize("token", GARBAGE, ids=map(ascii, [g[:20] for g in GARBAGE]))
async def test_garbage_is_refused(token: str) -> None:
    """Never a crash."""
    with pytest.raises(SubjectTokenInvalid):
        await Scene().identity.verify(token)


async def test_deeply_nested_token_is_refused() -> None:
    """A header or payload of brackets only."""

    def part(raw: bytes) -> str:
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    deep, header = part(b"[" * 100_000), part(b'{"alg":"RS256","kid":"1"}')
    for token in (f"{deep}.e30.x", f"{header}.{deep}.{part(bytes(256))}"):
        with pytest.raises(SubjectTokenInvalid):
            await Scene().identity.verify(token)


async def test_verified_token_is_known_until_it_expires() -> None:
    """The hot path computes nothing; a jump of the wall clock changes nothing."""
    scene = Scene()
    token = scene.token(exp=scene.clock.wall() + 200)
    assert scene.identity.known(token) is None
    claims = await scene.identity.verify(token)
    assert scene.identity.known(token) is claims
    assert scene.identity.known(token + "x") is None
    scene.clock.epoch -= 1e6
    scene.clock.advance(199)
    assert scene.identity.known(token) is claims
    scene.clock.advance(1)
    assert scene.identity.known(token) is None


async def test_keys_are_fetched_once_for_all() -> None:
    """Single flight; a waiter that is cancelled does not spoil it for the others."""
    scene = Scene()
    scene.documents.gate.clear()
    tokens = [scene.token(sub=str(n)) for n in range(20)]
    tasks = [asyncio.create_task(scene.identity.verify(token)) for token in tokens]
    await settle()
    assert scene.documents.count == 1
    tasks[0].cancel()
    await settle()
    scene.documents.gate.set()
    first, *others = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(first, asyncio.CancelledError)
    assert all(isinstance(claims, dict) for claims in others)
    assert scene.documents.count == 2  # the cancelled one's, and the next in line's


async def test_unknown_kid_fetches_the_keys_again_but_not_each_time() -> None:
    """A rotated key is found; made-up ones make no storm."""
    scene = Scene()
    await scene.identity.verify(scene.token())
    rotated = scene.token(OTHER_RSA, "2")
    scene.documents.reply = document(jwk(RSA_KEY, "1"), jwk(OTHER_RSA, "2"))
    for _ in range(100):
        with pytest.raises(SubjectTokenInvalid):
            await scene.identity.verify(rotated)
    assert scene.documents.count == 1
    scene.clock.advance(31)
    assert await scene.identity.verify(rotated)
    assert scene.documents.count == 2


async def test_withdrawn_key_counts_no_longer() -> None:
    """Within five minutes, also for tokens that were verified with it."""
    scene = Scene(jwk(RSA_KEY, "1"), jwk(OTHER_RSA, "2"))
    good, bad = scene.token(), scene.token(OTHER_RSA, "2")
    await scene.identity.verify(good)
    await scene.identity.verify(bad)
    scene.documents.reply = document(jwk(RSA_KEY, "1"))
    scene.clock.advance(301)
    await scene.identity.verify(scene.token(sub="bob"))
    with pytest.raises(SubjectTokenInvalid):
        await scene.identity.verify(bad)
    assert await scene.identity.verify(good)


NO_KEYS = [
    Failure("unavailable", "connect", "down"),
    Reply(500, b""),
    Reply(302, b""),
    Reply(200, b"<html>"),
    Reply(200, b"[]"),
    Reply(200, b'{"keys": {}}'),
    Reply(200, b"[" * 100_000),
]


@pytest.mark.parametrize("reply", NO_KEYS, ids=[str(n) for n in range(len(NO_KEYS))])
async def test_keys_that_cannot_be_had_are_a_503(reply: Reply | Failure) -> None:
    """Not the caller's fault; tried again with backoff, not by each request."""
    scene = Scene()
    good = scene.documents.reply
    scene.documents.reply = reply
    for _ in range(50):
        with pytest.raises(TokenUnavailable, match="keys") as caught:
            await scene.identity.verify(scene.token())
        assert caught.value.retry_after == 1
    assert scene.documents.count == 1
    scene.documents.reply = good
    scene.clock.advance(1.01)
    assert await scene.identity.verify(scene.token())


async def test_old_keys_serve_while_the_provider_is_down() -> None:
    """For a day."""
    scene = Scene()
    await scene.identity.verify(scene.token())
    scene.documents.reply = Failure("unavailable", "connect", "down")
    scene.clock.advance(3600)
    assert await scene.identity.verify(scene.token(sub="bob"))
    scene.clock.advance(86_400)
    with pytest.raises(TokenUnavailable):
        await scene.identity.verify(scene.token(sub="carol"))


async def test_keys_from_a_file(tmp_path: Path) -> None:
    """jwks_file; a file that is gone is a 503."""
    file = tmp_path / "keys.json"
    scene = Scene(jwks_url=None, jwks_file=file)
    with pytest.raises(TokenUnavailable):
        await scene.identity.verify(scene.token())
    file.write_bytes(document(jwk(RSA_KEY, "1")).body)
    scene.clock.advance(1.01)
    assert await scene.identity.verify(scene.token())
    assert scene.documents.count == 0


def test_unusable_keys_are_passed_over() -> None:
    """One bad entry does not spoil the set; symmetric, encryption and short keys are no use."""
    short = rsa.generate_private_key(65537, 1024)
    keys: list[Any] = [
        jwk(RSA_KEY, "good"),
        jwk(RSA_KEY, "enc", use="enc"),
        jwk(short, "short"),
        {"kty": "oct", "k": "AAAA", "kid": "hmac"},
        {"kty": "RSA", "n": "", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": ["P-256"]},
        {"kty": ["RSA"]},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        None, 7, "key", [], {},
    ]  # fmt: skip
    found = read_keys(document(*keys).body)
    assert [key.kid for key in found] == ["good"]


async def test_private_parts_of_a_published_key_are_not_read() -> None:
    """A provider's slip: the key verifies, and only its public part is kept."""
    private = jwt.get_algorithm_by_name("RS256").to_jwk(RSA_KEY, as_dict=True)
    scene = Scene({**private, "kid": "1"})
    assert await scene.identity.verify(scene.token())
    assert isinstance(read_keys(scene.documents.reply.body)[0].public, rsa.RSAPublicKey)  # type: ignore[union-attr]


async def test_key_serves_only_the_algorithm_it_names() -> None:
    """`alg` of the key set binds; `kid` may be left out."""
    scene = Scene(jwk(RSA_KEY, "1", alg="PS256"))
    assert await scene.identity.verify(scene.token(kid=None, algorithm="PS256"))
    with pytest.raises(SubjectTokenInvalid):
        await scene.identity.verify(scene.token(algorithm="RS256"))
