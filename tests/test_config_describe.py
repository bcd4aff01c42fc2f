"""What others read of a configuration: schema, effective values, the example, the documentation."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

import sidecar.config.schema as models
from sidecar.config.describe import effective, json_schema
from sidecar.config.loading import Loaded, load
from sidecar.config.model import Model
from sidecar.config.secretfrom import SecretFrom

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config" / "sidecar.yaml"
PAGE = ROOT / "docs" / "configuration.md"

CREDENTIAL = {"grant": "on_behalf_of", "token_url": "https://t.example/t"}


@pytest.fixture(scope="module")
def example() -> Loaded:
    return load(EXAMPLE, {})


def test_the_example_loads_as_it_is(example: Loaded) -> None:
    """No environment, no change: no problem and no warning."""
    assert example.warnings == ()
    assert example.files == (EXAMPLE, EXAMPLE.parent / "routes" / "portalmgr-v4.yaml")
    assert len(example.config.routes) > 5


def test_the_example_shows_every_grant(example: Loaded) -> None:
    """Each flow of the guide has a credential, and each credential a route."""
    grants = {credential.grant for credential in example.config.credentials.values()}
    assert grants == set(models.Grant.__args__)  # type: ignore[attr-defined]
    assert {route.credential for route in example.config.routes} == {*example.config.credentials, "none"}


def test_the_example_states_the_defaults(example: Loaded) -> None:
    """The values in the example's general sections are those that hold without them."""
    for key in ("refresh", "tokens", "limits", "shutdown", "log"):
        assert getattr(example.config, key) == models.Config.model_fields[key].default


def test_effective_shows_values_as_they_are_written(example: Loaded) -> None:
    """Durations, sizes, addresses and URLs as text, everything as JSON."""
    found = json.loads(json.dumps(effective(example.config)))
    assert found["listen"] == "127.0.0.1:8080"
    assert found["upstream"]["url"] == "https://api.ai.egain.cloud"
    assert found["upstream"]["idle_timeout"] == "5m"
    assert found["limits"]["replay_body"] == "64KiB"
    assert found["sessions"]["store"] == "memory"
    assert found["refresh"]["retry"] == {"initial": "1s", "max": "30s"}
    assert found["routes"][-1]["credential"] == "none"
    assert found["client"]["secret"] == f"file {EXAMPLE.parent / 'example-client-secret'}"


def test_effective_holds_nothing_that_could_be_secret() -> None:
    """Secrets as where they come from; free-form parameters and fixed subjects by name only."""
    config = models.Config.model_validate(
        {
            "upstream": {"url": "https://a"},
            "client": {"id": "a", "secret": {"env": "NAME"}},
            "credentials": {
                "c": {
                    **CREDENTIAL,
                    "subject": {"username": {"value": "canary1"}},
                    "extra_params": {"key": "canary2"},
                    "token_query": {"code": "canary3"},
                }
            },
        }
    )
    found = effective(config)
    assert "canary" not in json.dumps(found)
    assert found["client"]["secret"] == "environment variable NAME"
    assert found["credentials"]["c"]["extra_params"] == {"key": "(set)"}
    assert found["credentials"]["c"]["subject"]["username"] == {"value": "(set)"}


def _models() -> Iterator[type[BaseModel]]:
    for found in vars(models).values():
        if isinstance(found, type) and issubclass(found, Model) and found is not Model:
            yield found
    yield SecretFrom


def test_the_schema_describes_every_key() -> None:
    """Every key of every block has a description, and only known keys are allowed."""
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    for model in _models():
        found = schema if model is models.Config else schema["$defs"][model.__name__]
        assert found["additionalProperties"] is False
        assert set(found["properties"]) == set(model.model_fields)
        for key, value in found["properties"].items():
            assert value.get("description"), f"{model.__name__}.{key}"


def test_the_schema_states_defaults_as_they_are_written() -> None:
    """A default could be copied into a file."""
    schema = json_schema()
    assert schema["properties"]["listen"]["default"] == "127.0.0.1:8080"
    assert schema["$defs"]["Upstream"]["properties"]["idle_timeout"]["default"] == "5m"
    assert schema["$defs"]["Limits"]["properties"]["max_header_bytes"]["default"] == "32KiB"
    assert json.loads(json.dumps(schema)) == schema


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (v for k, v in value.items() if k == "$ref")
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_the_schema_is_complete_and_knows_includes() -> None:
    """Every reference leads somewhere, every pattern compiles, and a route may be an include."""
    schema = json_schema()
    for reference in _references(schema):
        assert reference.removeprefix("#/$defs/") in schema["$defs"]
    assert {"$ref": "#/$defs/Include"} in schema["properties"]["routes"]["items"]["anyOf"]
    for pattern in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', json.dumps(schema)):
        assert re.compile(json.loads(pattern)).pattern


@pytest.mark.skipif(importlib.util.find_spec("jsonschema") is None, reason="jsonschema is not installed")
@pytest.mark.parametrize("path", [EXAMPLE], ids=lambda path: path.name)
def test_the_example_satisfies_the_schema(path: Path) -> None:
    """A general JSON Schema validator agrees with the sidecar about the example."""
    import jsonschema  # type: ignore[import-untyped,import-not-found,unused-ignore]

    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize("model", list(_models()), ids=lambda model: model.__name__)
def test_every_key_is_documented(model: type[BaseModel]) -> None:
    """docs/configuration.md names each key, and its default where it is a plain value."""
    page = PAGE.read_text()
    shown = {} if model is SecretFrom else effective_defaults(model)
    for key in model.model_fields:
        rows = [line for line in page.splitlines() if line.startswith(f"| `{key}` |")]
        assert rows, key
        default = shown.get(key)
        if isinstance(default, str | int | float) and default != "":
            written = str(default).lower() if isinstance(default, bool) else default
            assert any(f"| `{written}` |" in row for row in rows), (key, default)


def effective_defaults(model: type[BaseModel]) -> dict[str, Any]:
    schema = json_schema()
    found = schema if model is models.Config else schema["$defs"][model.__name__]
    return {key: value.get("default") for key, value in found["properties"].items()}


def _documented() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(_documented())))
def test_every_example_of_the_documentation_loads(tmp_path: Path, number: int) -> None:
    """A snippet is a whole file, or blocks that complete a minimal one."""
    minimal: dict[str, Any] = {
        "upstream": {"url": "https://api.example"},
        "client": {"id": "a", "secret": {"env": "EGAIN_CLIENT_SECRET"}},
    }
    snippet = yaml.load(_documented()[number], Loader=yaml.BaseLoader)  # builds text only
    if isinstance(snippet, list):
        snippet = {"routes": snippet}
    text = "\n".join(f"{key}: {json.dumps(value)}" for key, value in {**minimal, **snippet}.items())
    text = re.sub(r'"(true|false|\d+|\d+\.\d+)"', r"\1", text)
    (tmp_path / "sidecar.yaml").write_text(text)
    environ = {"EGAIN_CLIENT_ID": "a", "EGAIN_CLIENT_SECRET": "s", "TENANT": "T"}
    assert load(tmp_path / "sidecar.yaml", environ).config.upstream.url.scheme == "https"
