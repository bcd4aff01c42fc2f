"""Forms and queries: application/x-www-form-urlencoded, strictly.

Owns how they are read. Knows nothing of what the parameters mean.
"""

from __future__ import annotations

from urllib.parse import parse_qsl

from sidecar.demo.refusals import InvalidRequest

FORM = "application/x-www-form-urlencoded"
MAY_REPEAT = frozenset({"resource", "audience"})  # RFC 8707 section 2, RFC 8693 section 2.1


def read(raw: bytes) -> tuple[dict[str, str], set[str]]:
    """The parameters, and which of them came more than once though they must not (RFC 6749 section 3.1).

    Empty ones count as left out. InvalidRequest: not form-encoded UTF-8.
    """
    try:
        text = raw.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), errors="strict")
    except ValueError:  # UnicodeDecodeError is one
        raise InvalidRequest("parameters are not form-encoded UTF-8") from None
    seen: dict[str, str] = {}
    repeated: set[str] = set()
    for name, value in pairs:
        if name in seen and name not in MAY_REPEAT:
            repeated.add(name)
        seen[name] = value
    return {name: value for name, value in seen.items() if value}, repeated


def parameters(raw: bytes) -> dict[str, str]:
    """The same; repeated parameters are refused."""
    seen, repeated = read(raw)
    if repeated:
        raise InvalidRequest("a parameter is given more than once")
    return seen
