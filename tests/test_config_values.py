"""How single values are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sidecar.config.names import header_name, method, path_pattern, scope_token
from sidecar.config.network import HttpUrl, TcpAddress, UnixAddress, address, allowed_host, allowed_origin
from sidecar.config.scalars import Bare, duration, duration_text, flag, integer, number, size, size_text
from sidecar.config.secretfrom import SecretFrom, read_secret_bytes

RIGHT: list[tuple[Callable[[object], object], object, object]] = [
    (duration, "500ms", 0.5),
    (duration, "1.5s", 1.5),
    (duration, "5m", 300.0),
    (duration, "1h", 3600.0),
    (duration, 0.25, 0.25),
    (size, "64KiB", 65536),
    (size, "1MiB", 1 << 20),
    (size, "100B", 100),
    (size, Bare("100"), 100),
    (size, 0, 0),
    (integer, Bare("-3"), -3),
    (integer, 4, 4),
    (number, Bare("0.5"), 0.5),
    (number, Bare("1e-1"), 0.1),
    (flag, Bare("true"), True),
    (flag, False, False),
    (address, "localhost:0", TcpAddress("localhost", 0)),
    (address, "[::1]:8080", TcpAddress("::1", 8080)),
    (address, "[0:0::1]:65535", TcpAddress("::1", 65535)),
    (address, "Example.COM:1", TcpAddress("example.com", 1)),
    (address, "unix:/run/x.sock", UnixAddress(Path("/run/x.sock"))),
    (scope_token, "https://api.egain.cloud/auth/.default", "https://api.egain.cloud/auth/.default"),
    (scope_token, "!#[]~", "!#[]~"),
    (header_name, "X-On-Behalf-Of", "X-On-Behalf-Of"),
    (method, "PROPFIND", "PROPFIND"),
    (path_pattern, "/", "/"),
    (path_pattern, "/a/{b}/c", "/a/{b}/c"),
    (path_pattern, "/**", "/**"),
    (path_pattern, "/a/", "/a/"),
    (path_pattern, "/%61%7e%c3%a9/;x=1", "/a~%C3%A9/;x=1"),
    (path_pattern, "/a/{b}/**", "/a/{b}/**"),
    (allowed_host, "LocalHost.", "localhost"),
    (allowed_host, "[0:0::1]", "[::1]"),
    (allowed_host, "my_service", "my_service"),
    (allowed_origin, "HTTPS://App.Example:443", "https://app.example"),
    (allowed_origin, "http://[::1]:3000", "http://[::1]:3000"),
    (allowed_origin, "chrome-extension://abcdef", "chrome-extension://abcdef"),
]


@pytest.mark.parametrize(
    ("read", "written", "value"), RIGHT, ids=[f"{r.__name__} {w!r}" for r, w, _ in RIGHT]
)
def test_a_value_is_read_into_its_canonical_form(
    read: Callable[[object], object], written: object, value: object
) -> None:
    """Every notation the documentation names, and its edges."""
    found = read(written)
    assert found == value
    assert type(found) is type(value)


REFUSED: dict[Callable[[object], object], list[object]] = {
    duration: ["5", "5 s", "5S", "-1s", "1d", "", "1e3s", "0ms", "9999h", "٣s", True, None, []],
    size: ["64KB", "1 MiB", "-1", -1, "2GiB", True, None, "1.5MiB"],
    integer: ["3", Bare("3.0"), Bare("017"), Bare("1e3"), True, None, Bare("9" * 5000)],
    number: ["0.5", Bare("nan"), Bare("inf"), True, None],
    flag: ["true", "yes", 1, None],
    address: [
        "8080",
        ":80",
        "a:b",
        "a:-1",
        "a:65536",
        "::1:80",
        "[::1]",
        "[x]:1",
        "a b:1",
        "1.2.3:4",
        None,
        80,
        "unix:",
        "unix:x",
        "unix:/" + "x" * 107,
        "http://a:1",
        "*:80",
        "[fe80::1%2]:1",
    ],
    scope_token: ["", " ", "a b", 'a"b', "a\\b", "é", "a\x7f", None],
    header_name: ["", "a b", "a:", "é", "Host", "content-length", "Content_Length", "TE", None],
    method: ["", "get", "Get", "G T", "CONNECT", "TRACE", None],
    path_pattern: [
        "",
        "a",
        "//",
        "/a//b",
        "/a?b",
        "/a#b",
        "/.",
        "/a/..",
        "/%2e",
        "/..;x",
        "/%2F",
        "/%5c",
        "/%00",
        "/%zz",
        "/é",
        "/a b",
        "/{}",
        "/{a",
        "/a}",
        "/{a}b",
        "/{a}{b}",
        "/{a}/{a}",
        "/**/a",
        "/a**",
        "/*",
        "/a/*.json",
        "/{a*}",
        "/\\",
        "/a\n",
        None,
        ["/a"],
    ],
    allowed_host: ["", "*", "a:80", "::1", "http://a", "a/b", "[::1]:80", "a b", None],
    allowed_origin: ["", "*", "null", "a.example", "https://", "https://a/", "https://u@a", "https://a:0"],
}


@pytest.mark.parametrize("read", REFUSED, ids=lambda read: read.__name__)
def test_anything_else_is_refused_with_what_to_do(read: Callable[[object], object]) -> None:
    """The complaint says what is wrong and what to do, and does not repeat a long value."""
    for written in REFUSED[read]:
        with pytest.raises(ValueError, match=r"^[^;]+; .+") as caught:
            read(written)
        assert len(str(caught.value)) < 200


URLS = [
    ("https://api.ai.egain.cloud", ("https", "api.ai.egain.cloud", 443, ""), "api.ai.egain.cloud"),
    ("HTTPS://API.example/", ("https", "api.example", 443, ""), "api.example"),
    ("http://127.0.0.1:8080/base/", ("http", "127.0.0.1", 8080, "/base"), "127.0.0.1:8080"),
    ("https://[::1]:443/x", ("https", "::1", 443, "/x"), "[::1]"),
    ("http://[::1]:81", ("http", "::1", 81, ""), "[::1]:81"),
    ("https://h:80/a/b%20c", ("https", "h", 80, "/a/b%20c"), "h:80"),
]


@pytest.mark.parametrize(("written", "parts", "authority"), URLS)
def test_a_url_is_taken_apart(written: str, parts: tuple[str, str, int, str], authority: str) -> None:
    """Scheme and host in lower case, the port filled in, the path without a trailing slash."""
    url = HttpUrl.parse(written)
    assert (url.scheme, url.host, url.port, url.path) == parts
    assert url.authority == authority
    assert str(url) == f"{parts[0]}://{authority}{parts[3]}"
    assert HttpUrl.parse(str(url)) == url


def test_a_trailing_slash_belongs_to_an_endpoint() -> None:
    """A token endpoint is requested exactly as it is written."""
    assert str(HttpUrl.endpoint("https://idp.example/token/")) == "https://idp.example/token/"


@pytest.mark.parametrize(
    "written",
    [
        "",
        "x",
        "//a",
        "ftp://a",
        "http://",
        "http:///x",
        "http://a:0",
        "http://a:70000",
        "http://a:x",
        "http://a b",
        "http://u@a",
        "http://a?b",
        "http://a#b",
        "http://é",
        "http://a/é",
        "http://a\n",
        "http://[::1",
        "http://[a]",
        "http://a/../b",
        "http://a/%2e%2e/b",
        "http://a/%zz",
        "http://a\\b",
        "http://1.2.3",
        "http://0x7f.1",
        "http://-a",
    ],
)
def test_a_url_of_any_other_shape_is_refused(written: str) -> None:
    """Nothing that could send a token somewhere else than it seems."""
    with pytest.raises(ValueError, match="; "):
        HttpUrl.parse(written)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.8.9.1", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("0.0.0.0", False),
        ("[::]", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.nip", False),
    ],
)
def test_loopback_hosts_are_known(host: str, loopback: bool) -> None:
    """Only names and addresses that never leave this machine."""
    assert HttpUrl.parse(f"http://{host}/").is_loopback is loopback


@pytest.mark.parametrize("text", ["500ms", "30s", "5m", "1h", "90s", "250ms", "24h"])
def test_a_duration_is_shown_as_it_is_written(text: str) -> None:
    """In the largest unit that leaves a whole number."""
    assert duration_text(duration(text)) == text


@pytest.mark.parametrize("text", ["64KiB", "1MiB", "1GiB", "1000", "0"])
def test_a_size_is_shown_as_it_is_written(text: str) -> None:
    """In the largest unit that leaves a whole number."""
    assert size_text(size(text)) == text


SECRETS = [
    (b"s3cret", "s3cret"),
    (b"s3cret\n", "s3cret"),
    (b"s3cret\r\n", "s3cret"),
    (b"\xef\xbb\xbfs3cret\n\n", "s3cret"),
    (b" s3 cret \n", " s3 cret "),
    (b"a\nb\n", "a\nb"),
]


@pytest.mark.parametrize(("raw", "text"), SECRETS)
def test_a_secret_file_is_read_without_bom_and_line_ends(tmp_path: Path, raw: bytes, text: str) -> None:
    """What editors and Windows add is stripped; blanks may belong to the secret."""
    (tmp_path / "secret").write_bytes(raw)
    assert SecretFrom(file=tmp_path / "secret").read().reveal() == text


@pytest.mark.parametrize(
    "raw", [b"", b"\n", b" \r\n", b"\xef\xbb\xbf\n", b"\xff\xfe", b"x" * ((1 << 20) + 1)]
)
def test_a_secret_file_without_a_secret_is_refused(raw: bytes) -> None:
    """Empty, blank, binary and huge files are mistakes."""
    with pytest.raises(ValueError, match="; "):
        read_secret_bytes(raw)


def test_a_secret_from_the_environment_is_read_when_it_is_used() -> None:
    """The variable is looked up at every read."""
    secret = SecretFrom(env="NAME")
    assert secret.read({"NAME": "one\n"}).reveal() == "one"
    assert secret.read({"NAME": "two"}).reveal() == "two"
    with pytest.raises(ValueError, match="environment variable NAME is not set; set it"):
        secret.read({})


def test_where_a_secret_is_can_be_shown() -> None:
    """Its place is no secret; the secret itself is in no representation."""
    assert str(SecretFrom(env="NAME")) == "environment variable NAME"
    assert str(SecretFrom(file=Path("/a/b"))) == "file /a/b"
