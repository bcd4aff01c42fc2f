"""eGain's SDK through the sidecar with a generated map, against a stand-in that wants exactly the right token."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.app import running
from sidecar.config.loading import load
from sidecar.demo.config import demo_config, write_config
from sidecar.demo.standin import StandIn
from tests.commands import call
from tests.real.servers import HERE, SDK_PYTHON
from tests.specs import EGAINS, OURS, egains_missing

pytestmark = pytest.mark.real

# What the stand-in refuses whoever asks: this import job was never started.
NOT_THERE = {"getImportStatus"}
PLANS = {
    "on behalf of a user": "obo_user,app,anonymous",
    "as anonymous as can be": "anonymous,app,obo_user",
    "as the application where it may": "app,anonymous,obo_user",
}


def write_map(specs: list[Path], prefer: str, folder: Path) -> Path:
    path = folder / "map.yaml"
    credentials = ("agent=obo_user", "app=app", "anonymous=anonymous")
    options = [word for one in credentials for word in ("--credential", one)]
    made = call("routes", *options, "--prefer", prefer, "--out", path, *specs)
    assert (made.exit_code, made.stderr) == (0, "")
    return path


async def sdk_calls(egain: StandIn, route_map: Path, folder: Path) -> dict[str, str]:
    """What each call of the script came to."""
    mapping: dict[str, Any] = {**demo_config(egain), "routes": yaml.safe_load(route_map.read_text())}
    async with running(load(write_config(folder, mapping, egain.client_secret))) as sidecar:
        process = await asyncio.create_subprocess_exec(
            SDK_PYTHON, HERE / "sdk_operations.py", f"http://{sidecar.proxy_address}", "alice",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-2000:]
    told: dict[str, str] = json.loads(out)
    return told


@pytest.mark.parametrize("documents", ["ours", "egains"])
@pytest.mark.parametrize("prefer", PLANS.values(), ids=PLANS)
async def test_sdk_calls_every_operation_with_exactly_its_token(
    documents: str, prefer: str, tmp_path: Path
) -> None:
    """Whatever is preferred, no operation is refused, and each had its own persona and scopes and no others."""
    if not SDK_PYTHON.exists():
        pytest.skip("egain-api-python is not installed; tests/real/install does that")
    if documents == "egains" and (reason := egains_missing()):
        pytest.skip(reason)
    route_map = write_map(OURS if documents == "ours" else EGAINS, prefer, tmp_path)
    async with StandIn(exact=True) as egain:
        told = await sdk_calls(egain, route_map, tmp_path)
        seen = {request.operation: request for request in egain.api_requests}
    failed = {operation: said for operation, said in told.items() if not said.startswith("fine: ")}
    assert failed.keys() == NOT_THERE, failed
    assert seen.keys() == told.keys(), "each call is another operation, and each reached the API"
    assert len(seen) >= 25
    assert {request.status for request in seen.values()} <= {200, 201, 202, 204, 404}
    personas = {request.claims.persona for request in seen.values() if request.claims is not None}
    assert {"app", "anonymous"} <= personas <= {"app", "anonymous", "obo_user"}


async def test_exact_stand_in_refuses_a_token_that_may_do_more(tmp_path: Path) -> None:
    """So that the test above shows what it says: one scope too many in the map, and its operation is refused."""
    if not SDK_PYTHON.exists():
        pytest.skip("egain-api-python is not installed; tests/real/install does that")
    route_map = write_map(OURS, PLANS["on behalf of a user"], tmp_path)
    read = "scopes: [knowledge.portalmgr.onbehalfof.read]"
    both = "scopes: [knowledge.portalmgr.onbehalfof.read, knowledge.portalmgr.onbehalfof.manage]"
    route_map.write_text(route_map.read_text().replace(read, both))
    async with StandIn(exact=True) as egain:
        told = await sdk_calls(egain, route_map, tmp_path)
    assert "403" in told["getAllPortals"]
    assert told["addbookmark"].startswith("fine: ")
