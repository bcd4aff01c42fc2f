"""The files and secrets a configuration names, as they are now."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sidecar.cli.finding import Finding
from sidecar.config.schema import Client, Config
from sidecar.config.values import SecretFrom
from sidecar.tls import client_context


def files_and_secrets(config: Config) -> Iterator[Finding]:
    """A finding for each."""
    for key, client in _clients(config):
        for part in ("id", "secret", "private_key"):
            source = getattr(client, part)
            if isinstance(source, SecretFrom):
                yield _tried(f"{key}.{part}", str(source), source.read)
    places = [
        ("upstream.ca_file", config.upstream.ca_file),
        ("tokens.ca_file", config.tokens.ca_file),
        *((f"credentials.{name}.ca_file", c.ca_file) for name, c in config.credentials.items()),
    ]
    for key, path in places:
        if path is not None:
            yield _tried(key, f"file {path}", lambda path=path: client_context(path))  # type: ignore[misc]


def _clients(config: Config) -> Iterator[tuple[str, Client]]:
    if config.client is not None:
        yield "client", config.client
    for name, credential in config.credentials.items():
        if credential.client is not None:
            yield f"credentials.{name}.client", credential.client


def _tried(key: str, where: str, use: Callable[[], object]) -> Finding:
    try:
        use()
    except OSError as error:
        detail, remedy = (
            f"{where}: {error.strerror or 'cannot be used'}",
            "see path, owner and mode of the file",
        )
        return Finding(key, False, detail, remedy)
    except ValueError as error:
        return Finding(key, False, f"{where} {error}", "write it there anew")
    return Finding(key, True, f"{where} can be read")
