"""The metadata that eGain serves for each tenant: token URLs, the API's host, the prefix of scopes.

Owns getting it, from a file or over HTTPS, and finding in it what a configuration needs. Its form is not published,
so it is searched for what is recognised by itself - URLs by their paths, the prefix by its name - and whatever is
not found is asked for instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import aiohttp

from sidecar.cli.loop import in_loop
from sidecar.config.network import is_loopback_host
from sidecar.openapi.personas import Persona

_MAX = 1 << 20  # bytes
_TIMEOUT = 10.0  # seconds
_DEPTH = 20
_TENANT = re.compile(r"/system/auth/([A-Za-z0-9_.-]+)-[UC]/")

# What can be taken over into a configuration: there, `${...}` would be replaced from the environment.
_SOUND = re.compile(r"[A-Za-z0-9][A-Za-z0-9:/._~%?=&@+-]*")


class MetadataError(Exception):
    """It cannot be had, or is no metadata."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What was recognised."""

    tenant: str | None = None
    api_host: str | None = None
    scope_prefix: str | None = None
    token_urls: dict[Persona, str] = field(default_factory=dict)


def metadata(source: str) -> Metadata:
    """From a file's path or an https:// URL. Raises MetadataError."""
    raw = in_loop(_fetched(source)) if "://" in source else _read(Path(source))
    if len(raw) > _MAX:
        raise MetadataError("is larger than 1 MiB; this is no metadata")
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise MetadataError("is not JSON; open it in a browser and save it as it is") from None
    return recognised(found)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX + 1)
    except (OSError, ValueError) as error:
        raise MetadataError(
            f"cannot be read ({getattr(error, 'strerror', None) or 'no file name'})"
        ) from None


async def _fetched(url: str) -> bytes:
    """No redirect is followed and no proxy of the environment used, as for tokens."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise MetadataError("is no URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback_host(parts.hostname or "")):
        raise MetadataError("is no https:// URL")
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, allow_redirects=False) as answer,
        ):
            if answer.status != 200:
                raise MetadataError(f"was answered with status {answer.status}")
            raw = b""
            while len(raw) <= _MAX and (piece := await answer.content.read(_MAX + 1 - len(raw))):
                raw += piece
            return raw
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise MetadataError(f"cannot be fetched ({type(error).__name__})") from None


def recognised(found: object) -> Metadata:
    """What of it is known by its looks."""
    tenant = api_host = prefix = None
    urls: dict[Persona, str] = {}
    for name, text in _texts(found, "", 0):
        if not _SOUND.fullmatch(text):
            continue
        if "prefix" in name.lower():
            prefix = prefix or (text if text.startswith("https://") else None)
        elif text.startswith("https://"):
            tenant = tenant or next(iter(_TENANT.findall(text)), None)
            for persona in _personas(text):
                urls.setdefault(persona, text.partition("?")[0])
            host = urlsplit(text).hostname or ""
            api_host = api_host or (host if host.startswith("api") else None)
    return Metadata(tenant, api_host, prefix, urls)


def _texts(value: object, name: str, depth: int) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value.strip()
    elif depth < _DEPTH and isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, str(key), depth + 1)
    elif depth < _DEPTH and isinstance(value, list):
        for inner in value:
            yield from _texts(inner, name, depth + 1)


def _personas(url: str) -> tuple[Persona, ...]:
    """Whose tokens a token URL gives."""
    parts = urlsplit(url)
    path = parts.path
    if not path.endswith("/token"):
        return ()
    if "/anonymous/" in path:
        return ("anonymous",)
    if "/onbehalfof/" in path:
        customer = ("user_type", "customer") in parse_qsl(parts.query)
        return ("obo_customer",) if customer else ("obo_user",)
    if "/global/" in path:
        return ("app",)
    if path.endswith("-U/oauth2/token"):
        return ("app", "user", "obo_user")
    return ("obo_customer",) if path.endswith("-C/oauth2/token") else ()
