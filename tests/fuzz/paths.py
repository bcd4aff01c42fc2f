"""Request targets and route tables, each against the contract's section 4 written down a second time.

Owns two oracles that go character by character and pattern by pattern, as slowly as they like.
"""

from __future__ import annotations

import re
import string

from hypothesis import strategies as st

from sidecar.errors import BadRequest, PathNotCanonical
from sidecar.routing.routes import RouteTable
from sidecar.routing.target import Target, parse

_PIECES = [
    "/", "//", ".", "..", "/.", "/..", "%2e", "%2E%2e", "%2f", "%2F", "%5c", "%5C", "\\", "%00", "%0a", "%7f", "%25",
    "%252e", "%23", "%3f", "#", "?", ";", "..;", ";x=1", "%61", "%7E", "~", "%", "%z", "%zz", "%a", "%u002f",
    "%c0%af",
    "a", "A", "admin", "{", "}", "|", "<", '"', " ", "\t", "\x00", "\x7f", "\x80", "é", "\xff", "@", ":", "&",
    "+", "*",
    "http://", "https://", "HTTP://", "ftp://", "h:80", "u@h", "[::1]", "http:", "//h",
]  # fmt: skip
TARGETS = st.one_of(
    st.lists(st.sampled_from(_PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(_PIECES), max_size=12).map(lambda pieces: "/" + "".join(pieces)),
    st.text(st.characters(max_codepoint=255), max_size=20).map(lambda text: "/" + text),
)
_UNRESERVED = string.ascii_letters + string.digits + "-._~"


def check_target(raw: str) -> None:
    """The same answer as the oracle's; what is canonical stays as it is."""
    expected, found = expected_target(raw), _found(raw)
    assert found == expected, f"{found} instead of {expected}"
    if found is not None:
        again = _found(found.path + found.query)
        assert again == Target(found.path, found.query, None), "canonical twice is not canonical once"


def _found(raw: str) -> Target | None:
    try:
        return parse(raw)
    except (BadRequest, PathNotCanonical):
        return None


def expected_target(raw: str) -> Target | None:
    """Section 4, rules 1 and 2; None: refused."""
    authority = None
    if not raw.startswith("/"):
        absolute = re.fullmatch(r"(?is)https?://([^/?#]+)(.*)", raw)
        if absolute is None or "@" in absolute[1]:
            return None
        authority, raw = absolute[1], absolute[2]
        if not raw.startswith("/"):
            raw = "/" + raw
    if "#" in raw:
        return None
    path, mark, query = raw.partition("?")
    text = ""
    while path:
        step = _one_character(path)
        if step is None:
            return None
        text += step[0]
        path = path[step[1] :]
    parts = text.split("/")
    if any(part.split(";")[0] in (".", "..") for part in parts):
        return None
    kept = [part for part in parts if part]
    merged = "/" + "/".join(kept) + ("/" if kept and parts[-1] == "" else "")
    return Target(merged, mark + query, authority)


def _one_character(path: str) -> tuple[str, int] | None:
    """What the first character becomes, and how many are read for it; None: refused."""
    first = path[0]
    if first != "%":
        return None if not "!" <= first <= "~" or first == "\\" else (first, 1)
    if not re.match(r"%[0-9A-Fa-f]{2}", path):
        return None
    value = chr(int(path[1:3], 16))
    if value in "/\\" or value < " " or value == "\x7f":
        return None
    return (value if value in _UNRESERVED else path[:3].upper()), 3


# -- route tables ----------------------------------------------------------------------------------------------

_SEGMENTS = st.sampled_from(["a", "b", "c", "", "{x}", "{y}"])
PATTERNS = st.lists(
    st.tuples(
        st.lists(_SEGMENTS, min_size=1, max_size=5),
        st.booleans(),
        st.sampled_from([None, ["GET"], ["POST"], ["GET", "HEAD"]]),
    ).map(lambda drawn: ("/" + "/".join([*drawn[0], *(["**"] if drawn[1] else [])]), drawn[2])),
    max_size=10,
)
PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "d", "", "**", "{x}"]), min_size=1, max_size=6).map(
        lambda parts: "/" + "/".join(parts)
    ),
    min_size=1,
    max_size=8,
)


def check_routes(patterns: list[tuple[str, list[str] | None]], paths: list[str]) -> None:
    """The best pattern by comparing all of them; the same with the routes in another order, and when asked again."""
    tables = [
        RouteTable((pattern, methods, pattern) for pattern, methods in order)
        for order in (patterns, list(reversed(patterns)))
    ]
    for path in [*paths, *paths]:
        best = _best([pattern for pattern, _ in patterns], path)
        for table in tables:
            found = table.find(path)
            shapes = {_shape(pattern) for pattern in found.values()} if found else set()
            assert shapes == ({best} if best is not None else set()), f"{path}: {shapes} instead of {best}"
            if found is None:
                continue
            here = [methods for pattern, methods in patterns if _shape(pattern) == best]
            _check_methods(found.find, here)


def _check_methods(find: object, here: list[list[str] | None]) -> None:
    assert callable(find)
    named = {method for methods in here for method in methods or ()}
    rest = None in here
    for method in ("GET", "HEAD", "POST", "PUT"):
        covered = rest or method in named or (method == "HEAD" and "GET" in named)
        assert (find(method) is not None) == covered, f"{method} among {here}"


def _shape(pattern: str) -> str:
    return re.sub(r"\{[^}/]*\}", "{}", pattern)


def _best(patterns: list[str], path: str) -> str | None:
    """Section 4, rule 3: a literal beats a parameter beats `**`, compared from the left."""
    matching = [(_rank(pattern), _shape(pattern)) for pattern in patterns if _matches(pattern, path)]
    return min(matching)[1] if matching else None


def _rank(pattern: str) -> list[int]:
    ranks = [2 if part == "**" else 1 if part[:1] == "{" else 0 for part in pattern[1:].split("/")]
    return [*ranks, -1]


def _matches(pattern: str, path: str) -> bool:
    below = pattern.endswith("/**")
    wanted = pattern.removesuffix("/**")[1:].split("/") if pattern != "/**" else []
    parts = path[1:].split("/")
    if len(parts) < len(wanted) or (len(parts) > len(wanted) and not below):
        return False
    return all(
        bool(part) if want[:1] == "{" else part == want for want, part in zip(wanted, parts, strict=False)
    )
