"""May this request come in at all? Version, framing, Host, Origin, expectation.

Owns what is decided before any route is looked for: 400 malformed, 403 origin, 405 CONNECT, 417 and
421. Pure: a request head in, nothing or a CallerFault out. It keeps web pages (DNS rebinding, cross-site
requests) and confused clients out; it knows nothing of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from sidecar.errors import (
    BadRequest,
    ExpectationFailed,
    HostNotAllowed,
    MethodNotAllowed,
    OriginNotAllowed,
)
from sidecar.proxy.headers import RequestHead
from sidecar.routing.target import Target, parse

_USUAL_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
_MAX_WELCOME = 256
_HOST_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._~:[]%!$&'()*+;=")


def split_host(authority: str) -> tuple[str, int | None]:
    """Host in lower case without its trailing dot (IPv6 in brackets), and the port if there is one.

    Raises BadRequest when it is not `host[:port]`; brackets are for IPv6 addresses (RFC 3986 section 3.2.2).
    """
    host = authority.lower()
    if not host.isascii() or not _HOST_CHARACTERS.issuperset(host.encode()):
        raise BadRequest("the Host field is not a plain host")
    port = ""
    if host[:1] == "[":
        host, bracket, rest = host.partition("]")
        if not bracket or rest[:1] not in ("", ":") or not _is_ipv6(host[1:]):
            raise BadRequest("the Host field is not a plain host")
        host += bracket
        port = rest[1:]
    else:
        host, _, port = host.partition(":")
        if "[" in host or "]" in host:
            raise BadRequest("the Host field is not a plain host")
    if port and not (port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise BadRequest("the Host field's port is not a port number")
    host = host.removesuffix(".")
    if not host:
        raise BadRequest("the Host field is empty")
    return host, int(port) if port else None


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one configuration."""

    hosts: frozenset[str]  # accepted Host values, normalised, without port
    origins: frozenset[str]  # accepted Origin values, lower case
    upstream_host: str
    upstream_port: int
    links: bool  # pages are served here, which a link on another site may lead to
    _welcome: set[bytes] = field(default_factory=set)  # Host values as they came, found acceptable before

    @staticmethod
    def of(
        hosts: Iterable[str],
        origins: Iterable[str],
        upstream_host: str,
        upstream_port: int,
        *,
        links: bool = False,
    ) -> Admission:
        return Admission(
            frozenset(split_host(host)[0] for host in hosts),
            frozenset(origin.lower() for origin in origins),
            split_host(upstream_host)[0],
            upstream_port,
            links,
        )

    def check(self, method: str, version: tuple[int, int], head: RequestHead, raw_target: str) -> Target:
        """What the request asks for. Raises the CallerFault that keeps it out, if any."""
        check_framing(version, head)
        if method == "CONNECT":
            raise MethodNotAllowed(
                "this is no CONNECT proxy; use an http:// base URL that points at the sidecar", _USUAL_METHODS
            )
        if method == "TRACE":
            raise MethodNotAllowed("TRACE would show the caller the injected token", _USUAL_METHODS)
        if raw_target[:1] == "/":
            self._check_host(head.host, None)
            wanted = None
        else:
            wanted = parse(raw_target)
            self._check_host(head.host, wanted.authority)
        if head.origins is not None or head.fetch_site is not None:
            self._check_origin(method, head)
        if head.expect is not None and head.expect.lower() != b"100-continue":
            raise ExpectationFailed("only `Expect: 100-continue` can be met")
        return wanted or parse(raw_target)

    def _check_host(self, raw: bytes | None, authority: str | None) -> None:
        host = None
        if raw is not None:
            if raw in self._welcome and authority is None:
                return
            host, _ = split_host(raw.decode("latin-1"))
        if authority is not None:
            name, port = split_host(authority)
            if name != self.upstream_host or port not in (None, 80, self.upstream_port):
                raise HostNotAllowed("requests are only forwarded to the configured upstream")
            if host == name:
                return
        if host is not None and host not in self.hosts:
            raise HostNotAllowed("the Host field names a host that is not in allowed_hosts")
        if raw is not None and len(self._welcome) < _MAX_WELCOME:
            self._welcome.add(raw)

    def _check_origin(self, method: str, head: RequestHead) -> None:
        origins = head.origins or []
        if len(origins) > 1:
            raise OriginNotAllowed("the request has more than one Origin")
        if origins:
            origin = origins[0].decode("latin-1").lower()
            if origin in self.origins:
                return  # explicitly allowed, so a page of another site may be meant
            if head.host is None or origin != f"http://{head.host.decode('latin-1').lower()}":
                raise OriginNotAllowed("requests from web pages of this origin are not in allowed_origins")
        if head.fetch_site is not None and head.fetch_site.lower() == b"cross-site":
            # What a link opens is read by nobody but the person who follows it; whether it may lead here, the
            # route says.
            if self.links and method in ("GET", "HEAD") and head.navigates and not origins:
                head.from_elsewhere = True
                return
            raise OriginNotAllowed("cross-site requests of web pages are not accepted")


def check_framing(version: tuple[int, int], head: RequestHead) -> None:
    """Refuse what two servers could cut into different requests (RFC 9112 section 6)."""
    if version not in ((1, 1), (1, 0)):
        raise BadRequest("the request is not HTTP/1.1 or HTTP/1.0")
    if head.transfer_encoding is not None:
        if head.content_length is not None:
            raise BadRequest("the request has both Content-Length and Transfer-Encoding")
        if version == (1, 0):
            raise BadRequest("HTTP/1.0 knows no Transfer-Encoding")
        if head.transfer_encoding.lower() != b"chunked":
            raise BadRequest("the only transfer coding taken is `chunked`")
