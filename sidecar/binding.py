"""From a configuration to what the proxy serves by.

Owns the translation, done once at start and once per reload: every route bound to its metrics, its token or the
place where its subjects' tokens come from, and the rule that reads a subject from a request. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar.config.schema import ClaimSource, Config, Credential, HeaderSource, Route
from sidecar.config.values import TcpAddress
from sidecar.metrics import UNMAPPED, Metrics
from sidecar.proxy import subject as subjects
from sidecar.proxy.admission import Admission
from sidecar.proxy.headers import RequestFields, RequestHead, folded
from sidecar.proxy.pool import Pool
from sidecar.proxy.serving import ServedRoute, Serving, SubjectOf
from sidecar.routing.routes import RouteTable
from sidecar.tokens.store import Source, TokenStore

if TYPE_CHECKING:
    from sidecar.identity import Identity

NO_CREDENTIAL = "none"


@dataclass(frozen=True, slots=True)
class FromHeader:
    """on_behalf_of with `{header: NAME}`."""

    field: bytes
    all_fields: frozenset[bytes]
    allowed: subjects.Allowed

    def __call__(self, head: RequestHead) -> str:
        return self.allowed.check(subjects.from_header(head.subjects, self.field, self.all_fields))


@dataclass(frozen=True, slots=True)
class FromClaim:
    """on_behalf_of with `{claim: NAME}`: the caller's JWT is verified first."""

    claim: str
    field: bytes  # of the JWT, lower case
    identity: Identity
    allowed: subjects.Allowed

    def __call__(self, head: RequestHead) -> str | Coroutine[Any, Any, str]:
        if self.field == b"authorization":
            token = subjects.bearer(head.authorizations)
        else:
            token = subjects.bearer([v for n, v in head.subjects or () if n == self.field], bare=True)
        claims = self.identity.known(token)
        return self._subject(claims) if claims is not None else self._verified(token)

    async def _verified(self, token: str) -> str:
        return self._subject(await self.identity.verify(token))

    def _subject(self, claims: dict[str, object]) -> str:
        return self.allowed.check(subjects.from_claim(claims.get(self.claim)))


def _from_bearer(head: RequestHead) -> str:
    """token_exchange: the caller's own bearer token."""
    return subjects.bearer(head.authorizations)


def subject_fields(config: Config) -> frozenset[str]:
    """Every header field that names a subject."""
    return frozenset(
        credential.subject.source.header
        for credential in config.credentials.values()
        if credential.subject is not None and isinstance(credential.subject.source, HeaderSource)
    )


def scopes_of(config: Config, route: Route) -> frozenset[str]:
    """The scopes of the token that a route gets: its own, or with `scopes: union` its credential's."""
    if config.tokens.scopes == "per_route":
        return frozenset(route.scopes)
    return frozenset(s for r in config.routes if r.credential == route.credential for s in r.scopes)


def bind(
    config: Config, *, store: TokenStore, metrics: Metrics, identity: Identity | None, pool: Pool
) -> Serving:
    """Everything that a request needs to know, ready-made."""
    fields = subject_fields(config)
    private = fields if config.identity is None else fields | {config.identity.header}
    rules = _SubjectRules(config, identity, frozenset(folded(name.lower().encode()) for name in fields))
    bound = [(r.path, r.methods, _bind_route(config, r, store, metrics, rules)) for r in config.routes]
    url, limits = config.upstream.url, config.limits
    return Serving(
        routes=RouteTable(bound),
        unmapped=ServedRoute(UNMAPPED, metrics.route(UNMAPPED)),
        forward_unmapped=config.unmapped == "forward",
        admission=Admission.of(allowed_hosts(config), config.allowed_origins, _bracketed(url.host), url.port),
        fields=RequestFields(private),
        pool=pool,
        path_prefix=url.path,
        host_line=f"Host: {url.authority}\r\n".encode("ascii"),
        max_in_flight=limits.max_in_flight,
        max_header_bytes=limits.max_header_bytes,
        replay_body=limits.replay_body,
        idle_timeout=config.upstream.idle_timeout,
        response_timeout=config.upstream.response_timeout,
    )


def sources(config: Config, store: TokenStore) -> list[Source]:
    """Where tokens come from, once per credential and scope set."""
    found = {
        (route.credential, scopes_of(config, route))
        for route in config.routes
        if route.credential != NO_CREDENTIAL
    }
    return [
        source_of(config, store, name, scopes)
        for name, scopes in sorted(found, key=lambda f: (f[0], sorted(f[1])))
    ]


def source_of(config: Config, store: TokenStore, name: str, scopes: Iterable[str]) -> Source:
    credential = config.credentials[name]
    client = config.client_of(credential)
    assert client is not None  # checked at load
    return store.source(name, credential, client, frozenset(scopes))


def _bind_route(
    config: Config, route: Route, store: TokenStore, metrics: Metrics, rules: _SubjectRules
) -> ServedRoute:
    numbers = metrics.route(route.label, route.methods or ())
    if route.credential == NO_CREDENTIAL:
        return ServedRoute(route.label, numbers)
    source = source_of(config, store, route.credential, scopes_of(config, route))
    if not source.per_subject:
        return ServedRoute(route.label, numbers, route.credential, keeper=source.keeper())
    rule = rules.of(config.credentials[route.credential])
    return ServedRoute(route.label, numbers, route.credential, source=source, subject_of=rule)


@dataclass(frozen=True, slots=True)
class _SubjectRules:
    config: Config
    identity: Identity | None
    all_fields: frozenset[bytes]

    def of(self, credential: Credential) -> SubjectOf:
        if credential.subject is None:
            return _from_bearer
        source = credential.subject.source
        if isinstance(source, HeaderSource):
            allowed = subjects.Allowed(credential.allow_subjects, default=False)
            return FromHeader(source.header.lower().encode(), self.all_fields, allowed)
        assert isinstance(source, ClaimSource)
        assert self.identity is not None
        assert self.config.identity is not None
        allowed = subjects.Allowed(credential.allow_subjects, default=True)
        return FromClaim(source.claim, self.config.identity.header.lower().encode(), self.identity, allowed)


def allowed_hosts(config: Config) -> list[str]:
    """The Host values that are accepted on the proxy listener."""
    if config.allowed_hosts is not None:
        return config.allowed_hosts
    hosts = ["localhost", "127.0.0.1", "[::1]", _bracketed(config.upstream.url.host)]
    if isinstance(config.listen, TcpAddress):
        hosts.append(_bracketed(config.listen.host))
    return hosts


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
