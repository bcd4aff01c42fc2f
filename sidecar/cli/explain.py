"""Which route, credential and scopes a request gets, and why, without sending anything.

Owns the answer as data and the reasons in words. Decides nothing itself: admission, canonical path, route table
and scopes are those that requests go through. Pure, but for the comments of a generated map (provenance.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sidecar import binding
from sidecar.cli import patterns
from sidecar.cli.admitted import admitted
from sidecar.cli.provenance import provenance
from sidecar.config.loading import Loaded
from sidecar.config.schema import ClaimSource, Config, Credential, HeaderSource, Route
from sidecar.errors import BadRequest, MethodNotAllowed, Refusal, RouteNotMapped
from sidecar.oauth.grants import per_subject, token_url
from sidecar.routing.routes import RouteTable, shape


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a request would get."""

    method: str
    path: str  # canonical, where it has such a form
    answer: str
    why: tuple[str, ...]
    route: str | None = None
    place: str | None = None  # FILE:LINE of the route
    credential: str | None = None
    grant: str | None = None
    scopes: tuple[str, ...] = ()
    token_url: str | None = None
    subject: str | None = None

    def as_json(self) -> dict[str, object]:
        names = ("method", "path", "route", "credential", "grant")
        return {
            **{name: getattr(self, name) for name in names},
            "scopes": list(self.scopes),
            "token_url": self.token_url,
            "subject": self.subject,
            "answer": self.answer,
        }

    def as_facts(self) -> Iterator[tuple[str, str | list[str]]]:
        """For people."""
        yield "request", f"{self.method} {self.path}"
        yield "route", f"{self.route} ({self.place})" if self.route is not None else "(none)"
        if self.credential is not None:
            yield "credential", self.credential
        if self.grant is not None and self.token_url is not None:
            yield "grant", self.grant
            yield "scopes", list(self.scopes) or "(none)"
            yield "token URL", self.token_url
        if self.subject is not None:
            yield "subject", self.subject
        yield "answer", self.answer
        yield "why", [f"- {reason}" for reason in self.why]


def explain(loaded: Loaded, method: str, raw: str) -> Explanation:
    """`method` is a token; `raw` a path with or without query, or a URL as the app would request it."""
    config = loaded.config
    try:
        target = admitted(config, method, raw)
    except Refusal as refusal:
        return Explanation(
            method, raw.partition("?")[0], _answer(refusal), tuple(_refused(refusal, method, raw))
        )
    why = [f"made canonical, the path is {target.path}"] if target.path != _path_of(raw) else []
    table = RouteTable((r.path, r.methods, index) for index, r in enumerate(config.routes))
    methods = table.find(target.path)
    forwarded = f"forwarded to {config.upstream.url}{target.path}{target.query}"
    if methods is None:
        answer = forwarded if config.unmapped == "forward" else _answer(RouteNotMapped(""))
        return Explanation(method, target.path, answer, (*why, *_unmapped(config, target.path)))
    why += _why_this_pattern(config, target.path)
    index = methods.find(method)
    if index is None:
        answer = _answer(MethodNotAllowed(""))
        why += _why_not_this_method(loaded, target.path, method, methods.allowed())
        return Explanation(method, target.path, answer, tuple(why))
    why += _why_this_method(config.routes[index], method)
    return _mapped(loaded, index, method, target.path, forwarded, why)


def _mapped(loaded: Loaded, index: int, method: str, path: str, answer: str, why: list[str]) -> Explanation:
    config, route = loaded.config, loaded.config.routes[index]
    place = _place(loaded, index)
    credential = config.credentials.get(route.credential)
    if credential is None:
        why += provenance(loaded.places[f"routes[{index}]"], route)
        why.append("credential: none sends no token; an Authorization of the caller is removed")
        return Explanation(method, path, answer, tuple(why), route.label, place, binding.NO_CREDENTIAL)
    scopes = scopes_in_order(config, route)
    return Explanation(
        method, path, answer,
        (
            *why,
            *provenance(loaded.places[f"routes[{index}]"], route),
            *_why_these_scopes(config, route, credential, scopes),
            *_why_this_token(credential),
        ),
        route.label, place, route.credential, credential.grant, scopes,
        token_url(credential), _subject(config, credential),
    )  # fmt: skip


def scopes_in_order(config: Config, route: Route) -> tuple[str, ...]:
    """The scopes of the route's token, in the order of the file."""
    wanted = binding.scopes_of(config, route)
    written = (scope for r in (route, *config.routes) for scope in r.scopes)
    return tuple(scope for scope in dict.fromkeys(written) if scope in wanted)


def _answer(refusal: Refusal) -> str:
    return f"{refusal.status} {refusal.code}"


def _path_of(raw: str) -> str:
    path = raw.partition("?")[0]
    return path if path[:1] == "/" else "/" + path.partition("://")[2].partition("/")[2]


# -- why? --------------------------------------------------------------------------------------------------------


def _refused(refusal: Refusal, method: str, raw: str) -> Iterator[str]:
    yield refusal.detail
    if isinstance(refusal, BadRequest) and method != method.upper():
        yield f"methods are case-sensitive: try {method.upper()}"
    elif isinstance(refusal, BadRequest) and raw[:1] not in ("/", "") and "://" not in raw:
        yield f"a path begins with /: try /{raw}"


def _unmapped(config: Config, path: str) -> Iterator[str]:
    yield "no route covers this path"
    known = [route.path for route in config.routes]
    small = patterns.same_but_for(known, path)
    if small is not None:
        yield small
    elif near := patterns.nearest(known, path):
        yield f"the nearest are {', '.join(near)}"
    if config.unmapped == "forward":
        yield "unmapped: forward passes it on without a token; an Authorization of the caller is removed"
    else:
        yield "unmapped: deny refuses what no route covers; add a route if the app may do this"


def _why_this_pattern(config: Config, path: str) -> Iterator[str]:
    winner, *beaten = patterns.covering((route.path for route in config.routes), path)
    yield f"{winner} covers the path"
    for pattern in beaten:
        yield f"it beats {pattern}: {patterns.beaten_because(winner, pattern)}"


def _why_this_method(route: Route, method: str) -> Iterator[str]:
    if route.methods is None:
        yield "the route names no methods: it takes all that no other route of this path names"
    elif method in route.methods:
        yield f"{method} is one of the route's methods"
    else:
        yield "HEAD uses the GET route: none names HEAD"


def _why_not_this_method(loaded: Loaded, path: str, method: str, allowed: list[str]) -> Iterator[str]:
    routes = loaded.config.routes
    winner, *beaten = patterns.covering((route.path for route in routes), path)
    index = next(i for i, route in enumerate(routes) if shape(route.path) == shape(winner))
    yield f"the path decides first, and this one is mapped for {', '.join(allowed)} only ({_place(loaded, index)})"
    for pattern in beaten:
        of_this_path = [route for route in routes if shape(route.path) == shape(pattern)]
        if any(route.methods is None or method in route.methods for route in of_this_path):
            yield f"{pattern} takes {method}, but it is not asked: {winner} is more specific"


def _place(loaded: Loaded, index: int) -> str:
    file, line = loaded.places[f"routes[{index}]"]
    return f"{file}:{line}"


def _why_these_scopes(
    config: Config, route: Route, credential: Credential, scopes: tuple[str, ...]
) -> Iterator[str]:
    if set(scopes) > set(route.scopes):
        yield f"tokens.scopes is union: the scopes of all routes of {route.credential}, not only this one's"
    if not scopes:
        yield "no scopes: the token request has no scope parameter"
    elif credential.scope_prefix:
        yield f"in the token request, {credential.scope_prefix} stands before each scope"


def _why_this_token(credential: Credential) -> Iterator[str]:
    if not per_subject(credential):
        yield "one token for all callers, fetched at start and kept fresh"
        return
    if credential.grant == "token_exchange":
        yield "a token for each caller; a request without a bearer token is answered 401 subject_token_missing"
        return
    if credential.grant == "authorization_code":
        yield (
            "a token for each browser in which somebody has signed in, with the scopes of all routes of this credential"
        )
        yield "without a session, whoever opens a page is sent to /.auth/login; a script is answered 401 login_required"
        return
    assert credential.subject is not None  # checked at load
    if isinstance(credential.subject.source, ClaimSource):
        yield "a token for each subject; a request without a bearer token is answered 401 subject_token_missing"
    else:
        yield "a token for each subject; a request that names none is answered 400 subject_missing"
    if credential.allow_subjects and "*" not in credential.allow_subjects:
        yield f"allow_subjects: {' '.join(credential.allow_subjects)}; others are answered 403 subject_not_allowed"


def _subject(config: Config, credential: Credential) -> str | None:
    """Where the subject comes from; never who it is."""
    if credential.grant == "token_exchange":
        return "the caller's bearer token (Authorization)"
    if credential.grant == "authorization_code":
        return "whoever has signed in in the browser (session cookie)"
    if credential.subject is None:
        return None
    kind, source = credential.subject.kind, credential.subject.source
    if isinstance(source, HeaderSource):
        return f"{kind} from header {source.header}"
    if isinstance(source, ClaimSource):
        assert config.identity is not None  # checked at load
        return f"{kind} from claim {source.claim} of the caller's verified JWT ({config.identity.header})"
    return f"{kind}, a fixed value of the configuration"
