"""`python -m sidecar.demo`: the stand-in alone, where config/demo.yaml expects it."""

from __future__ import annotations

import argparse
import asyncio
import signal

from sidecar.demo.standin import StandIn


async def _serve(port: int, lifetime: float) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with StandIn(port=port, lifetime=lifetime, remember=100) as standin:
        print(f"eGain stand-in    {standin.base}")
        print(f"token URL, -U     {standin.user_token_url}")
        print(f"token URL, -C     {standin.customer_token_url}")
        print(f"sign-in, -U       {standin.user_authorization_url}")
        print(f"sign-in, -C       {standin.customer_authorization_url}")
        print(f"anonymous         {standin.anonymous_token_url}")
        print(f"faults            {standin.base}/demo/faults", flush=True)
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sidecar.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=9000, help="where to listen on 127.0.0.1 (default: 9000)")
    parser.add_argument("--lifetime", type=float, default=20.0, help="of tokens, in seconds (default: 20)")
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.port, arguments.lifetime))


if __name__ == "__main__":
    main()
