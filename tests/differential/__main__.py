"""`python -m tests.differential`: every case through every proxy; exit 1 where the sidecar takes more than all others.

Prints the cases in question, a table for each proxy, and with --json FILE writes everything that was seen.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from tests.differential import peers
from tests.differential.asking import Outcome, Upstream, ask
from tests.differential.corpus import cases
from tests.differential.judging import OURS, Verdict, counted, judge, summary
from tests.harness import configuration, sidecar

Found = dict[str, dict[str, Outcome]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--json", type=Path, help="write all outcomes into this file")
    parser.add_argument("--mutations", type=int, default=250, help="besides the cases picked by hand")
    parser.add_argument("--show", help="print all outcomes of the cases whose names have this in them")
    chosen = parser.parse_args()
    names = peers.present()
    if not names:
        print("none of nginx, HAProxy and Envoy is installed: tests/differential/install")
        return 1
    asked = cases(chosen.mutations)
    if chosen.show:
        asked = {name: data for name, data in asked.items() if chosen.show in name}
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(_all(asked, names, Path(folder)))
    verdicts = {name: judge(name, outcomes) for name, outcomes in found.items()}
    if chosen.json:
        chosen.json.write_text(json.dumps(_plain(found, verdicts), indent=1), encoding="utf-8")
    _print(found, verdicts, asked, show=bool(chosen.show))
    return 1 if counted(verdicts)["more lenient"] else 0


async def _all(asked: dict[str, bytes], names: list[str], folder: Path) -> Found:
    found: Found = {name: {} for name in asked}
    async with contextlib.AsyncExitStack() as stack:
        ports: dict[str, tuple[int, Upstream]] = {}
        for name in (OURS, *names):
            upstream = await stack.enter_async_context(Upstream().running())
            if name == OURS:
                mapping = configuration(
                    f"http://127.0.0.1:{upstream.port}", log={"level": "error", "requests": False}
                )
                started = await stack.enter_async_context(sidecar(mapping, folder))
                port = int(started.app.proxy_address.rpartition(":")[2])
            else:
                port = stack.enter_context(peers.running(name, folder, upstream.port))
            ports[name] = (port, upstream)

        async def through(name: str) -> None:
            for case, data in asked.items():
                found[case][name] = await ask(*ports[name], data)

        await asyncio.gather(*map(through, ports))
    return {case: {name: outcomes[name] for name in ports} for case, outcomes in found.items()}


def _print(found: Found, verdicts: dict[str, Verdict], asked: dict[str, bytes], *, show: bool) -> None:
    for name, verdict in verdicts.items():
        if show or verdict.kind in ("more lenient", "deliberate"):
            print(f"{verdict.kind}: {name}: {verdict.why}\n    {asked[name][:200]!r}")
            for peer, outcome in found[name].items():
                print(f"    {peer:<8} {outcome}")
    print(
        f"\n{len(found)} cases\n\n| proxy | cases that reached the upstream | requests there | not HTTP |\n"
        "|---|---|---|---|"
    )
    for peer, reached, requests, odd in summary(found):
        label = peer if peer == OURS else f"{peer} {peers.version(peer)}"
        print(f"| {label} | {reached} | {requests} | {odd} |")
    print("\n| the sidecar is | cases |\n|---|---|")
    for kind in ("stricter", "as others", "deliberate", "more lenient"):
        print(f"| {kind} | {counted(verdicts)[kind]} |")


def _plain(found: Found, verdicts: dict[str, Verdict]) -> dict[str, object]:
    return {
        name: {"verdict": verdicts[name].kind, **{peer: str(outcome) for peer, outcome in outcomes.items()}}
        for name, outcomes in found.items()
    }


if __name__ == "__main__":
    sys.exit(main())
