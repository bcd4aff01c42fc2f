"""The eGain stand-in as a token endpoint, in a process of its own that can be stopped and started again.

    python -m benchmarks.tokens --port 9000 --key signing.pem --lifetime 6

Owns what a measurement needs besides the stand-in: a signing key that outlives the process, any subject, and how many
token requests have arrived (`GET /~count`). Faults are the stand-in's (`POST /demo/faults`).
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sidecar.cli.loop import in_loop
from sidecar.demo.keys import SigningKey
from sidecar.demo.standin import StandIn

CALLERS = 5  # who have tokens of their own, to be exchanged
COUNT, CALLER_TOKENS, SECRET = "/~count", "/~callers", "/~secret"


def write_key(file: Path) -> Path:
    """A new signing key, for token endpoint and API alike."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(pem)
    return file


class Counted(StandIn):
    """Counts; everybody is a user here."""

    arrived = 0

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        if request.path == COUNT:
            return web.json_response(self.arrived)
        if request.path == SECRET and request.method == "POST":
            self.rotate_secret(await request.text())
            return web.json_response(None)
        if request.path == CALLER_TOKENS:
            people = [f"caller{n}@example.com" for n in range(CALLERS)]
            return web.json_response([[name, self.idp_token(name, lifetime=86400)] for name in people])
        self.arrived += request.path.endswith("/token")
        return await super()._dispatch(request)


async def _serve(standin: Counted) -> None:
    standin.directory.open = True
    async with standin:
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tokens", description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", type=Path, required=True, help="PEM of an RSA key that signs the tokens")
    parser.add_argument("--lifetime", type=float, required=True, help="of tokens, in seconds")
    parser.add_argument("--client", default="bench", help="its id (default: bench)")
    parser.add_argument("--secret", default="bench-secret", help="its secret, nobody's real one")
    given = parser.parse_args()
    key = SigningKey("egain", given.key.read_bytes())
    in_loop(
        _serve(
            Counted(
                port=given.port,
                lifetime=given.lifetime,
                key=key,
                remember=100,
                client_id=given.client,
                client_secret=given.secret,
            )
        )
    )


if __name__ == "__main__":
    main()
