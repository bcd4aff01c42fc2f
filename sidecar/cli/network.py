"""The servers a configuration names: their names, their certificates, their clocks.

Owns the checks of upstream and token hosts that need no token. A server is looked at once, however many
credentials use it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sidecar.cli import remedies
from sidecar.cli.finding import Finding
from sidecar.cli.probe import Certificate, Place, Seen, addresses, look
from sidecar.clock import SystemClock
from sidecar.config.schema import Config
from sidecar.oauth.untrusted import one_line
from sidecar.tokens.endpoint import TokenEndpoint

_MAX_SKEW = 30.0  # seconds: identity.leeway by default, and half the life of a client's assertion
_DAY = 86400.0
_GATEWAY = (502, 503, 504)  # said by what stands before a server that is not there


@dataclass(frozen=True, slots=True)
class Server:
    """One server, looked at once."""

    place: Place
    ca_key: str  # where its CA file is, or would be, named
    is_upstream: bool = False
    issues_tokens: bool = False


def servers(config: Config, endpoint: TokenEndpoint) -> list[Server]:
    """Each server once: the same origin with other CAs is another one."""
    upstream, egress = config.upstream, config.tokens.proxy
    found: dict[Place, Server] = {}

    def add(server: Server) -> None:
        url = server.place.url
        key = replace(server.place, url=replace(url, path=""))
        known = found.setdefault(key, server)
        if server.issues_tokens:
            found[key] = replace(known, issues_tokens=True)

    add(Server(Place(upstream.url, upstream.ca_file, upstream.proxy), "upstream.ca_file", is_upstream=True))
    for name, credential in config.credentials.items():
        ca_file = endpoint.ca_file_for(credential.token_url, credential.ca_file)
        key = f"credentials.{name}.ca_file or tokens.ca_file"
        add(Server(Place(credential.token_url, ca_file, egress), key, issues_tokens=True))
    if config.identity is not None and config.identity.jwks_url is not None:
        url = config.identity.jwks_url
        add(Server(Place(url, endpoint.ca_file_for(url, None), egress), "tokens.ca_file"))
    return list(found.values())


def hosts(found: list[Server]) -> list[tuple[str, int]]:
    """The names to look up; behind an egress proxy that is the proxy's."""
    hops = {server.place.next_hop[0]: server.place.next_hop[1] for server in found}
    return [(host, port) for host, port in hops.items() if not _is_address(host)]


async def examine_name(host: str, port: int, timeout: float) -> list[Finding]:
    """Does the name resolve?"""
    name = f"name {host}"
    try:
        async with asyncio.timeout(timeout):
            found = await addresses(host, port)
    except OSError as error:
        return [Finding(name, False, _said(error), remedies.of_connection(error, ""))]
    return [Finding(name, True, ", ".join(found[:4]) + (", ..." if len(found) > 4 else ""))]


async def examine_server(server: Server, timeout: float) -> list[Finding]:
    """Can it be reached and trusted, does the API answer, and is its clock ours?"""
    try:
        async with asyncio.timeout(timeout):
            seen = await look(server.place)
    except OSError as error:
        said, remedy = _said(error), remedies.of_connection(error, server.ca_key)
        findings = [Finding(f"connection to {server.place.origin}", False, said, remedy)]
        if server.is_upstream:
            findings.append(Finding("upstream", False, "no connection", remedy))
        return findings
    return list(_findings(server, seen))


def _findings(server: Server, seen: Seen) -> Iterator[Finding]:
    origin = server.place.origin
    yield _connection(f"connection to {origin}", seen.certificate)
    if server.is_upstream:
        yield _upstream(seen.status)
    if server.issues_tokens and seen.date is not None:
        yield _clock(f"clock, by {origin}", seen.date)


def _connection(name: str, certificate: Certificate | None) -> Finding:
    if certificate is None:
        return Finding(name, True, "connected, without TLS")
    left = (certificate.expires_at - SystemClock.wall()) / _DAY
    day = datetime.fromtimestamp(certificate.expires_at, UTC).date()
    return Finding(
        name, True, f"{certificate.tls}, certificate of {certificate.subject} until {day} ({left:.0f} days)"
    )


def _upstream(status: int | None) -> Finding:
    if status is None:
        remedy = "see whether host, port and scheme of upstream.url are right"
        return Finding("upstream", False, "what answers there is not HTTP/1.1", remedy)
    if status in _GATEWAY:
        remedy = "the API is down behind its gateway: try again, then ask those who run it"
        return Finding("upstream", False, f"HTTP {status}", remedy)
    return Finding("upstream", True, f"answers (HTTP {status}, to a request without a token)")


def _clock(name: str, theirs: float) -> Finding:
    ahead = SystemClock.wall() - theirs
    # A Date has whole seconds and has travelled.
    if abs(ahead) <= _MAX_SKEW:
        return Finding(name, True, "the same, give or take a few seconds" if abs(ahead) > 2 else "the same")
    which = "ahead of" if ahead > 0 else "behind"
    return Finding(
        name, False, f"this machine's clock is {abs(ahead):.0f} s {which} the server's",
        "set the clock (NTP): signed assertions and callers' JWTs are refused otherwise",
    )  # fmt: skip


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _said(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return one_line(f"certificate: {error.verify_message}")
    if isinstance(error, ssl.SSLError | socket.gaierror) or error.errno is None:
        # Their numbers are not the system's.
        return (
            "no answer in time" if isinstance(error, TimeoutError) else one_line(error.strerror or str(error))
        )
    return os.strerror(error.errno)
