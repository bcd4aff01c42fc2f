"""What a stream of raw requests means: h11's reading of it, and what the contract makes of each request.

Owns the table of deliberate differences: where the sidecar takes less than h11 does (STRICTER), and the one place
where it takes more (`read_stream`). Knows no sockets.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import h11

from tests.fuzz.paths import expected_target

# What llhttp takes as a method; the contract's "malformed" for every other word (battery: "refused as documented").
METHODS = frozenset(
    [
        "DELETE",
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "CONNECT",
        "OPTIONS",
        "TRACE",
        "COPY",
        "LOCK",
        "MKCOL",
        "MOVE",
        "PROPFIND",
        "PROPPATCH",
        "SEARCH",
        "UNLOCK",
        "BIND",
        "REBIND",
        "UNBIND",
        "ACL",
        "REPORT",
        "MKACTIVITY",
        "CHECKOUT",
        "MERGE",
        "M-SEARCH",
        "NOTIFY",
        "SUBSCRIBE",
        "UNSUBSCRIBE",
        "PATCH",
        "PURGE",
        "MKCALENDAR",
        "LINK",
        "UNLINK",
        "SOURCE",
        "QUERY",
    ]
)
# RFC 9110: fields that are no lists. aiohttp refuses each that is sent twice.
_ONCE = frozenset(
    [
        "content-length",
        "content-location",
        "content-range",
        "content-type",
        "etag",
        "host",
        "max-forwards",
        "server",
        "transfer-encoding",
        "user-agent",
    ]
)
_BLANKS = re.compile(rb"\A([^ \r\n]+) +([^ \r\n]+) +(HTTP/[0-9.]+\r\n)")
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_UPSTREAM = r"127\.0\.0\.1\.?(:0{0,3}80|:)?"  # its true port is never drawn
_LINE_ENDS = re.compile(rb"(?<!\r)\n|\r(?!\n)")
_FOLDED = re.compile(rb"\r\n[ \t]")


@dataclass(frozen=True)
class Read:
    """One request as h11 reads it."""

    method: str
    target: str
    version: str
    fields: list[tuple[str, str]]
    head: bytes  # as it came
    body: bytes = b""
    raw_body: bytes = b""
    complete: bool = False

    def all(self, name: str) -> list[str]:
        return [value for field, value in self.fields if field == name]


@dataclass
class Stream:
    """All of a stream."""

    requests: list[Read] = field(default_factory=list)
    error: str | None = (
        None  # h11 gave up: in the last request's body if that is not complete, else behind it
    )
    closes: bool = False  # the last request says so


def read_stream(data: bytes) -> Stream:
    """h11's reading, each request answered as soon as it is complete.

    Every request is read afresh and its beginning straightened, because the sidecar takes two things there that h11
    does not (and nginx does): empty lines before a request, also such as end in a bare LF or CR (RFC 9112 section 2.2
    asks servers for it), and more than one blank between the parts of the request line (section 3 lets them). Neither
    crosses.
    """
    found = Stream()
    while True:
        data = _BLANKS.sub(rb"\1 \2 \3", data.lstrip(b"\r\n"), count=1)
        used = _read_one(found, data)
        if not used or found.error or found.closes or not found.requests[-1].complete:
            return found
        data = data[used:]


def _read_one(found: Stream, data: bytes) -> int:
    """Append one request; how much of the data was its. 0: there is no whole head."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data)
    request: Read | None = None
    body, head_end, at = b"", 0, 0
    try:
        while True:
            event = connection.next_event()
            at = len(data) - len(connection.trailing_data[0])
            if isinstance(event, h11.Request):
                head_end = at
                request = _started(event, data[:at])
            elif request is None:
                return 0
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            else:
                break
    except h11.RemoteProtocolError as error:
        found.error = str(error)
        if request is not None:
            found.requests.append(replace(request, body=body, raw_body=data[head_end:]))
        return 0
    whole = isinstance(event, h11.EndOfMessage)
    found.requests.append(replace(request, body=body, raw_body=data[head_end:at], complete=whole))
    if whole:
        status = 405 if request.method == "CONNECT" else 200
        connection.send(h11.Response(status_code=status, headers=[("Content-Length", "0")]))
        connection.send(h11.EndOfMessage())
        found.closes = connection.our_state is not h11.DONE
    return at


def _started(event: h11.Request, head: bytes) -> Read:
    fields = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers]
    return Read(
        event.method.decode(), event.target.decode("latin-1"), event.http_version.decode(), fields, head
    )


# -- what the contract makes of a request ----------------------------------------------------------------------

Fault = tuple[int, str]


def faults(request: Read) -> set[int]:
    """The statuses that this request may be refused with; none: it is forwarded."""
    return {status for status, _ in _faults(request)}


def _faults(request: Read) -> Iterator[Fault]:
    for status, reason, applies in STRICTER:
        if applies(request):
            yield status, reason


def _host(request: Read) -> str | None:
    return request.all("host")[0] if request.all("host") else None


def _authority_name(text: str) -> str:
    found = re.fullmatch(r"(?i)(\[[^\]]*\]|[^:]*)(?::(\d*))?", text)
    return "" if found is None else found[1].lower().removesuffix(".")


def _bad_host(request: Read) -> bool:
    """The Host field, or the authority of an absolute-form target, is no host with a port."""
    target = expected_target(request.target)
    authority = None if target is None else target.authority
    return any(text is not None and not _is_host(text) for text in (_host(request), authority))


def _is_host(text: str) -> bool:
    found = re.fullmatch(
        r"(?:\[([0-9A-Za-z:._~%!$&'()*+;=-]*)\]|([0-9A-Za-z._~%!$&'()*+;=-]+))(?::(\d{0,5}))?", text, re.ASCII
    )
    if found is None or int(found[3] or 0) > 65535:
        return False
    if found[1] is None:
        return found[2] != "."
    try:
        ipaddress.IPv6Address(found[1])
    except ValueError:
        return False
    return True


def _other_host(request: Read) -> bool:
    host, target = _host(request), expected_target(request.target)
    if target is not None and target.authority is not None and not re.fullmatch(_UPSTREAM, target.authority):
        return True
    return host is not None and _authority_name(host) not in ("localhost", "127.0.0.1", "[::1]")


def _foreign_origin(request: Read) -> bool:
    origins, host = request.all("origin"), _host(request)
    sites = request.all("sec-fetch-site")
    own = host is not None and [origin.lower() for origin in origins] == [f"http://{host.lower()}"]
    cross = len(sites) > 1 or any(site.lower() == "cross-site" for site in sites)
    return (bool(origins) and not own) or cross


def _coding(request: Read) -> bool:
    codings = [value.lower() for value in request.all("transfer-encoding")]
    return bool(codings) and (
        codings != ["chunked"] or request.version != "1.1" or bool(request.all("content-length"))
    )


def _repeated(request: Read) -> bool:
    names = [name for name, _ in request.fields]
    return any(names.count(name) > 1 for name in _ONCE)


def _lengths(request: Read) -> bool:
    raw = re.findall(rb"(?im)^content-length[ \t]*:[ \t]*([^\r\n]*)", request.head)
    return len(raw) > 1 or any(not re.fullmatch(rb"[0-9]+[ \t]*", value) for value in raw)


# The status, why the contract wants it, and when. h11 takes all of these.
STRICTER: list[tuple[int, str, Callable[[Read], bool]]] = [
    (400, "7: malformed HTTP (a bare LF or CR in the head)", lambda r: bool(_LINE_ENDS.search(r.head))),
    (400, "7: malformed HTTP (a folded line)", lambda r: b"\r\n " in r.head or b"\r\n\t" in r.head),
    (400, "7: malformed HTTP (a control character in a field)", lambda r: bool(_CONTROLS.search(r.head))),
    (400, "7: a repeated Content-Length, or a list", _lengths),
    (400, "7: malformed HTTP (a field given twice that may be given once)", _repeated),
    (400, "7: smuggling shapes (Transfer-Encoding beside Content-Length, in HTTP/1.0, or another)", _coding),
    (400, "7: malformed HTTP (a method that is none of HTTP's or WebDAV's)", lambda r: r.method not in METHODS),
    (400, "7: malformed HTTP (a version other than 1.0 and 1.1)", lambda r: r.version not in ("1.0", "1.1")),
    (400, "4.1, 4.2: the target", lambda r: expected_target(r.target) is None),
    (400, "7: a Host that is none", _bad_host),
    (421, "7: host_not_allowed", _other_host),
    (403, "7: origin_not_allowed", _foreign_origin),
    (405, "7: method_not_allowed", lambda r: r.method in ("CONNECT", "TRACE")),
    (417, "7: expectation_failed", lambda r: any(v.lower() != "100-continue" for v in r.all("expect"))),
    (417, "7: expectation_failed (named twice)", lambda r: len(r.all("expect")) > 1),
]  # fmt: skip


def odd_body(request: Read) -> bool:
    """A chunked body that h11 takes and that may be refused (section 7: malformed HTTP).

    Its lines end oddly, hold control characters or are folded (RFC 9112 section 5.2), chunk sizes have something behind
    them or too many digits, or a trailer is named as a field that may only be sent once (RFC 9110 section 6.5.1 lets no
    such field into trailers).
    """
    raw = request.raw_body
    if not request.all("transfer-encoding"):
        return False
    if _CONTROLS.search(raw) or _FOLDED.search(raw):
        return True
    if any(re.search(rb"(?im)^" + name.encode() + rb"[ \t]*:", raw) for name in _ONCE):
        return True
    return bool(_LINE_ENDS.search(raw)) or bool(
        re.search(rb"(?m)^[0-9a-fA-F]+[ \t]|;|^[0-9a-fA-F]{17,}", raw)
    )
