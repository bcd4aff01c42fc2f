"""From a configuration to what the proxy serves by.

Owns the translation, done once at start and once per reload: every route bound to its metrics, its token or the
place where its subjects' tokens come from, and the rule that reads a subject from a request. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from sidecar.config.schema import Config, Credential, HeaderSource, Route
from sidecar.config.signin_checks import PAGES
from sidecar.config.values import HttpUrl, TcpAddress
from sidecar.errors import RouteNotMapped
from sidecar.metrics import UNMAPPED, Metrics
from sidecar.proxy.admission import Admission
from sidecar.proxy.headers import RequestFields, folded
from sidecar.proxy.page import Asked, Page
from sidecar.proxy.pool import Pool
from sidecar.proxy.serving import PageOf, ServedRoute, Serving
from sidecar.routing.routes import RouteTable
from sidecar.signin import cookies, refused
from sidecar.signin.pages import SignIn
from sidecar.signin.person import Person
from sidecar.signin.sessions import Sessions, SessionSource
from sidecar.tokens.recipe import recipe
from sidecar.tokens.store import Source, TokenStore
from sidecar.whose import FromSession, SubjectRules

if TYPE_CHECKING:
    from sidecar.identity import Identity

NO_CREDENTIAL = "none"


def subject_fields(config: Config) -> frozenset[str]:
    """Every header field that names a subject."""
    return frozenset(
        credential.subject.source.header
        for credential in config.credentials.values()
        if credential.subject is not None and isinstance(credential.subject.source, HeaderSource)
    )


def scopes_of(config: Config, route: Route) -> frozenset[str]:
    """The scopes of the token that a route gets: its own, or with `scopes: union` its credential's.

    A person signs in once, for all routes of the credential.
    """
    credential = config.credentials.get(route.credential)
    signs_in = credential is not None and credential.grant == "authorization_code"
    if config.tokens.scopes == "per_route" and not signs_in:
        return frozenset(route.scopes)
    return frozenset(s for r in config.routes if r.credential == route.credential for s in r.scopes)


def people_of(
    config: Config, sessions: Sessions, local: Callable[[str, Credential], str | None]
) -> list[Person]:
    """The credentials of people who sign in. `local`: the cookie of a sign-in made at this machine, if there is one."""
    found = []
    for name, credential in config.credentials.items():
        client = config.client_of(credential)
        if credential.grant == "authorization_code" and client is not None:
            scopes = frozenset(s for r in config.routes if r.credential == name for s in r.scopes)
            source = SessionSource(sessions, recipe(name, credential, client, scopes))
            found.append(Person(name, credential, client.id, source, local(name, credential)))
    return found


def bind(
    config: Config,
    *,
    store: TokenStore,
    metrics: Metrics,
    identity: Identity | None,
    pool: Pool,
    sign_in: SignIn | None = None,
) -> Serving:
    """Everything that a request needs to know, ready-made."""
    fields = subject_fields(config)
    private = fields if config.identity is None else fields | {config.identity.header}
    rules = SubjectRules(config, identity, frozenset(folded(name.lower().encode()) for name in fields))
    people = sign_in.people if sign_in is not None else {}
    bound = [
        (r.path, r.methods, _bind_route(config, r, store, metrics, rules, people)) for r in config.routes
    ]
    if sign_in is not None:
        bound += _pages(sign_in, metrics)
    url, limits = config.upstream.url, config.limits
    return Serving(
        routes=RouteTable(bound),
        unmapped=ServedRoute(UNMAPPED, metrics.route(UNMAPPED)),
        forward_unmapped=config.unmapped == "forward",
        admission=Admission.of(
            allowed_hosts(config),
            allowed_origins(config),
            _bracketed(url.host),
            url.port,
            links=sign_in is not None,
        ),
        fields=RequestFields(private, cookies.without_ours if sign_in is not None else None),
        pool=pool,
        path_prefix=url.path,
        host_line=f"Host: {url.authority}\r\n".encode("ascii"),
        max_in_flight=limits.max_in_flight,
        max_header_bytes=limits.max_header_bytes,
        replay_body=limits.replay_body,
        idle_timeout=config.upstream.idle_timeout,
        response_timeout=config.upstream.response_timeout,
        refusal_page=refused.page if sign_in is not None else None,
    )


def sources(config: Config, store: TokenStore) -> list[Source]:
    """Where tokens come from, once per credential and scope set."""
    found = {
        (route.credential, scopes_of(config, route))
        for route in config.routes
        if route.credential != NO_CREDENTIAL
        and config.credentials[route.credential].grant != "authorization_code"
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
    config: Config,
    route: Route,
    store: TokenStore,
    metrics: Metrics,
    rules: SubjectRules,
    people: Mapping[str, Person],
) -> ServedRoute:
    numbers = metrics.route(route.label, route.methods or ())
    if route.credential == NO_CREDENTIAL:
        return ServedRoute(route.label, numbers)
    person = people.get(route.credential)
    if person is not None:
        return ServedRoute(
            route.label, numbers, route.credential, source=person.source, subject_of=FromSession(person)
        )
    source = source_of(config, store, route.credential, scopes_of(config, route))
    if not source.per_subject:
        return ServedRoute(route.label, numbers, route.credential, keeper=source.keeper(), links=False)
    rule = rules.of(config.credentials[route.credential])
    return ServedRoute(route.label, numbers, route.credential, source=source, subject_of=rule, links=False)


def _pages(sign_in: SignIn, metrics: Metrics) -> Iterator[tuple[str, list[str] | None, ServedRoute]]:
    """Where people sign in. Nothing else under that path is forwarded."""
    pages: list[tuple[str, str, PageOf, bool]] = [
        ("login", "GET", sign_in.login, True),
        ("callback", "GET", sign_in.callback, True),
        ("session", "GET", sign_in.session, False),
        ("logout", "POST", sign_in.logout, False),
    ]
    for name, method, page, links in pages:
        path = f"{PAGES}/{name}"
        yield path, [method], ServedRoute(path, metrics.route(path), links=links, page=page)
    yield f"{PAGES}/**", None, ServedRoute(PAGES, metrics.route(PAGES), links=False, page=_no_page)


async def _no_page(asked: Asked) -> Page:
    raise RouteNotMapped("there is no such page; see /.auth/session")


def allowed_origins(config: Config) -> list[str]:
    """Origins of web pages that may ask: those named, and those people come back to after signing in."""
    return [*config.allowed_origins, *(f"{url.scheme}://{url.authority}" for url in _redirects(config))]


def _redirects(config: Config) -> list[HttpUrl]:
    return [c.redirect_url for c in config.credentials.values() if c.redirect_url is not None]


def allowed_hosts(config: Config) -> list[str]:
    """The Host values that are accepted on the proxy listener."""
    own = [_bracketed(url.host) for url in _redirects(config)]
    if config.allowed_hosts is not None:
        return [*config.allowed_hosts, *own]
    hosts = [*own, "localhost", "127.0.0.1", "[::1]", _bracketed(config.upstream.url.host)]
    if isinstance(config.listen, TcpAddress):
        hosts.append(_bracketed(config.listen.host))
    return hosts


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
