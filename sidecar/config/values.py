"""The kinds of value a configuration holds, as types for the models.

Owns which parser and which JSON Schema belong to a type; the parsers are in scalars.py, network.py, names.py
and secretfrom.py, whose public names can be had from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from sidecar.config.names import header_name, label, method, path_pattern, scope_prefix, scope_token
from sidecar.config.network import (
    HttpUrl,
    TcpAddress,
    UnixAddress,
    address,
    allowed_host,
    allowed_origin,
    is_loopback_host,
    proxy_url,
    url_text,
)
from sidecar.config.scalars import (
    Bare,
    bare,
    duration,
    duration_from_zero,
    duration_text,
    flag,
    integer,
    number,
    size,
    size_text,
    some_text,
    text,
)
from sidecar.config.secretfrom import FilePath, SecretFrom, read_secret_bytes

__all__ = [
    "Address",
    "AllowedHost",
    "AllowedOrigin",
    "Bare",
    "Duration",
    "DurationFromZero",
    "EndpointUrl",
    "FilePath",
    "Flag",
    "HeaderName",
    "HttpUrl",
    "Integer",
    "Label",
    "Method",
    "Number",
    "OneOrMany",
    "PathPattern",
    "ProxyUrl",
    "ScopePrefix",
    "ScopeToken",
    "SecretFrom",
    "Shown",
    "Size",
    "SomeText",
    "TcpAddress",
    "Text",
    "TextOrSecretFrom",
    "UnixAddress",
    "UrlText",
    "address",
    "bare",
    "duration",
    "duration_text",
    "is_loopback_host",
    "path_pattern",
    "read_secret_bytes",
    "scope_token",
    "size",
    "size_text",
]


@dataclass(frozen=True, slots=True)
class Shown:
    """How a value is written in a configuration; found in a field's metadata."""

    as_text: Callable[[Any], str]


def _json(pattern: str | None = None, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **({"pattern": f"^{pattern}$"} if pattern else {}), **more})


_DURATION_JSON = _json(r"[0-9]+(\.[0-9]+)?(ms|s|m|h)", examples=["500ms", "30s", "5m", "1h"])
# JSON numbers are what YAML tools see in an unquoted value, so text fields take them as they are written.
_TEXT_JSON = WithJsonSchema({"type": ["string", "number", "boolean"]})

Text = Annotated[str, PlainValidator(text), _TEXT_JSON]
SomeText = Annotated[str, PlainValidator(some_text), _TEXT_JSON]
Label = Annotated[str, PlainValidator(label), _json(minLength=1, maxLength=200)]
Integer = Annotated[int, BeforeValidator(integer)]
Number = Annotated[float, BeforeValidator(number)]
Flag = Annotated[bool, BeforeValidator(flag)]
Duration = Annotated[float, PlainValidator(duration), _DURATION_JSON, Shown(duration_text)]
DurationFromZero = Annotated[float, PlainValidator(duration_from_zero), _DURATION_JSON, Shown(duration_text)]
Size = Annotated[
    int,
    BeforeValidator(size),
    WithJsonSchema(
        {"type": ["string", "integer"], "pattern": "^[0-9]+(B|KiB|MiB|GiB)?$", "examples": ["64KiB", "1MiB"]}
    ),
    Shown(size_text),
]
Address = Annotated[
    TcpAddress | UnixAddress,
    PlainValidator(address),
    _json(r"(unix:/.+|.+:[0-9]{1,5})", examples=["127.0.0.1:8080", "[::1]:8080", "unix:/run/proxy.sock"]),
    Shown(str),
]
EndpointUrl = Annotated[
    HttpUrl, PlainValidator(HttpUrl.endpoint), _json("[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+[^?#]*")
]
ProxyUrl = Annotated[HttpUrl, PlainValidator(proxy_url), _json("[Hh][Tt][Tt][Pp]://[^/?#@]+/?")]
UrlText = Annotated[str, PlainValidator(url_text), _json("[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+[^#]*")]
ScopeToken = Annotated[str, PlainValidator(scope_token), _json(r"[\x21\x23-\x5B\x5D-\x7E]+")]
ScopePrefix = Annotated[str, PlainValidator(scope_prefix), _json(r"[\x21\x23-\x5B\x5D-\x7E]*")]
HeaderName = Annotated[str, PlainValidator(header_name), _json(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")]
Method = Annotated[str, PlainValidator(method), _json(r"[!#$%&'*+.^_`|~0-9A-Z-]+")]
PathPattern = Annotated[
    str, PlainValidator(path_pattern), _json(r"/[^?#]*", examples=["/a/{name}/b", "/a/**"])
]
AllowedHost = Annotated[str, PlainValidator(allowed_host), _json(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/]+)")]
AllowedOrigin = Annotated[str, PlainValidator(allowed_origin), _json(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+")]

# Tags of unions begin with `~`, so that wording.py can take them out of a key's path.
OneOrMany = Annotated[
    Annotated[SomeText, Tag("~one")] | Annotated[list[SomeText], Field(min_length=1), Tag("~many")],
    Discriminator(lambda value: "~many" if isinstance(value, list | tuple) else "~one"),
]


TextOrSecretFrom = Annotated[
    Annotated[SomeText, Tag("~text")] | Annotated[SecretFrom, Tag("~secret")],
    Discriminator(lambda value: "~text" if isinstance(value, str) else "~secret"),
]
