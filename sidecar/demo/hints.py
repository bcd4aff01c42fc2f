"""What to try: a command line per grant, and where to look.

Owns the text that the demo prints. Every `curl` line is complete: copied into a shell it gives 200.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from sidecar.demo import webpage
from sidecar.demo.directory import PASSWORD
from sidecar.demo.operations import PORTALMGR
from sidecar.demo.standin import StandIn

_DAY = 86400.0


def curl_lines(standin: StandIn, proxy: str) -> list[tuple[str, str]]:
    """(whose token it is, command line) for each way of getting one; `proxy` is the sidecar's base URL."""
    portals = f"{proxy}{PORTALMGR}/portals"
    signed_in = standin.idp_token("alice@example.com", lifetime=_DAY)
    wanted: list[tuple[str, str, list[str]]] = [
        ("the application itself (client_credentials)", f"{portals}/PROD-1000", []),
        ("an anonymous customer (anonymous)", f"{portals}/PROD-1000/articles/PROD-2996", []),
        (
            "on behalf of the user alice (on_behalf_of)",
            f"{portals}/PROD-1000/articles?$filter[topicId]=PROD-1069",
            ["X-On-Behalf-Of: alice"],
        ),
        (
            "on behalf of the customer jane@example.com (on_behalf_of)",
            f"{portals}/PROD-1000/bookmarks",
            ["X-On-Behalf-Of: jane@example.com"],
        ),
        (
            "the identity provider's token of alice, exchanged (token_exchange)",
            portals,
            [f"Authorization: Bearer {signed_in}"],
        ),
    ]
    return [(whose, _curl(url, ["Accept-Language: en-US", *headers])) for whose, url, headers in wanted]


def _curl(url: str, headers: list[str]) -> str:
    # -g: the brackets of eGain's query names are meant literally
    words = ["curl", "-sSg", *(word for header in headers for word in ("-H", header)), url]
    return shlex.join(words)


def hints(standin: StandIn, proxy: str, admin: str, lifetime: float) -> Iterator[str]:
    """Everything the demo says once it listens."""
    control = f"{standin.base}/demo/faults"
    yield f"sidecar           {proxy}"
    yield f"status page       {admin}/status"
    yield f"metrics           {admin}/metrics"
    yield f"eGain stand-in    {standin.base}"
    yield f"sign in           {proxy}{webpage.PATH} as alice or jane@example.com; password: {PASSWORD}"
    yield ""
    for whose, line in curl_lines(standin, proxy):
        yield f"# {whose}"
        yield line
        yield ""
    yield f"Tokens live {lifetime:g} s. Repeat a line: servedFor.tokenId changes as they rotate; or watch"
    yield f'  watch -n 1 "curl -sS {admin}/metrics | grep token_expires_in"'
    yield "Take the token endpoint down, and bring it back:"
    for change in ('{"token": {"kind": "down"}}', '{"token": {}}'):
        yield f"  curl -sS -H 'Content-Type: application/json' -d '{change}' {control}"
    yield f"What else can go wrong: GET {control}"
    yield "Ctrl-C ends it."
