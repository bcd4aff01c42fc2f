"""One connection to a server, looked at: name, TCP, TLS, the first answer.

Owns a single HEAD request without any credential. What comes back is untrusted: a bounded head, of which the
status and the Date are read. Certificates are checked as for real traffic.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import aiohappyeyeballs

from sidecar.config.values import HttpUrl
from sidecar.egress import open_tunnel
from sidecar.tls import client_context

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])\b")
_DATE = re.compile(rb"^date:[ \t]*([\x20-\x7E]{1,64}?)[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_OURS = re.compile(rb"^x-auth-sidecar-error:", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect to, and how."""

    url: HttpUrl
    ca_file: Path | None
    egress: HttpUrl | None

    @property
    def origin(self) -> str:
        return f"{self.url.scheme}://{self.url.authority}"

    @property
    def next_hop(self) -> tuple[str, int]:
        """Host and port that are looked up here; behind an egress proxy the target's name is not."""
        hop = self.url if self.egress is None else self.egress
        return hop.host, hop.port


@dataclass(frozen=True, slots=True)
class Certificate:
    """Of a server that is trusted."""

    subject: str
    expires_at: float  # seconds since the epoch
    tls: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a server showed."""

    certificate: Certificate | None
    status: int | None  # None: what it answered is not HTTP
    date: float | None  # its clock, seconds since the epoch
    is_sidecar: bool


async def addresses(host: str, port: int) -> list[str]:
    """The addresses of a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def look(place: Place, host_field: str | None = None) -> Seen:
    """Connect and send one HEAD request. Raises OSError (ssl.SSLError is one)."""
    url = place.url
    context = client_context(place.ca_file) if url.scheme == "https" else None
    reader, writer = await _connect(place, context)
    try:
        lines = f"HEAD {url.path or '/'} HTTP/1.1\r\nHost: {host_field or url.authority}\r\nConnection: close\r\n\r\n"
        writer.write(lines.encode("ascii"))
        head = b""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
        status = _STATUS.match(head)
        return Seen(
            _certificate(writer),
            int(status[1]) if status else None,
            _date(head),
            _OURS.search(head) is not None,
        )
    finally:
        writer.transport.abort()  # nothing is owed to a connection that was only looked at


async def _connect(
    place: Place, context: ssl.SSLContext | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(*place.next_hop, type=socket.SOCK_STREAM)
    sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=0.25)
    try:
        if place.egress is not None:
            await open_tunnel(loop, sock, place.url.host, place.url.port)
        return await asyncio.open_connection(
            sock=sock, ssl=context, server_hostname=place.url.host if context else None
        )
    except BaseException:
        sock.close()
        raise


def _certificate(writer: asyncio.StreamWriter) -> Certificate | None:
    shown = writer.get_extra_info("peercert")
    if not shown:
        return None
    names = [value for part in shown.get("subject", ()) for key, value in part if key == "commonName"]
    names += [value for kind, value in shown.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    return Certificate(
        next(iter(names), "(no name)"),
        float(ssl.cert_time_to_seconds(shown["notAfter"])),
        writer.get_extra_info("ssl_object").version(),
    )


def _date(head: bytes) -> float | None:
    found = _DATE.search(head)
    if found is None:
        return None
    try:
        return parsedate_to_datetime(found[1].decode("ascii")).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
