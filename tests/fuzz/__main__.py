"""`python -m tests.fuzz`: all targets, or one, for some minutes; exit 1 when anything was found.

Prints for each target how many examples were run and how long, and for a failure the shortest example and the command
that makes it again.
"""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.fuzz.catalogue import TARGETS
from tests.fuzz.running import Result, again, once, run, split


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="over all targets")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], help="this one only")
    parser.add_argument("--seed", type=int, default=None, help="of the first round; by default a new one")
    parser.add_argument("--examples", type=int, help="one round of so many examples")
    parser.add_argument("--blob", help="one example, as a failure printed it; needs --target")
    chosen = parser.parse_args()
    targets = [target for target in TARGETS if chosen.target in (None, target.name)]
    if chosen.blob and not chosen.target:
        parser.error("--blob needs --target")
    seed = secrets.randbelow(1 << 31) if chosen.seed is None else chosen.seed
    print(f"seed {seed}, {len(targets)} targets, {chosen.minutes:g} minutes", flush=True)
    results = []
    for target, seconds in split(targets, chosen.minutes * 60):
        if chosen.blob:
            result = again(target, chosen.blob)
        elif chosen.examples:
            result = once(target, chosen.examples, seed)
        else:
            result = run(target, seconds, seed)
        results.append(result)
        _tell(result, target.about)
    failed = [result.name for result in results if result.failure]
    runs = sum(result.runs for result in results)
    print(f"{runs} runs, {len(failed)} targets failed{': ' if failed else ''}{', '.join(failed)}")
    return 1 if failed else 0


def _tell(result: Result, about: str) -> None:
    found = "FAILED" if result.failure else "nothing found"
    print(f"{result.name:<14} {result.runs:>8} runs {result.seconds:>7.1f} s  {found}   {about}", flush=True)
    if result.failure:
        print(result.failure)
        if result.again:
            print(f"Again: make fuzz TARGET={result.name} {result.again}\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
