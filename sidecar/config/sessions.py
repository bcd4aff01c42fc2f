"""The configuration's `sessions` block: what is kept of people who sign in.

Owns its keys and how `store` is written. What a session is, is no business of this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema

from sidecar.config.model import Model
from sidecar.config.secretfrom import file_path
from sidecar.config.values import Duration, Integer, SecretFrom, Shown

_MEMORY = "memory"
_SQLITE = "sqlite"
_HINT = "write memory, or {sqlite: PATH}"


def session_store(value: Any, info: ValidationInfo) -> Path | None:
    """`memory` (None), `{sqlite: PATH}` or `sqlite:PATH`."""
    if value is None or isinstance(value, Path):
        return value
    if isinstance(value, dict):
        if value.keys() != {_SQLITE}:
            raise ValueError(f"is no store; {_HINT}")
        return file_path(value[_SQLITE], info)
    written = str(value)
    if written == _MEMORY:
        return None
    kind, colon, path = written.partition(":")
    if kind != _SQLITE or not colon or not path.strip():
        raise ValueError(f"is no store; {_HINT}")
    return file_path(path.strip(), info)


def store_text(value: Path | None) -> str:
    """As it is written in a file."""
    return _MEMORY if value is None else f"{_SQLITE}:{value}"


SessionStore = Annotated[
    Path | None,
    PlainValidator(session_store),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^({_MEMORY}|{_SQLITE}:.+)$"},
                {
                    "type": "object",
                    "properties": {_SQLITE: {"type": "string", "minLength": 1}},
                    "required": [_SQLITE],
                    "additionalProperties": False,
                },
            ]
        }
    ),
    Shown(store_text),
]


class Sessions(Model):
    """What is kept of people who sign in (authorization_code), and for how long."""

    key: SecretFrom | None = Field(
        default=None, description="Encrypts what is kept; 32 bytes or more. Left out: made up at start."
    )
    idle_timeout: Duration = Field(default=1800.0, description="A session nobody used for so long is over.")
    max_lifetime: Duration = Field(default=43200.0, description="After so long one has to sign in again.")
    max_sessions: Integer = Field(
        default=10_000, ge=1, description="Sessions kept; beyond, the least recently used one ends."
    )
    store: SessionStore = Field(
        default=None, description="memory; or {sqlite: PATH}: encrypted, survives a restart."
    )
