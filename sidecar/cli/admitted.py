"""What a request asks for, if it may come in at all: what `explain` has instead of a connection.

Owns the request that is made up for it: a program's, with an accepted Host and no Origin. The rules are those of
the proxy listener. Pure.
"""

from __future__ import annotations

from sidecar import binding
from sidecar.config.names import is_parsed
from sidecar.config.schema import Config
from sidecar.errors import BadRequest, HostNotAllowed
from sidecar.proxy.admission import Admission, split_host
from sidecar.proxy.headers import RequestFields, RequestHead
from sidecar.routing.target import Target, parse


def admitted(config: Config, method: str, raw: str) -> Target:
    """Raises the Refusal that the listener would answer."""
    raw = raw.encode("utf-8", "surrogateescape").decode("latin-1")  # one character per byte, as on the wire
    if not is_parsed(method):
        raise BadRequest("the HTTP parser does not know this method")
    admission = _admission(config)
    host = min(admission.hosts, default="localhost")
    try:
        return admission.check(method, (1, 1), _head(host), raw)  # a URL: a program that set HTTP_PROXY
    except HostNotAllowed:
        authority = parse(raw).authority
        if authority is None or split_host(authority)[0] not in admission.hosts:
            raise
    # The sidecar's own address: the URL of the app's request, which sends the path alone.
    path = raw.partition("://")[2][len(authority) :]
    return admission.check(method, (1, 1), _head(authority), path if path[:1] == "/" else f"/{path}")


def _admission(config: Config) -> Admission:
    url = config.upstream.url
    upstream = f"[{url.host}]" if ":" in url.host else url.host
    return Admission.of(binding.allowed_hosts(config), config.allowed_origins, upstream, url.port)


def _head(host: str) -> RequestHead:
    return RequestHead(RequestFields(), [(b"Host", host.encode("latin-1"))])
