"""Load, from the other core: wrk as fast as it goes, a constant rate with every wait counted, bodies of 64 MiB.

Owns how a turn is made and read. Each raises RuntimeError when an answer was not the one that was asked for: a proxy
that is fast because it fails is not fast.
"""

from __future__ import annotations

import asyncio
import re
import statistics
import subprocess
from pathlib import Path

from benchmarks.machine import cores
from benchmarks.peers import PATH
from benchmarks.steady import Steady, get

CONNECTIONS = 32
RATE = 500.0  # requests a second at the constant rate
_OK = re.compile(r"Requests/sec:\s+([0-9.]+)")
_BAD = re.compile(
    r"Non-2xx or 3xx responses: \d+|Socket errors: connect \d+, read \d+, write \d+, timeout \d+"
)

# wrk calls request() for each request: what is sent is made beforehand.
_IN_TURN = """
local ready = {{}}
local at = 0
function init(args)
  for n = 0, {count} - 1 do
    ready[n] = wrk.format("GET", string.format("{path}", n), {{["{field}"] = string.format("{value}", n)}})
  end
end
function request()
  at = (at + 1) % {count}
  return ready[at]
end
"""


_PATHS = """
local ready = {{}}
local at = 0
function init(args)
  for n, path in ipairs({{{table}}}) do ready[n - 1] = wrk.format("GET", path) end
  count = #ready + 1
end
function request()
  at = (at + 1) % count
  return ready[at]
end
"""


def in_turn(file: Path, count: int, *, path: str = PATH, field: str = "X-Number", value: str = "%d") -> Path:
    """A script for wrk: `count` different requests in turn; `%d` in path or value is the number."""
    file.write_text(_IN_TURN.format(count=count, path=path, field=field, value=value), encoding="utf-8")
    return file


def paths(file: Path, patterns: list[str]) -> Path:
    """A script for wrk: a request to each pattern in turn, its parameters filled in."""
    filled = [re.sub(r"{\w+}", "PROD-1000", pattern) for pattern in patterns]
    table = ",".join(f'"{path}"' for path in filled)
    file.write_text(_PATHS.format(table=table), encoding="utf-8")
    return file


def warm_up(url: str, script: Path, seconds: float) -> None:
    """Load whose answers do not matter: the first request of a subject waits for its token."""
    command = ["taskset", "-c", str(cores()[1]), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s"]
    subprocess.run([*command, "-s", str(script), url], capture_output=True, check=True)


def throughput(url: str, seconds: float, script: Path | None = None) -> float:
    """Requests a second over 32 connections, as many as go through."""
    command = ["taskset", "-c", str(cores()[1]), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s"]
    command += [*(("-s", str(script)) if script else ()), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = _OK.search(said)
    if found is None or (bad := _BAD.search(said)):
        raise RuntimeError(f"{url}: {bad[0] if found and bad else said}")
    return float(found[1])


def latency(address: str, seconds: float) -> tuple[float, float]:
    """(p50, p99) in milliseconds at a constant rate, each counted from when its request was due."""
    return asyncio.run(_latency(address, seconds))


async def _latency(address: str, seconds: float) -> tuple[float, float]:
    load = Steady(address, [get(PATH)], RATE, connections=16)
    asyncio.get_running_loop().call_later(seconds, load.stop)
    await load.run()
    if load.failed:
        raise RuntimeError(f"{address}: {dict(load.outcomes)}")
    cuts = statistics.quantiles(load.latencies, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


def download(url: str) -> float:
    """MB/s of a body of 64 MiB to the caller."""
    return _curl(url, "%{speed_download}") / 1e6


def upload(url: str, file: Path) -> float:
    """MB/s of a body of 64 MiB to the upstream."""
    return _curl(url, "%{speed_upload}", "-X", "POST", "-H", "Expect:", "-T", str(file)) / 1e6


def _curl(url: str, wanted: str, *options: str) -> float:
    command = [
        "taskset",
        "-c",
        str(cores()[1]),
        "curl",
        "-sf",
        "-o",
        "/dev/null",
        "-w",
        wanted,
        *options,
        url,
    ]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
