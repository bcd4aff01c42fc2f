"""One HTTP request after another, without any library of the project's: what is measured must not measure itself."""

from __future__ import annotations

import contextlib
import http.client
from dataclasses import dataclass

PATIENCE = 20.0  # seconds


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


def ask(address: str, path: str, **headers: str) -> Answer:
    """GET over a connection of its own. Raises OSError, HTTPException."""
    with contextlib.closing(http.client.HTTPConnection(address, timeout=PATIENCE)) as connection:
        return ask_on(connection, path, **headers)


def ask_on(connection: http.client.HTTPConnection, path: str, **headers: str) -> Answer:
    """GET over a kept connection."""
    connection.request(
        "GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    fields = {name.lower(): value for name, value in answer.getheaders()}
    return Answer(answer.status, fields, answer.read())


def answers(address: str, path: str) -> int:
    """The status, or 0 while nobody answers there."""
    try:
        return ask(address, path).status
    except (OSError, http.client.HTTPException):
        return 0
