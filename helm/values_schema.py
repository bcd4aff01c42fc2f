"""Write the chart's values.schema.json: helm/values.schema.in.json with the configuration's own schema put into it.

Owns the translation of what `auth-sidecar schema` prints (JSON Schema 2020-12) into draft 7, the newest that both
Helm majors understand. It knows nothing of the values beyond the one place where the configuration stands.

    python -m helm.values_schema            # writes it
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sidecar.config.describe import json_schema

HERE = Path(__file__).parent
SOURCE = HERE / "values.schema.in.json"
TARGET = HERE / "egain-auth-sidecar" / "values.schema.json"
_OLD, _NEW = "#/$defs/", "#/definitions/config."


def rendered() -> str:
    """The text of values.schema.json as it has to be now."""
    schema: dict[str, Any] = json.loads(SOURCE.read_text())
    config = json_schema()
    definitions = config.pop("$defs")
    del config["$schema"]
    required = config.pop("required")
    schema["definitions"] |= {f"config.{name}": _draft7(one) for name, one in definitions.items()}
    # An empty `config` is none at all: what must be in one is asked of one that has anything in it.
    schema["definitions"]["config"] = _draft7(config) | {
        "if": {"minProperties": 1},
        "then": {"required": required},
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _draft7(node: Any) -> Any:
    """Point references at `definitions`; draft 7 looks at nothing beside a `$ref`, so that stands alone."""
    if isinstance(node, list):
        return [_draft7(one) for one in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        return {"$ref": node["$ref"].replace(_OLD, _NEW)}
    return {key: _draft7(value) for key, value in node.items()}


if __name__ == "__main__":
    TARGET.write_text(rendered())
