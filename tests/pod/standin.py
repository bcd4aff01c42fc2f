"""Run in the pod, by the image's interpreter: eGain's stand-in on 127.0.0.1:9000, and a way in for the test.

`GET /seen` on port 9001 tells what arrived, `POST /secret` changes the client's secret there and then. eGain is no
part of a pod: told to end, it goes on until nobody has asked for a while, as if it had not been told.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter

from aiohttp import web

from sidecar.demo.standin import StandIn

_SILENCE = 3.0  # seconds


def seen(egain: StandIn) -> dict[str, object]:
    """Counts: API requests by status, tokens granted by the secret that was shown, tokens refused by error."""
    granted = Counter(
        request.form.get("client_secret", "") for request in egain.token_requests if request.access_token
    )
    refused = Counter(request.error or "" for request in egain.token_requests if request.error)
    statuses = Counter(str(request.status) for request in egain.api_requests)
    return {"api": statuses, "granted": granted, "refused": refused}


async def main(secret: str, lifetime: float) -> None:
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    async with StandIn(port=9000, lifetime=lifetime, client_secret=secret, remember=100_000) as egain:

        async def tell(_: web.Request) -> web.Response:
            return web.json_response(seen(egain), dumps=lambda counts: json.dumps(counts))

        async def rotate(request: web.Request) -> web.Response:
            egain.rotate_secret(await request.text())
            return web.Response()

        app = web.Application()
        app.add_routes([web.get("/seen", tell), web.post("/secret", rotate)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "0.0.0.0", 9001).start()
        await told.wait()
        before = -1
        while before != (before := len(egain.api_requests)):
            await asyncio.sleep(_SILENCE)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
