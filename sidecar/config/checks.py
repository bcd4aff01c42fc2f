"""What must be right between keys, and outside the file, for a configuration to work.

Owns every check that needs more than one value: each function yields complaints about one subject; `check`
runs them all. Files and secrets are read here once (files.py), so that a wrong one is found at start and not
at the first request. Knows nothing of lines: loading.py turns places into those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from sidecar.config import credential_checks, files, signin_checks
from sidecar.config.credential_checks import NO_CREDENTIAL
from sidecar.config.schema import Config
from sidecar.config.values import HttpUrl, TcpAddress, UnixAddress, duration_text
from sidecar.config.wording import Complaint, Loc, suggestion
from sidecar.routing.routes import shape


def check(config: Config, environ: Mapping[str, str]) -> Iterator[Complaint]:
    """Everything wrong with a configuration that is well-formed key by key."""
    yield from chain.from_iterable(one(config) for one in _CHECKS)
    yield from files.unusable(config, environ)


def _listeners(config: Config) -> Iterator[Complaint]:
    listen, admin = config.listen, config.admin
    if isinstance(admin, UnixAddress):
        yield Complaint(("admin",), "is a unix socket; write HOST:PORT")
    if isinstance(listen, UnixAddress):
        return
    if not listen.is_loopback and not config.allow_remote:
        yield Complaint(
            ("listen",),
            "is not a loopback address, so others could use the tokens; "
            "use 127.0.0.1 or set allow_remote: true",
            (("allow_remote",),),
        )
    if isinstance(admin, TcpAddress) and _clash(listen, admin):
        key = "admin" if "admin" in config.model_fields_set else "listen"
        yield Complaint(
            (key,), "listen and admin are the same address; use two ports", (("listen",), ("admin",))
        )
    url = config.upstream.url
    if url.is_loopback and url.port == listen.port and _clash(listen, TcpAddress(url.host, url.port)):
        yield Complaint(
            ("upstream", "url"),
            "is the sidecar's own listen address; name the API",
            (("listen",), ("upstream",)),
        )


def _clash(one: TcpAddress, other: TcpAddress) -> bool:
    same_host = (
        one.host == other.host
        or one.is_wildcard
        or other.is_wildcard
        or {one.host, other.host} in ({"localhost", "127.0.0.1"}, {"localhost", "::1"})
    )
    return one.port == other.port != 0 and same_host


def _insecure(config: Config) -> Iterator[Complaint]:
    places: list[tuple[Loc, HttpUrl | None, bool]] = [
        (("upstream", "url"), config.upstream.url, config.upstream.insecure),
        *((("credentials", n, "token_url"), c.token_url, c.insecure) for n, c in config.credentials.items()),
    ]
    if config.identity is not None:
        places.append((("identity", "jwks_url"), config.identity.jwks_url, config.identity.insecure))
    for loc, url, allowed in places:
        if url is None or url.scheme == "https" or url.is_loopback or allowed or config.insecure:
            continue
        yield Complaint(
            loc,
            "is plain http:// to another machine; use https://, or set insecure: true beside it",
            ((*loc[:-1], "insecure"), ("insecure",)),
        )
    proxies: list[tuple[Loc, HttpUrl | None]] = [
        (("upstream", "proxy"), config.upstream.proxy),
        (("tokens", "proxy"), config.tokens.proxy),
    ]
    for loc, url in proxies:
        if url is not None and url.path:
            yield Complaint(loc, "has a path; write http://HOST:PORT")
        elif url is not None and url.scheme != "http":
            yield Complaint(
                loc, "is spoken to in plain HTTP (the tunnel inside is TLS); write http://HOST:PORT"
            )


def _identity(config: Config) -> Iterator[Complaint]:
    identity = config.identity
    if identity is not None and (identity.jwks_url is None) == (identity.jwks_file is None):
        yield Complaint(
            ("identity",),
            "needs exactly one of jwks_url and jwks_file; write where the issuer's keys are",
            (("identity", "jwks_url"), ("identity", "jwks_file")),
        )


def _times(config: Config) -> Iterator[Complaint]:
    retry = config.refresh.retry
    # Only what was written is contradictory: a short `max` alone cuts the default `initial`.
    if {"initial", "max"} <= retry.model_fields_set and retry.initial > retry.max:
        yield Complaint(
            ("refresh", "retry", "initial"),
            f"is longer than max ({duration_text(retry.max)}); make max the longer one",
        )


def _routes(config: Config) -> Iterator[Complaint]:
    for index, route in enumerate(config.routes):
        loc: Loc = ("routes", index)
        if route.credential == NO_CREDENTIAL:
            if route.scopes:
                yield Complaint(
                    (*loc, "scopes"),
                    "a route with credential: none has no token; take scopes out or name one",
                )
        elif route.credential not in config.credentials:
            yield Complaint(
                (*loc, "credential"),
                f"there is no such credential; {suggestion(route.credential, config.credentials)}",
                (("credentials", route.credential),),
            )
        if route.methods and len(set(route.methods)) < len(route.methods):
            yield Complaint((*loc, "methods"), "a method is given twice; keep one")


def _overlaps(config: Config) -> Iterator[Complaint]:
    """Two routes for the same requests: neither is more specific, so the order in the file would decide."""
    taken: dict[str, dict[str, int]] = {}
    for index, route in enumerate(config.routes):
        at = taken.setdefault(shape(route.path), {})
        wanted = dict.fromkeys(route.methods or ("*",))
        clash = next((m for m in wanted if m in at), None)
        if clash is None and at and ("*" in at or "*" in wanted):
            clash = "*" if "*" in at else next(iter(at))
        for name in wanted:
            at.setdefault(name, index)
        if clash is not None:
            named = next((m for m in (clash, *wanted) if m != "*"), "every method")
            first = at[clash]
            yield Complaint(
                ("routes", index),
                f"has the same path as the route at {{there}}, and both take {named}; "
                "keep one or give each its own methods",
                tuple(("routes", i, key) for i in (first, index) for key in ("path", "methods")),
                ("routes", first),
            )


_CHECKS: tuple[Callable[[Config], Iterator[Complaint]], ...] = (
    _listeners,
    _insecure,
    credential_checks.credentials,
    signin_checks.signing_in,
    _identity,
    _times,
    _routes,
    _overlaps,
)
