"""Where a secret is, and reading it from there.

Owns `{file: PATH}` and `{env: NAME}` and what may be in such a file. Keeps no secret.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from sidecar.config.scalars import some_text
from sidecar.secret import Secret

_MAX_SECRET = 1 << 20


def file_path(value: object, info: ValidationInfo) -> Path:
    """A path; a relative one is relative to the file it stands in."""
    if isinstance(value, Path):
        found = value
    else:
        plain = some_text(value)
        if any(c < " " or c == "\x7f" for c in plain):
            raise ValueError("has a control character; write a plain path")
        found = Path(plain)
    base = (info.context or {}).get("base")
    return base / found if base is not None else found


FilePath = Annotated[Path, PlainValidator(file_path), WithJsonSchema({"type": "string", "minLength": 1})]


def read_secret_bytes(raw: bytes) -> str:
    """The text of a secret file: a BOM and trailing line ends are stripped, inner and leading blanks kept."""
    if len(raw) > _MAX_SECRET:
        raise ValueError("is larger than 1 MiB; it does not look like a secret")
    try:
        found = raw.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text; write the secret as plain text") from None
    found = found.rstrip("\r\n")
    if not found.strip():
        raise ValueError("is empty; write the secret into it")
    return found


class SecretFrom(BaseModel):
    """Where a secret is: `{file: PATH}` or `{env: NAME}`. Never the secret itself."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        json_schema_extra={"oneOf": [{"required": ["file"]}, {"required": ["env"]}]},
    )

    file: FilePath | None = Field(default=None, description="Read again at every token request.")
    env: (
        Annotated[str, PlainValidator(some_text), WithJsonSchema({"type": "string", "minLength": 1})] | None
    ) = Field(default=None, description="Name of an environment variable.")

    @model_validator(mode="before")
    @classmethod
    def _no_inline_secret(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("a secret is never written in the file; use {file: PATH} or {env: NAME}")
        if ("file" in value) == ("env" in value) and not value.keys() - {"file", "env"}:
            raise ValueError("needs exactly one of file and env; use {file: PATH} or {env: NAME}")
        return value

    def read(self, environ: Mapping[str, str] | None = None) -> Secret:
        """The secret as it is now.

        Raises OSError when the file cannot be read, ValueError when it is empty or not text, or when the
        environment variable is not set.
        """
        if self.file is not None:
            with self.file.open("rb") as file:
                return Secret(read_secret_bytes(file.read(_MAX_SECRET + 1)))
        found = (os.environ if environ is None else environ).get(self.env or "")
        if found is None:
            raise ValueError(f"{self} is not set; set it")
        found = found.rstrip("\r\n")
        if not found.strip():
            raise ValueError(f"{self} is empty; set it")
        return Secret(found)

    def __str__(self) -> str:
        if self.file is not None:
            return f"file {self.file}"
        # An invisible character in the name, left by an editor, must show: it is why the variable is not found.
        return f"environment variable {self.env if str(self.env).isprintable() else ascii(self.env)}"
