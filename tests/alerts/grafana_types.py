"""Run with grafana-foundation-sdk: reads a dashboard from stdin with Grafana's own types; what do they not know?

Prints one path a line: members that are lost on the way, or come out as something else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard


def differences(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """Where what we wrote is not in what they made of it; what they add does not matter."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            yield from differences(value, theirs.get(name), f"{path}.{name}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for one, other in zip(ours, theirs, strict=True):
            yield from differences(one, other, f"{path}[]")
    elif ours != theirs:
        yield path.removeprefix(".")


def main() -> None:
    plugins.register_default_plugins()
    written = json.load(sys.stdin)
    read = json.loads(JSONEncoder(sort_keys=True, indent=2).encode(Dashboard.from_json(written)))
    for path in sorted(set(differences(written, read))):
        print(path)


if __name__ == "__main__":
    main()
