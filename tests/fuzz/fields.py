"""Request fields: what crosses, what stays, what a subject is; against the contract's sections 5 and 6 written again.

Owns an oracle that works on names and values, where the code works on raw spellings and lines.
"""

from __future__ import annotations

import unicodedata

from hypothesis import strategies as st

from sidecar.errors import BadRequest, CallerFault
from sidecar.proxy import subject
from sidecar.proxy.admission import Admission
from sidecar.proxy.headers import RequestFields, RequestHead

_HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer",
    "transfer-encoding", "upgrade", "http2-settings",
}  # fmt: skip
_REPLACED = {"authorization", "host", "expect", "x-auth-sidecar-error"}
_GUARDED = {"authorization", "host", "content-length", "transfer-encoding", "close", "keep-alive", ""}
_SUBJECTS = ("X-On-Behalf-Of", "x_user-Id")
_NAMES = [
    "Accept", "X-Foo", "X-Bar", "Content-Length", "Origin", "Sec-Fetch-Site", "Cookie", "X_On_Behalf_Of",
    "x-on_behalf-of",
    "X-User-Id", "Forwarded", "X-Forwarded-Host", "authorization-x", *_SUBJECTS, *sorted(_HOP_BY_HOP),
    *sorted(_REPLACED),
]  # fmt: skip
_VALUES = st.one_of(
    st.sampled_from(
        ["", "close", "keep-alive", "X-Foo", "x-foo, close", "Authorization, Host", "Content-Length", "upgrade", ",,",
         "websocket", "chunked", "100-continue", "100-Continue", "cookie;x", "X-On-Behalf-Of", "alice", "0005", "0",
         "localhost", "LOCALHOST:80", "evil", "[::1]:8080", "cross-site", "null", "http://localhost", "a,b"]
    ),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF), max_size=12),
)  # fmt: skip


def _odd_case(drawn: tuple[str, int]) -> str:
    name, bits = drawn
    return "".join(c.upper() if bits >> n & 1 else c.lower() for n, c in enumerate(name))


_NAMED = st.lists(st.sampled_from(_NAMES).map(str.lower), min_size=1, max_size=4).map(" , ".join)
FIELDS = st.lists(
    st.one_of(
        st.tuples(st.tuples(st.sampled_from(_NAMES), st.integers(0, 1 << 12)).map(_odd_case), _VALUES),
        st.tuples(st.just("Connection"), _NAMED),
    ),
    max_size=12,
)
_LENGTH_DIGITS = 18  # of a Content-Length: more do not fit into 63 bits
_ADMISSION = Admission.of(["localhost", "[::1]"], ["https://app.example"], "api.example", 443)


def check_fields(fields: list[tuple[str, str]]) -> None:
    """Exactly the lines that may cross, in order; and admission ends in a target or a fault of the caller's."""
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    try:
        head = RequestHead(RequestFields(_SUBJECTS), raw)
    except BadRequest:
        lengths = [value for name, value in fields if name.lower() == "content-length"]
        assert any(len(value.lstrip("0")) > _LENGTH_DIGITS for value in lengths)
        return
    crossing = b"".join(head.lines).decode("latin-1")
    expected = "".join(f"{name}: {value}\r\n" for name, value in _expected(fields))
    assert crossing == expected, f"{crossing!r} instead of {expected!r}"
    for version in ((1, 1), (1, 0), (2, 0)):
        try:
            target = _ADMISSION.check("GET", version, head, "/x")
        except CallerFault:
            continue
        assert target.path == "/x"
        assert version != (2, 0)
        hosts = [value for name, value in fields if name.lower() == "host"]
        assert not hosts or hosts[-1].lower().removesuffix(":80").rpartition(":8080")[0] or hosts[-1]
        assert not hosts or _host_of(hosts[-1]) in ("localhost", "[::1]")
        origins = [value.lower() for name, value in fields if name.lower() == "origin"]
        assert (
            not origins or origins[0] == "https://app.example" or origins[0] == f"http://{hosts[-1].lower()}"
        )


def _host_of(value: str) -> str:
    lowered = value.lower()
    end = lowered.index("]") + 1 if lowered.startswith("[") else len(lowered.partition(":")[0])
    return lowered[:end].removesuffix(".")


def _expected(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    named = {
        token.strip(" \t").lower()
        for name, value in fields
        if name.lower() == "connection"
        for token in value.split(",")
    } - _GUARDED
    alike = {name.lower().replace("_", "-") for name in _SUBJECTS}
    return [
        (name, value.lstrip("0") or "0") if name.lower() == "content-length" else (name, value)
        for name, value in fields
        if name.lower() not in _HOP_BY_HOP | _REPLACED | named and name.lower().replace("_", "-") not in alike
    ]


# -- subjects --------------------------------------------------------------------------------------------------

SUBJECTS = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        ["alice", "a b", "a,b", "é", "e\u0301", "\u202eabc", "\u2028", "\x7f", "\ufeffa", "a" * 1025]
    ).map(str.encode),
)


def check_subject(raw: bytes) -> None:
    """Visible characters of valid UTF-8, up to 1 KiB, one name, exactly as sent; else a fault of the caller's."""
    try:
        found = subject.text(raw)
    except CallerFault:
        assert not _plain(raw), f"{raw!r} is refused"
    else:
        assert found.encode() == raw, "the subject was changed"
        assert len(raw) <= 1024
        assert not {unicodedata.category(c) for c in found} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}
    try:
        token = subject.bearer([b"Bearer " + raw])
    except CallerFault:
        return
    assert token.isascii()
    assert token.isprintable()
    assert " " not in token
    assert token.encode() == raw.strip(b" ")


def _plain(raw: bytes) -> bool:
    return 0 < len(raw) <= 1024 and all(0x21 <= c < 0x7F and c != 0x2C for c in raw)
