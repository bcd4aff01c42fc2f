"""Where a browser may be sent: addresses that a client registered.

Owns how addresses are compared (RFC 6749 section 3.1.2.3: as strings; RFC 8252 section 7.3: any port on a loopback
address) and extended. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlencode, urlsplit

# Not `localhost`: it may be somebody else's (RFC 8252 section 8.3).
_LOOPBACK = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?(/[\x21-\x7e]*)")


def registered(uri: str, known: Iterable[str]) -> bool:
    """Whether this is one of the `known` addresses."""
    known = tuple(known)
    match = _LOOPBACK.fullmatch(uri)
    if match is None or match[2] is None:
        return uri in known
    return uri in known or (1 <= int(match[2]) <= 65535 and match[1] + match[3] in known)


def loopback(uri: str) -> bool:
    """Whether any program of the person's machine may listen there."""
    return _LOOPBACK.fullmatch(uri) is not None


def extended(uri: str, parameters: Mapping[str, str]) -> str:
    """With these parameters after those it has (RFC 6749 section 3.1.2)."""
    return f"{uri}{'&' if '?' in uri else '?'}{urlencode(parameters)}" if parameters else uri


def form_action(uri: str) -> str:
    """The address as a source of a content security policy, which knows no IPv6 addresses."""
    parts = urlsplit(uri)
    return f"{parts.scheme}:" if "[" in parts.netloc else f"{parts.scheme}://{parts.netloc}"
