"""/config of a running sidecar: what is in force, also where the file says nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.harness import configuration, sidecar


async def test_config_names_the_hosts_that_are_accepted(tmp_path: Path) -> None:
    """Left out, allowed_hosts stands for a list; each name of it once."""
    mapping = configuration("https://api.example", listen="127.0.0.2:0")
    async with sidecar(mapping, tmp_path) as started:
        found = json.loads((await started.page("/config")).partition("\r\n\r\n")[2])
    assert sorted(found["allowed_hosts"]) == ["127.0.0.1", "127.0.0.2", "[::1]", "api.example", "localhost"]
    async with sidecar({**mapping, "allowed_hosts": ["app"]}, tmp_path) as started:
        found = json.loads((await started.page("/config")).partition("\r\n\r\n")[2])
    assert found["allowed_hosts"] == ["app"]
