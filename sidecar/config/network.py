"""Where things are: hosts, addresses, URLs, origins.

Owns how they are written and their one canonical form. Every parser is a pure function that raises
ValueError("what is wrong; what to do") and never repeats the value it refuses.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from sidecar.config.scalars import text, written

_MAX_UNIX_PATH = 107  # sun_path holds 108 bytes with its NUL
_PORT = re.compile(r"[0-9]{1,5}")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")  # `_`: service names of container networks
_URL = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE | re.DOTALL)
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#@]+)", re.IGNORECASE)
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_VISIBLE = re.compile(r"[\x21-\x7E]*")
_CONTROL = re.compile(r"[\x00-\x1F\x7F]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def host_name(found: str, hint: str) -> str:
    """A host in canonical form: lower case, an IP address in its usual spelling, IPv6 without brackets."""
    found = found.lower()
    if found.startswith("["):
        try:
            if not found.endswith("]") or "%" in found:
                raise ValueError
            return str(ipaddress.IPv6Address(found[1:-1]))
        except ValueError:
            raise ValueError(f"the host in brackets is no IPv6 address; {hint}") from None
    labels = found.split(".")
    if labels[-1].isdigit() or labels[-1].startswith("0x"):  # what resolvers read as a number
        try:
            return str(ipaddress.IPv4Address(found))
        except ValueError:
            raise ValueError(f"the host is no complete IPv4 address; {hint}") from None
    if len(found) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"the host is not a plain ASCII host name; {hint}")
    return found


def is_loopback_host(host: str) -> bool:
    """Whether a host (no brackets) can only be this machine."""
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 section 6.3
        return True
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return (mapped or found).is_loopback


def _port(found: str, lowest: int, hint: str) -> int:
    if _PORT.fullmatch(found) and lowest <= int(found) <= 65535:
        return int(found)
    raise ValueError(f"the port is not a number from {lowest} to 65535; {hint}")


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """host without brackets; port 0 lets the system choose."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        return is_loopback_host(self.host)

    @property
    def is_wildcard(self) -> bool:
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - recognised, not bound

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


def address(value: object) -> TcpAddress | UnixAddress:
    """`HOST:PORT`, `[::1]:8080` or `unix:/path`."""
    if isinstance(value, TcpAddress | UnixAddress):
        return value
    hint = "write 127.0.0.1:8080, [::1]:8080 or unix:/path"
    found = written(value)
    if not found:
        raise ValueError(f"is not an address; {hint}")
    if found.startswith("unix:"):
        return _unix(found.removeprefix("unix:"))
    host, colon, port = found.rpartition(":")
    if not colon:
        raise ValueError(f"needs a host and a port; {hint}")
    if not host:
        raise ValueError("has no host; write 127.0.0.1:PORT, or 0.0.0.0:PORT for every interface")
    if ":" in host and not host.startswith("["):
        raise ValueError("an IPv6 address stands in brackets; write [::1]:8080")
    return TcpAddress(host_name(host, hint), _port(port, 0, hint))


def _unix(path: str) -> UnixAddress:
    if not path.startswith("/") or _CONTROL.search(path):
        raise ValueError("the socket's path is not absolute; write unix:/run/auth-sidecar/proxy.sock")
    if len(os.fsencode(path)) > _MAX_UNIX_PATH:
        raise ValueError(f"the socket's path is longer than {_MAX_UNIX_PATH} bytes; use a shorter one")
    return UnixAddress(Path(path))


@dataclass(frozen=True, slots=True)
class HttpUrl:
    """An http or https URL: no user, no query, no fragment."""

    scheme: str
    host: str  # lower case, without brackets
    port: int
    path: str  # '' or '/x'

    @classmethod
    def parse(cls, value: object) -> HttpUrl:
        """A base URL; a trailing slash of its path is dropped."""
        url = cls.endpoint(value)
        return HttpUrl(url.scheme, url.host, url.port, url.path.rstrip("/"))

    @classmethod
    def endpoint(cls, value: object) -> HttpUrl:
        """A URL that is requested as it is: a trailing slash belongs to it."""
        if isinstance(value, HttpUrl):
            return value
        hint = "write https://HOST/PATH"
        found = written(value) or ""
        if not _VISIBLE.fullmatch(found):
            raise ValueError(f"has a blank, control or non-ASCII character; {hint}")
        match = _URL.fullmatch(found)
        if match is None:
            raise ValueError(f"is not an http or https URL; {hint}")
        scheme, authority, path, query, fragment = match.groups()
        _refuse_extras(authority, path, query, fragment, hint)
        bare_host, colon, port = authority.rpartition(":")
        if not colon or authority.endswith("]"):
            bare_host, port = authority, ""
        if not bare_host:
            raise ValueError(f"has no host; {hint}")
        scheme = scheme.lower()
        return HttpUrl(
            scheme,
            host_name(bare_host, hint),
            _port(port, 1, hint) if port else _DEFAULT_PORTS[scheme],
            "" if path == "/" else path,
        )

    @property
    def authority(self) -> str:
        """As in a Host field: brackets round IPv6, the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        return is_loopback_host(self.host)

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(cls.parse)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+[^?#]*$"}


def proxy_url(value: object) -> HttpUrl:
    """An egress proxy: `http://HOST:PORT`. Whether it is reached without TLS and a path is asked elsewhere."""
    found = written(value) or ""
    hint = "write http://HOST:PORT"
    if not isinstance(value, HttpUrl) and not found.lower().startswith(("http://", "https://")):
        raise ValueError(f"is no HTTP proxy; {hint}")
    if "@" in found:
        raise ValueError(
            f"has a user or password in it, and proxies that ask for one are not supported; {hint}"
        )
    return HttpUrl.parse(value)


def url_text(value: object) -> str:
    """A URL that somebody else compares as text: kept exactly as it is written. It may have a query."""
    found = written(value) or ""
    HttpUrl.endpoint(found.partition("?")[0])
    if not _VISIBLE.fullmatch(found) or "#" in found:
        raise ValueError(
            "has a blank, a control or non-ASCII character or a fragment; write https://HOST/PATH"
        )
    return found


def _refuse_extras(authority: str, path: str, query: str | None, fragment: str | None, hint: str) -> None:
    if "@" in authority:
        raise ValueError("has a user or password in it; take it out, client credentials go under client")
    if query is not None:
        raise ValueError("has a query; take it out (a credential's goes under token_query)")
    if fragment is not None:
        raise ValueError("has a fragment; leave out everything from the # on")
    if _BROKEN_PERCENT.search(path) or "\\" in path:
        raise ValueError(f"the path has a backslash or a % without two hex digits; {hint}")
    if any(segment in (".", "..") for segment in path.replace("%2E", ".").replace("%2e", ".").split("/")):
        raise ValueError("the path has a . or .. segment; write the path it stands for")


def allowed_host(value: object) -> str:
    """A Host value: no port, lower case, IPv6 in brackets."""
    hint = 'write localhost, 127.0.0.1 or "[::1]", without a port'
    found = text(value)
    if found.count(":") > 1 and not found.startswith("["):
        raise ValueError('an IPv6 address stands in brackets and quotes; write "[::1]"')
    host = host_name(found.removesuffix("."), hint)
    return f"[{host}]" if ":" in host else host


def allowed_origin(value: object) -> str:
    """An Origin value as a browser sends it (RFC 6454 section 6.2)."""
    hint = "write https://HOST or https://HOST:PORT"
    match = _ORIGIN.fullmatch(text(value))
    if match is None:
        raise ValueError(f"is not an origin (scheme, host and port only); {hint}")
    scheme = match[1].lower()
    host, colon, port = match[2].rpartition(":")
    if not colon or match[2].endswith("]"):
        host, port = match[2], ""
    host = host_name(host, hint)
    host = f"[{host}]" if ":" in host else host
    plain = not port or _port(port, 1, hint) == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" if plain else f"{scheme}://{host}:{int(port)}"
