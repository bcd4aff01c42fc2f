"""Whether a generated map passes `check --strict`: a configuration that has its credentials, loaded with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from sidecar.config.loading import load
from sidecar.openapi.choosing import Plan
from sidecar.openapi.personas import GRANTS, Persona

_SUBJECTS: dict[Persona, dict[str, Any]] = {
    "obo_user": {"username": {"header": "X-On-Behalf-Of"}},
    "obo_customer": {"email": {"header": "X-On-Behalf-Of"}},
}


def configuration(by: Plan) -> dict[str, Any]:
    """With all its credentials; the map is expected in map.yaml beside it."""
    credentials = {}
    for name, persona in by.credentials:
        found: dict[str, Any] = {"grant": GRANTS[persona], "token_url": "https://ai.egain.cloud/oauth2/token"}
        if persona in _SUBJECTS:
            found |= {"subject": _SUBJECTS[persona], "allow_subjects": ["*"]}
        if persona == "anonymous":
            found["scope_prefix"] = "https://api.ai.egain.cloud/auth/"
        if found["grant"] == "token_exchange":
            found["registration_id"] = "okta"
        credentials[name] = found
    return {
        "upstream": {"url": "https://api.ai.egain.cloud"},
        "client": {"id": "x", "auth": "none"},
        "credentials": credentials,
        "routes": [{"include": "map.yaml"}],
    }


def strict_warnings(text: str, by: Plan, folder: Path) -> tuple[str, ...]:
    """What `check --strict` would complain of. Raises ConfigError for what `check` would."""
    (folder / "map.yaml").write_text(text, encoding="utf-8")
    path = folder / "sidecar.yaml"
    path.write_text(yaml.safe_dump(configuration(by)))
    return tuple(warning.as_warning() for warning in load(path, {}).warnings)
