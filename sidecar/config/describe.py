"""A configuration for others to read: its JSON Schema, and the effective one for the admin page.

Owns both renderings. Neither holds a secret: secrets are shown as where they come from, and free-form
parameters, which might be sensitive, by name only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema

from sidecar.config.model import Model
from sidecar.config.schema import Config, Credential, ValueSource
from sidecar.config.values import HttpUrl, SecretFrom, Shown, TcpAddress, UnixAddress

# Values that may be anything, a person's name or an API key included.
_BY_NAME_ONLY = {
    (Credential, "extra_params"),
    (Credential, "token_query"),
    (Credential, "authorization_params"),
    (ValueSource, "value"),
}
_SET = "(set)"
_INCLUDE = {
    "type": "object",
    "description": "Routes from another file, relative to this one.",
    "properties": {"include": {"type": "string", "minLength": 1, "description": "A YAML list of routes."}},
    "required": ["include"],
    "additionalProperties": False,
}
_REFERENCE = {"type": "string", "pattern": r"\$\{"}  # ${NAME}, replaced before the value is looked at


def effective(config: Config) -> dict[str, Any]:
    """Every key with the value in force, as JSON; durations and sizes as they are written."""
    return _model(config)


def _model(model: BaseModel) -> dict[str, Any]:
    return {
        name: _hidden(getattr(model, name))
        if (type(model), name) in _BY_NAME_ONLY
        else _value(getattr(model, name), field)
        for name, field in type(model).model_fields.items()
    }


def _hidden(value: Any) -> Any:
    return dict.fromkeys(value, _SET) if isinstance(value, dict) else _SET


def _value(value: Any, field: FieldInfo | None = None) -> Any:
    shown = _shown(field)
    if shown is not None:
        return shown.as_text(value)
    if isinstance(value, SecretFrom | HttpUrl | TcpAddress | UnixAddress | Path):
        return str(value)
    if isinstance(value, BaseModel):
        return _model(value)
    if isinstance(value, dict):
        return {key: _value(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_value(inner) for inner in value]
    return value


def _shown(field: FieldInfo | None) -> Shown | None:
    return next((m for m in field.metadata if isinstance(m, Shown)), None) if field else None


class _Generate(GenerateJsonSchema):
    """Defaults as they are written in a file."""

    def encode_default(self, dft: Any) -> Any:
        return _value(dft)


def json_schema() -> dict[str, Any]:
    """The configuration's JSON Schema (draft 2020-12): for editors and for checking without the sidecar."""
    schema = Config.model_json_schema(schema_generator=_Generate)
    definitions = schema["$defs"]
    for model, found in _models(schema, definitions):
        for name, field in model.model_fields.items():
            found["properties"][name] = _property(found["properties"][name], field)
    routes = schema["properties"]["routes"]
    routes["items"] = {"anyOf": [routes["items"], {"$ref": "#/$defs/Include"}]}
    definitions["Include"] = _INCLUDE
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "title": "auth-sidecar configuration",
        **{key: value for key, value in schema.items() if key != "title"},
    }


def _models(schema: dict[str, Any], definitions: dict[str, Any]) -> Iterator[tuple[type[BaseModel], Any]]:
    import sidecar.config.schema as models

    yield Config, schema
    yield SecretFrom, definitions["SecretFrom"]
    for name, found in definitions.items():
        model = getattr(models, name, None)
        if isinstance(model, type) and issubclass(model, Model):
            yield model, found


def _property(found: dict[str, Any], field: FieldInfo) -> dict[str, Any]:
    shown = _shown(field)
    default = found.pop("default", None)
    found.pop("description", None)
    found.pop("title", None)
    if shown is not None and not field.is_required():
        default = shown.as_text(field.default)
    result = _with_references(found)
    result["description"] = field.description  # pydantic leaves it out where it equals the model's own
    if default is not None and not isinstance(default, dict):
        result["default"] = default
    return result


def _with_references(found: dict[str, Any]) -> dict[str, Any]:
    """The same schema, or `${NAME}` in place of what is more than plain text."""
    if "items" in found:
        return {**found, "items": _with_references(found["items"])}
    if "anyOf" in found:
        options = [_with_references(option) for option in found["anyOf"]]
        return {**found, "anyOf": [*options]}
    narrow = "pattern" in found or "enum" in found or found.get("type") in ("integer", "number", "boolean")
    return {"anyOf": [found, _REFERENCE]} if narrow else dict(found)
