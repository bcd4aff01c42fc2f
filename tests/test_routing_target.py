"""From a request target to the canonical path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import BadRequest, PathNotCanonical
from sidecar.routing.target import canonical, parse

CANONICAL = [
    ("/", "/"),
    ("/a/b", "/a/b"),
    ("/a/b/", "/a/b/"),
    ("//a///b", "/a/b"),
    ("//", "/"),
    ("/%61dmin", "/admin"),
    ("/%7euser", "/~user"),
    ("/a%2db%2ec%5fd", "/a-b.c_d"),
    ("/caf%c3%a9", "/caf%C3%A9"),
    ("/a%20b", "/a%20b"),
    ("/a%3fb%23c", "/a%3Fb%23c"),
    ("/a;x=1/b", "/a;x=1/b"),
    ("/ADMIN", "/ADMIN"),
    ("/a.b/c..d/...", "/a.b/c..d/..."),
    ("/.well-known/x", "/.well-known/x"),
    ("/%252e%252e/x", "/%252e%252e/x"),
    ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ("/%c0%af", "/%C0%AF"),
]


@pytest.mark.parametrize(("raw", "expected"), CANONICAL, ids=[raw for raw, _ in CANONICAL])
def test_path_is_made_canonical(raw: str, expected: str) -> None:
    """Unreserved characters are decoded, hex is upper-cased, runs of slashes are merged; nothing else changes."""
    assert canonical(raw) == expected


REFUSED = [
    "/.", "/..", "/a/./b", "/a/../b", "/a/..", "/%2e%2e/a", "/a/%2E/b", "/.%2e/a", "//..", "/a//../b",
    "/portals/..;/admin", "/a/.;x=1/b", "/a%2Fb", "/a%2fb", "/a%5cb", "/a\\b", "/a%00b", "/a%0ab", "/a%7fb",
    "/a\x01b", "/a b", "/a\x7fb", "/a#b", "/a%", "/a%2", "/a%zz", "/a%u002f", "/é", "/a%2 f", "/a%20\xe9",
]  # fmt: skip


@pytest.mark.parametrize("raw", REFUSED)
def test_path_that_servers_read_differently_is_refused(raw: str) -> None:
    """Dot segments, encoded separators, control characters and broken encoding are a 400, never a guess."""
    with pytest.raises(PathNotCanonical):
        canonical(raw)


@given(st.text(alphabet="/.%2eEfF5cCaA0;~-\\#", max_size=24))
def test_canonical_is_a_fixed_point_and_never_hides_a_dot_segment(tail: str) -> None:
    """What comes out is canonical itself and has no segment that a server could climb with."""
    try:
        once = canonical("/" + tail)
    except PathNotCanonical:
        return
    assert canonical(once) == once
    assert "//" not in once
    assert not {".", ".."} & {s.partition(";")[0] for s in once.split("/")}
    assert "%2F" not in once.upper()
    assert "%5C" not in once.upper()


@pytest.mark.parametrize(
    ("raw", "path", "query", "authority"),
    [
        ("/a?b=c", "/a", "?b=c", None),
        ("/a?", "/a", "?", None),
        ("/a", "/a", "", None),
        ("/a?$filter[tags]=a%2Fb&x=%7e&y=a+b%20c&z=%zz&e&=&a=1&a=2;b=3", "/a",
         "?$filter[tags]=a%2Fb&x=%7e&y=a+b%20c&z=%zz&e&=&a=1&a=2;b=3", None),
        ("/private?x=/public/../..", "/private", "?x=/public/../..", None),
        ("http://api.example/a//b?c", "/a/b", "?c", "api.example"),
        ("HTTPS://api.example:8443", "/", "", "api.example:8443"),
        ("http://api.example?x", "/", "?x", "api.example"),
        ("http://X.EXAMPLE/X", "/X", "", "X.EXAMPLE"),
        ("//evil/x", "/evil/x", "", None),
    ],
)  # fmt: skip
def test_target_is_split(raw: str, path: str, query: str, authority: str | None) -> None:
    """The query crosses byte for byte; an absolute-form target gives up its authority."""
    target = parse(raw)
    assert (target.path, target.query, target.authority) == (path, query, authority)


@pytest.mark.parametrize(
    "raw", ["*", "a/b", "", "host:443", "ftp://h/x", "http:/x", "http://", "http://u@h/x", "*/x"]
)
def test_other_forms_are_malformed(raw: str) -> None:
    """Authority-form, asterisk-form and anything without a leading slash is a bad request."""
    with pytest.raises(BadRequest):
        parse(raw)


@pytest.mark.parametrize("raw", ["/a#b", "/a?b#c", "http://h/a#b"])
def test_fragment_is_refused(raw: str) -> None:
    """A fragment never belongs into a request."""
    with pytest.raises(PathNotCanonical):
        parse(raw)


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        ("/a?b#c", PathNotCanonical, "fragment"),
        ("a", BadRequest, "neither a path nor an absolute http:// URL"),
        ("ftp://h/", BadRequest, "neither a path nor an absolute http:// URL"),
        ("http:///x", BadRequest, "authority is not a plain host"),
        ("http://?x", BadRequest, "authority is not a plain host"),
        ("http://u@h/", BadRequest, "authority is not a plain host"),
        ("/a/../b", PathNotCanonical, "a . or .. segment; send the path it stands for"),
        ("/a b", PathNotCanonical, "character that must not stand in a URL"),
        ("/%41 b", PathNotCanonical, "character that must not stand in a URL"),
        ("/%41\x80", PathNotCanonical, "character that must not stand in a URL"),
        ("/\u0100", PathNotCanonical, "character that must not stand in a URL"),
        ("/%zz", PathNotCanonical, "% that is not followed by two hex digits"),
        ("/%2f", PathNotCanonical, "encoded slash, backslash or control character"),
    ],
)
def test_refusal_says_what_is_wrong(
    target: str, error: type[BadRequest | PathNotCanonical], said: str
) -> None:
    """In the caller's words: it is the program's author who reads it."""
    with pytest.raises(error) as caught:
        parse(target)
    assert said in caught.value.detail
