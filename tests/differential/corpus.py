"""Raw requests, several hundred: each kind of oddity picked by hand, and mutations from a fixed seed.

Owns nothing but bytes. A case's name says what is odd about it; no two are the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_H = b"Host: localhost\r\n"
_POST = b"POST /p HTTP/1.1\r\n" + _H
_GET = b"GET /x HTTP/1.1\r\n" + _H
_HELLO = b"5\r\nhello\r\n0\r\n\r\n"
_NEXT = b"GET /next HTTP/1.1\r\n" + _H + b"\r\n"

_LINES = [
    b"GET  /x HTTP/1.1", b"GET /x  HTTP/1.1", b"GET /x HTTP/1.1 ", b" GET /x HTTP/1.1", b"\tGET /x HTTP/1.1",
    b"GET\t/x HTTP/1.1", b"GET /x\tHTTP/1.1", b"GET /x", b"GET /x HTTP/0.9", b"GET /x HTTP/1.2", b"GET /x HTTP/1.10",
    b"GET /x HTTP/01.1", b"GET /x HTTP/2.0", b"GET /x HTTP/3", b"GET /x http/1.1", b"GET /x HTTP/1,1",
    b"GET /x HTTP/1",
    b"GET /x HTTP /1.1", b"GET /x XTTP/1.1", b"GET HTTP/1.1", b"GET / x HTTP/1.1", b"GET /x HTTP/1.1\r",
    b"/x HTTP/1.1",
    b"GET /x\x0bHTTP/1.1", b"GET /x\x00 HTTP/1.1", b"GET /x HTTP/1.1\x00", b"GET /x\xa0HTTP/1.1", b"PRI * HTTP/2.0",
    b"GET /x ICE/1.0", b"SOURCE /x ICE/1.0", b"GET /x RTSP/1.0", b"", b"\x00",
]  # fmt: skip
_METHODS = [
    b"get", b"Get", b"GETX", b"FOO", b"G-T", b"G_T", b"G!T", b"G,T", b"G(T", b"G\x00T", b"G\x7fT", b"G\xe9T",
    b"", b"M-SEARCH",
    b"PROPFIND", b"QUERY", b"PURGE", b"PATCH", b"OPTIONS", b"TRACE", b"TRACK", b"CONNECT", b"DESCRIBE",
    b"SOURCE", b"PRI",
    b"X" * 40, b"X" * 4000,
]  # fmt: skip
_TARGETS = [
    b"x", b"*", b"*/x", b"?x", b"#x", b"/x#y", b"/x?y#z", b"/%", b"/%2", b"/%zz", b"/%00", b"/%2f", b"/%5c",
    b"/a\\b", b"//x",
    b"///", b"/./x", b"/../x", b"/a/../x", b"/a/..", b"/%2e%2e/x", b"/a/.%2e/x", b"/..;/x", b"/a;/../x",
    b"/%u002f", b"/%c0%af",
    b"/\xc3\xa9", b"/\xff", b"/\x7f", b"/\x01", b"/a\tb", b"/a\x0bb", b"/<x>", b'/"', b"/{x}", b"/|", b"/^",
    b"/`", b"/x?a=\xff",
    b"/x?a=%zz", b"/x?\x01", b"/x? y", b"localhost", b"localhost:80", b"http://localhost/x", b"http://localhost:80/x",
    b"http://127.0.0.1/x", b"http://evil/x", b"http://u@localhost/x", b"http://localhost", b"http:///x", b"http:/x",
    b"https://localhost/x", b"ftp://localhost/x", b"http://localhost\\x", b"http://localhost?x", b"http://[::1]/x",
    b"http://loc alhost/x", b"//evil/x", b"/http://evil/x", b"http://evil@localhost/x", b"/" + b"x" * 9000,
]  # fmt: skip
_HOSTS = [
    None, b"", b" ", b"localhost", b"LOCALHOST", b"localhost.", b"localhost:", b"localhost:80", b"localhost:0",
    b"localhost:99999",
    b"localhost:-1", b"localhost:x", b"localhost:80:80", b"localhost, evil", b"localhost evil", b"localhost/x",
    b"localhost\\x",
    b"localhost#x", b"localhost?x", b"u@localhost", b"u:p@localhost", b"localhost\x00", b"localhost\x01",
    b"loc\xe9", b"[::1]",
    b"[::1", b"::1", b"[::1]:80", b"[::1]x", b"[x]", b"%6cocalhost", b"lo_cal", b"a..b", b".", b"'", b"<x>",
    b"x" * 300,
    b"127.0.0.1", b"0x7f.1",
]  # fmt: skip
_CODINGS = [
    b"chunked", b"Chunked", b"CHUNKED", b"chunked ", b" chunked", b"\tchunked", b"chunked\t", b"\x0bchunked",
    b"chunked\x0b",
    b"\x0cchunked", b"chunked\x00", b"\x00chunked", b"\xa0chunked", b"chunked\xa0", b"\x85chunked", b"chunked,",
    b",chunked",
    b"chunked, chunked", b"chunked,identity", b"identity,chunked", b"identity", b"gzip, chunked",
    b"chunked, gzip", b"gzip",
    b"xchunked", b"chunkedx", b"chunk", b"cow", b"", b"chunked;q=1", b"chunked; x=y", b"'chunked'",
    b'"chunked"', b"chunked\r\n ",
    b"\r\n chunked", b"\r\n\tchunked", b"chun\r\n ked", b"chunked\n", b"\nchunked", b"chunked\rX: y",
    b"c\xffhunked", b"chu nked",
    b"[chunked]", b"chunKed\xe2\x84\xaa", b"\xef\xbb\xbfchunked", b"trailers, chunked", b"deflate,chunked",
]  # fmt: skip
_CODING_LINES = [
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"Transfer-Encoding\x00: chunked",
    b" Transfer-Encoding: chunked",
    b"Transfer_Encoding: chunked", b"transfer-encoding: chunked", b"TRANSFER-ENCODING:chunked",
    b"Transfer-Encoding:chunked",
    b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked", b"X:\r\nTransfer-Encoding: chunked",
    b"X\r\nTransfer-Encoding: chunked", b"Foo: bar\r\n\tTransfer-Encoding: chunked",
    b"Transfer-Encoding\r\n: chunked",
    b"Transfer-Encoding:\r\n chunked", b"Tra\xffnsfer-Encoding: chunked", b"Transfer-Encoding;: chunked",
    b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked", b"TE: chunked", b"Content-Encoding: chunked",
]  # fmt: skip
_LENGTHS = [
    b"5", b"05", b"0000000005", b"+5", b"-5", b"5 ", b" 5", b"\t5", b"5\t", b"5 5", b"5,5", b"5, 5", b"5;",
    b"5.0", b"5e0", b"0x5",
    b"5_", b"", b" ", b"5\x00", b"\x0b5", b"5\x0b", b"\xa05", b"\xd9\xa5", b"'5'", b'"5"', b"five",
    b"18446744073709551621",
    b"9223372036854775808", b"4294967301", b"1" + b"0" * 30, b"\r\n 5", b"5\r\n ", b"5\r\n 5", b"-0", b"0",
    b"6", b"99999999",
]  # fmt: skip
_LENGTH_LINES = [
    b"Content-Length: 5\r\nContent-Length: 5", b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 6\r\nContent-Length: 5",
    b"Content-Length: 5\r\nContent-Length: 0", b"Content-Length: 0\r\nContent-Length: 5", b"Content-Length : 5",
    b"Content-Length\t: 5",
    b"Content-Length\x00: 5", b" Content-Length: 5", b"content-length:5", b"Content_Length: 5",
    b"Content-Length: 5\nX: y",
    b"X: y\nContent-Length: 5", b"Content-Length: 5\rX: y", b"Connection: Content-Length\r\nContent-Length: 5",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 5\r\nTransfer-Encoding: identity", b"Content-Length: 5\r\nTransfer-Encoding: x",
    b"Content-Length: 5\r\nTransfer-Encoding : chunked", b"Content-Length: \x00\r\nContent-Length: 5",
]  # fmt: skip
_CHUNKS = [
    b"5\r\nhello\r\n0\r\n\r\n", b"05\r\nhello\r\n0\r\n\r\n", b"000000000000000005\r\nhello\r\n0\r\n\r\n",
    b"5 \r\nhello\r\n0\r\n\r\n",
    b" 5\r\nhello\r\n0\r\n\r\n", b"\t5\r\nhello\r\n0\r\n\r\n", b"5\t\r\nhello\r\n0\r\n\r\n",
    b"+5\r\nhello\r\n0\r\n\r\n",
    b"-5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"5_\r\nhello\r\n0\r\n\r\n",
    b"5;\r\nhello\r\n0\r\n\r\n",
    b"5;a\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n',
    b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
    b"5; a=b\r\nhello\r\n0\r\n\r\n", b"5;a=\x00\r\nhello\r\n0\r\n\r\n", b"5;a=\x7f\r\nhello\r\n0\r\n\r\n",
    b"5;a=\rb\r\nhello\r\n0\r\n\r\n",
    b"5;a\nhello\r\n0\r\n\r\n", b"5;;\r\nhello\r\n0\r\n\r\n", b"5,\r\nhello\r\n0\r\n\r\n",
    b"5a=b\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\r\n0\r\n\r\n", b"5\rhello\r\n0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello0\r\n\r\n",
    b"5\r\nhello\r0\r\n\r\n",
    b"5\r\nhello\r\n0\n\n", b"5\r\nhello\r\n0\r\n\n", b"5\r\nhello\r\n0\n\r\n", b"5\r\nhelloX\r\n0\r\n\r\n",
    b"5\r\nhell\r\n0\r\n\r\n",
    b"5\r\nhello\r\n00\r\n\r\n", b"5\r\nhello\r\n0;x\r\n\r\n", b"5\r\nhello\r\n-0\r\n\r\n",
    b"5\r\nhello\r\n+0\r\n\r\n",
    b"5\r\nhello\r\n0 \r\n\r\n", b"5\r\nhello\r\n\r\n", b"\r\n5\r\nhello\r\n0\r\n\r\n",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"fffffffffffffffb\r\nhello\r\n0\r\n\r\n", b"F\r\nhello\r\n0\r\n\r\n", b"g\r\nhello\r\n0\r\n\r\n",
    b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\r\n\r\n", b"5\r\nhello\r\n0\r\nX : y\r\n\r\n", b"5\r\nhello\r\n0\r\nX\r\n\r\n",
    b"5\r\nhello\r\n0\r\n: y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n", b"5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n",
    b"5\r\nhello\r\n0\r\nHost: evil\r\n\r\n", b"5\r\nhello\r\n0\r\nAuthorization: x\r\nX: y\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: a\n b\r\n\r\n",
    b"5\r\nhello\r\n0\r\nX: y\n\n", b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n", b"5\r\nhello\r\n0\r\n X: y\r\n\r\n",
    b"0\r\n\r\n",
    b"5;" + b"x" * 3000 + b"\r\nhello\r\n0\r\n\r\n", b"5" + b";a=b" * 500 + b"\r\nhello\r\n0\r\n\r\n",
]  # fmt: skip
_FIELD_LINES = [
    b"X : y", b"X\t: y", b" X: y", b"\tX: y", b": y", b"X", b"X y", b"X:", b"X: ", b"X:y", b"X:\ty",
    b"X: y\r\n z", b"X: y\r\n\tz",
    b"X: y\r\n ", b"X:\r\n y", b"X: a\nY: b", b"X: a\rY: b", b"X: a\r", b"X: a\r\rb", b"X: a\x00b", b"X: \x0b",
    b"X: \x7f", b"X: \xff",
    b"X: \xc3\xa9", b"X_Y: z", b"X.Y: z", b"X(: y", b"X,: y", b"X/: y", b"X;: y", b"X<: y", b"X=: y", b"X@: y",
    b"X[: y", b"X{: y",
    b'X": y', b"X\\: y", b"X\x00: y", b"X\x01: y", b"X\x7f: y", b"X\xe9: y", b"\xef\xbb\xbfX: y", b"X\r\n: y",
    b"1: y", b"!#$%&'*+-.^`|~: y",
    b"Connection: close, X\r\nX: y", b"Connection: Host", b"Connection: Cookie\r\nCookie: a",
    b"Connection: \x00", b"Upgrade: h2c",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA",
    b"Connection: Upgrade\r\nUpgrade: websocket",
    b"Expect: 100-continue", b"Expect: 100-Continue", b"Expect: bogus", b"Expect: 100-continue, x", b"Expect:",
    b"TE: trailers",
    b"Proxy-Connection: close", b"Keep-Alive: x", b"X: " + b"y" * 9000, b"\r\n".join([b"X: y"] * 150),
    b"Content-Type: a\r\nContent-Type: b",
    b"Authorization: a\r\nAuthorization: b", b"X-Forwarded-For: 1\r\nX-Forwarded-For: 2",
    b"User-Agent: a\r\nUser-Agent: b",
]  # fmt: skip
_STREAMS = {
    "CRLF before": b"\r\nGET /x HTTP/1.1\r\n" + _H + b"\r\n",
    "five CRLF before": b"\r\n" * 5 + b"GET /x HTTP/1.1\r\n" + _H + b"\r\n",
    "LF before": b"\nGET /x HTTP/1.1\r\n" + _H + b"\r\n",
    "CR before": b"\rGET /x HTTP/1.1\r\n" + _H + b"\r\n",
    "CRLF between": b"GET /x HTTP/1.1\r\n" + _H + b"\r\n\r\n" + _NEXT,
    "LF behind the line": b"GET /x HTTP/1.1\n" + _H + b"\r\n",
    "LF behind all": b"GET /x HTTP/1.1\nHost: localhost\n\n",
    "LF behind a field": b"GET /x HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "LF at the end": b"GET /x HTTP/1.1\r\n" + _H + b"\n",
    "CR at the end": b"GET /x HTTP/1.1\r\n" + _H + b"\rX",
    "CRCRLF": b"GET /x HTTP/1.1\r\r\nHost: localhost\r\r\n\r\r\n",
    "two": b"GET /x HTTP/1.1\r\n" + _H + b"\r\n" + _NEXT,
    "behind close": b"GET /x HTTP/1.1\r\nConnection: close\r\n" + _H + b"\r\n" + _NEXT,
    "behind HTTP/1.0": b"GET /x HTTP/1.0\r\n" + _H + b"\r\n" + _NEXT,
    "behind a length": _POST + b"Content-Length: 5\r\n\r\nhello" + _NEXT,
    "behind a length, a byte more": _POST + b"Content-Length: 5\r\n\r\nhelloX" + _NEXT,
    "behind a length, CRLF": _POST + b"Content-Length: 5\r\n\r\nhello\r\n" + _NEXT,
    "behind no length": _POST + b"\r\nhello" + _NEXT,
    "a request in a body": _POST + b"Content-Length: %d\r\n\r\n" % len(_NEXT) + _NEXT,
    "a request in a chunk": _POST + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(_NEXT) + _NEXT + b"\r\n0\r\n\r\n",
    "GET with a length": b"GET /x HTTP/1.1\r\n" + _H + b"Content-Length: 5\r\n\r\nhello" + _NEXT,
    "GET with chunks": _GET + b"Transfer-Encoding: chunked\r\n\r\n" + _HELLO + _NEXT,
    "HEAD with a length": b"HEAD /x HTTP/1.1\r\n" + _H + b"Content-Length: 5\r\n\r\nhello" + _NEXT,
    "websocket with a body": b"POST /x HTTP/1.1\r\n"
    + _H
    + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n"
    b"hello" + _NEXT,
    "declined upgrade, then another": _GET + b"Connection: Upgrade\r\nUpgrade: foo\r\n\r\n" + _NEXT,
    "HTTP/1.0 with chunks": b"POST /x HTTP/1.0\r\n" + _H + b"Transfer-Encoding: chunked\r\n\r\n" + _HELLO + _NEXT,
    "HTTP/1.0 without a Host": b"GET /x HTTP/1.0\r\n\r\n",
    "HTTP/1.0 kept alive": b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n" + _H + b"\r\n" + _NEXT,
    "two Hosts": b"GET /x HTTP/1.1\r\n" + _H + _H + b"\r\n",
    "two different Hosts": b"GET /x HTTP/1.1\r\n" + _H + b"Host: evil\r\n\r\n",
    "Host with a blank before the colon": b"GET /x HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "folded Host": b"GET /x HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00" * 9,
    "PROXY line": b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + _NEXT,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing": b"\r\n\r\n",
}  # fmt: skip


def _get(fields: bytes) -> bytes:
    return b"GET /x HTTP/1.1\r\n" + _H + fields + b"\r\n\r\n"


def cases(mutations: int = 250) -> dict[str, bytes]:
    """By name: what is sent on a connection of its own."""
    found: dict[str, bytes] = {}
    for name, data in _all(mutations):
        if data not in found.values():
            found[name] = data
    return found


def _all(mutations: int) -> Iterator[tuple[str, bytes]]:
    for line in _LINES:
        yield f"line {line!r}", line + b"\r\n" + _H + b"\r\n"
    for method in _METHODS:
        yield f"method {_short(method)}", method + b" /x HTTP/1.1\r\n" + _H + b"\r\n"
    for target in _TARGETS:
        yield f"target {_short(target)}", b"GET " + target + b" HTTP/1.1\r\n" + _H + b"\r\n"
    for host in _HOSTS:
        field = b"" if host is None else b"Host: " + host + b"\r\n"
        yield f"host {_short(host or b'')}" if field else "no host", b"GET /x HTTP/1.1\r\n" + field + b"\r\n"
    body = b"\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    for coding in _CODINGS:
        yield f"coding {coding!r}", _POST + b"Transfer-Encoding: " + coding + body + _NEXT
    for lines in _CODING_LINES:
        yield f"coding line {lines!r}", _POST + lines + body + _NEXT
    for length in _LENGTHS:
        yield f"length {length!r}", _POST + b"Content-Length: " + length + b"\r\n\r\nhello" + _NEXT
    for lines in _LENGTH_LINES:
        yield f"length line {lines!r}", _POST + lines + b"\r\n\r\nhello" + _NEXT
        yield f"length line, chunks {lines!r}", _POST + lines + body + _NEXT
    for chunks in _CHUNKS:
        yield f"chunks {_short(chunks)}", _POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + _NEXT
    for lines in _FIELD_LINES:
        yield f"field {_short(lines)}", _get(lines) + _NEXT
    for byte in range(33):
        yield f"value with \\x{byte:02x}", _get(b"X: a" + bytes((byte,)) + b"b")
    yield from _STREAMS.items()
    yield from _mutated(mutations)


def _short(data: bytes) -> str:
    return repr(data) if len(data) <= 40 else f"{data[:36]!r}... ({len(data)} bytes)"


def _mutated(count: int) -> Iterator[tuple[str, bytes]]:
    """From a fixed seed: the same ones each time."""
    draw = random.Random(20260101)
    seeds = [*_STREAMS.values(), _POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + _NEXT]
    words = [
        *_FIELD_LINES[:40],
        *_LENGTH_LINES,
        *_CODING_LINES,
        b"\r",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\x00",
        b":",
        b"0\r\n\r\n",
    ]
    for number in range(count):
        data = draw.choice(seeds)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(data) + 1)
            if draw.random() < 0.6:
                word = draw.choice(words)
                lines = data.split(b"\r\n")
                lines.insert(draw.randrange(len(lines)), word)
                data = b"\r\n".join(lines) if draw.random() < 0.7 else data[:at] + word + data[at:]
            else:
                data = data[:at] + data[at + draw.randint(1, 4) :]
        yield f"mutation {number}", data
