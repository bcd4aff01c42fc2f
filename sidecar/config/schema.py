"""The configuration as models: what may be written, its defaults, and what it means.

Owns names, types and defaults of every key; `auth-sidecar schema` is made from the descriptions here, and
docs/configuration.md names every one of them. Knows nothing of files, line numbers or how keys
relate to each other: that is loading.py and checks.py. A `Config` that exists is a configuration that works.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from sidecar.config.model import Model
from sidecar.config.sessions import Sessions
from sidecar.config.values import (
    Address,
    AllowedHost,
    AllowedOrigin,
    Duration,
    DurationFromZero,
    EndpointUrl,
    FilePath,
    Flag,
    HeaderName,
    HttpUrl,
    Integer,
    Label,
    Method,
    Number,
    OneOrMany,
    PathPattern,
    ProxyUrl,
    ScopePrefix,
    ScopeToken,
    SecretFrom,
    Size,
    SomeText,
    TcpAddress,
    Text,
    TextOrSecretFrom,
    UrlText,
)

Grant = Literal["client_credentials", "anonymous", "on_behalf_of", "token_exchange", "authorization_code"]
ClientAuth = Literal["client_secret_post", "client_secret_basic", "private_key_jwt", "none"]
SubjectKind = Literal["username", "userid", "email"]
SigningAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]


class Upstream(Model):
    """The one API that requests, and tokens, go to."""

    url: HttpUrl = Field(description="Base URL of the API. A path here is a prefix of every request's path.")
    ca_file: FilePath | None = Field(
        default=None, description="PEM file with the only CAs trusted for the upstream."
    )
    connect_timeout: Duration = Field(
        default=5.0, description="Name look-up, TCP and TLS; also the wait for a free connection."
    )
    response_timeout: Duration = Field(
        default=60.0, description="From the request being sent to its response headers."
    )
    idle_timeout: Duration = Field(
        default=300.0, description="Silence in the middle of a body, event stream or WebSocket."
    )
    max_connections: Integer = Field(
        default=256, ge=1, description="Open connections; a stream or WebSocket counts as one."
    )
    proxy: ProxyUrl | None = Field(
        default=None, description="Egress proxy (CONNECT). Environment variables are never consulted."
    )
    insecure: Flag = Field(default=False, description="Allow http:// to a host that is not loopback.")


class Client(Model):
    """The client application registered at the authorization server."""

    id: TextOrSecretFrom = Field(description="Client ID, or {file: PATH}.")
    secret: SecretFrom | None = Field(
        default=None, description="Client secret, as {file: PATH} or {env: NAME}."
    )
    auth: ClientAuth = Field(
        default="client_secret_post", description="How the client authenticates (RFC 6749 section 2.3)."
    )
    private_key: SecretFrom | None = Field(
        default=None, description="PEM private key for private_key_jwt (RFC 7523)."
    )
    key_id: SomeText | None = Field(default=None, description="`kid` of the assertion.")
    algorithm: SigningAlgorithm = Field(default="RS256", description="Signature algorithm of the assertion.")


class HeaderSource(Model):
    """The subject is what the caller says."""

    header: HeaderName = Field(description="The request header that carries the subject; never forwarded.")


class ValueSource(Model):
    """The subject is always the same."""

    value: SomeText = Field(repr=False, description="A fixed subject.")


class ClaimSource(Model):
    """The subject is who the caller's identity provider says it is."""

    claim: SomeText = Field(description="A claim of the caller's verified JWT (see `identity`).")


def _source_tag(value: Any) -> str | None:
    """Which of the three a subject's source is; None (one clear complaint) when it is not exactly one."""
    if isinstance(value, Model):
        return f"~{next(iter(type(value).model_fields))}"
    named = value.keys() & {"header", "value", "claim"} if isinstance(value, dict) else ()
    return f"~{next(iter(named))}" if len(named) == 1 else None


SubjectSource = Annotated[
    Annotated[HeaderSource, Tag("~header")]
    | Annotated[ValueSource, Tag("~value")]
    | Annotated[ClaimSource, Tag("~claim")],
    Discriminator(_source_tag),
]


class Subject(Model):
    """On whose behalf: exactly one of the three kinds."""

    username: SubjectSource | None = Field(
        default=None, description="Sent as subject_username (users; the fast one)."
    )
    userid: SubjectSource | None = Field(default=None, description="Sent as subject_userid (users).")
    email: SubjectSource | None = Field(default=None, description="Sent as subject_email (customers).")

    @property
    def kind(self) -> SubjectKind:
        return "username" if self.username else "userid" if self.userid else "email"

    @property
    def source(self) -> SubjectSource:
        source = self.username or self.userid or self.email
        assert source is not None  # checks.py: exactly one kind
        return source


class Credential(Model):
    """One way of getting tokens."""

    grant: Grant = Field(description="Which flow of the guide.")
    token_url: EndpointUrl = Field(description="Token endpoint.")
    token_query: dict[SomeText, Text] = Field(
        default={}, repr=False, description="Query parameters of the token endpoint."
    )
    scope_prefix: ScopePrefix = Field(
        default="", description="Put before each scope when a token is requested."
    )
    client: Client | None = Field(default=None, description="Instead of the top-level client.")
    subject: Subject | None = Field(default=None, description="on_behalf_of: on whose behalf.")
    allow_subjects: list[SomeText] = Field(
        default=[], description="Glob patterns of the subjects that may be named."
    )
    registration_id: SomeText | None = Field(
        default=None, description="token_exchange: the identity provider's registration."
    )
    subject_token_type: SomeText = Field(
        default="urn:ietf:params:oauth:token-type:access_token",
        description="token_exchange: RFC 8693 section 3.",
    )
    authorization_url: EndpointUrl | None = Field(
        default=None, description="authorization_code: where people sign in (authorization endpoint)."
    )
    authorization_params: dict[SomeText, Text] = Field(
        default={},
        repr=False,
        description="authorization_code: added to the authorization request's query.",
    )
    redirect_url: EndpointUrl | None = Field(
        default=None,
        description="authorization_code: the registered redirect URI; its path is /.auth/callback.",
    )
    issuer: SomeText | None = Field(
        default=None, description="authorization_code: the only `iss` that is believed (RFC 9207)."
    )
    logout_url: EndpointUrl | None = Field(
        default=None, description="authorization_code: end-session endpoint of the authorization server."
    )
    post_logout_redirect_url: UrlText | None = Field(
        default=None, description="authorization_code: where people go after signing out."
    )
    extra_params: dict[SomeText, Text] = Field(
        default={}, repr=False, description="Added to the token request's form."
    )
    resource: OneOrMany | None = Field(default=None, description="RFC 8707 resource indicator(s).")
    audience: OneOrMany | None = Field(
        default=None, description="RFC 8693 audience(s), as Auth0 and Okta want them."
    )
    ca_file: FilePath | None = Field(
        default=None, description="PEM file with the only CAs trusted for this token endpoint."
    )
    insecure: Flag = Field(default=False, description="Allow http:// to a host that is not loopback.")


class Identity(Model):
    """How the caller's own JWT is verified, for subjects that come from a claim."""

    jwks_url: EndpointUrl | None = Field(default=None, description="Where the issuer's keys are.")
    jwks_file: FilePath | None = Field(default=None, description="The same, from a file.")
    issuer: SomeText = Field(description="Required `iss`.")
    audience: OneOrMany = Field(description="Required `aud` (any one of them).")
    header: HeaderName = Field(
        default="Authorization", description="Where the bearer token is; removed before forwarding."
    )
    algorithms: list[SigningAlgorithm] = Field(
        default=["RS256", "PS256", "ES256", "EdDSA"],
        min_length=1,
        description="Accepted signature algorithms.",
    )
    leeway: DurationFromZero = Field(
        default=30.0, description="Clock difference allowed on exp, nbf and iat."
    )
    insecure: Flag = Field(default=False, description="Allow http:// to a host that is not loopback.")


class Retry(Model):
    """Backoff while the token endpoint fails; full jitter; Retry-After is honoured."""

    initial: Duration = Field(
        default=1.0, description="Longest wait before the first new try; doubled for each further one."
    )
    max: Duration = Field(default=30.0, description="No wait is longer.")


class Refresh(Model):
    """When tokens are renewed."""

    at: Number = Field(
        default=0.5, gt=0, lt=1, description="Refresh when this share of the lifetime has passed..."
    )
    jitter: Number = Field(default=0.1, ge=0, lt=1, description="...up to this share of that earlier.")
    expiry_skew: DurationFromZero = Field(
        default=30.0, description="Never send a token with less left (or a tenth of the lifetime)."
    )
    retry: Retry = Field(default=Retry(), description="Backoff while the token endpoint fails.")
    idle_after: Duration = Field(
        default=1800.0, description="A per-subject token unused for so long is let go."
    )


class Tokens(Model):
    """What is requested and held."""

    default_lifetime: Duration = Field(default=3600.0, description="When the answer says none.")
    max_lifetime: Duration = Field(default=86400.0, description="A longer lifetime is cut to this.")
    max_cached: Integer = Field(default=10_000, ge=1, description="Tokens held, over all credentials.")
    request_timeout: Duration = Field(
        default=10.0, description="One token request, from look-up to last byte."
    )
    scopes: Literal["per_route", "union"] = Field(
        default="per_route",
        description="per_route: a token per distinct scope set; union: one per credential.",
    )
    proxy: ProxyUrl | None = Field(default=None, description="Egress proxy for token requests and key sets.")
    ca_file: FilePath | None = Field(
        default=None, description="PEM file with the only CAs trusted for token endpoints."
    )


class Limits(Model):
    """What callers may use up."""

    max_in_flight: Integer = Field(default=1000, ge=1, description="Requests at once; above: 503 overloaded.")
    max_header_bytes: Size = Field(
        default=32 * 1024, ge=1024, le=1 << 20, description="Request line and header fields together."
    )
    header_timeout: Duration = Field(
        default=30.0, description="A whole request head must have arrived by then (408)."
    )
    replay_body: Size = Field(
        default=64 * 1024, description="A body up to this size can be sent again after a 401."
    )


class Shutdown(Model):
    """How the sidecar ends."""

    quiet: DurationFromZero = Field(
        default=1.0, description="SIGTERM: stop when nothing has arrived for so long..."
    )
    drain_timeout: DurationFromZero = Field(default=25.0, description="...at the latest after so long.")


class Log(Model):
    """What is logged, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least severe line shown."
    )
    format: Literal["json", "console"] = Field(
        default="json", description="json: one object a line; console: for people."
    )
    requests: Flag = Field(default=True, description="One line per request.")


class Route(Model):
    """One line of the route map; the order in the file never matters."""

    path: PathPattern = Field(description="/a/{name}/b; `**` as the last segment: this and everything below.")
    methods: list[Method] | None = Field(default=None, min_length=1, description="Left out: all methods.")
    credential: SomeText = Field(description="Name of a credential; `none`: forward without a token.")
    scopes: list[ScopeToken] = Field(default=[], description="Exactly the scopes this route's token has.")
    name: Label | None = Field(default=None, description="Metric label and log field; default: METHODS PATH.")

    @property
    def label(self) -> str:
        return self.name or f"{','.join(self.methods) if self.methods else '*'} {self.path}"


class Config(Model):
    """The whole file, with `include:` already put in place."""

    listen: Address = Field(default=TcpAddress("127.0.0.1", 8080), description="HOST:PORT or unix:PATH.")
    allow_remote: Flag = Field(
        default=False, description="Allow `listen` on an address that is not loopback."
    )
    admin: Address = Field(
        default=TcpAddress("127.0.0.1", 8081), description="Metrics, health, status; HOST:PORT."
    )
    upstream: Upstream = Field(description="Where requests go.")
    client: Client | None = Field(
        default=None, description="The client application, for every credential without its own."
    )
    credentials: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")], Credential] = Field(
        default={}, description="Ways of getting tokens, by name."
    )
    identity: Identity | None = Field(
        default=None, description="How callers' JWTs are verified, for {claim: NAME}."
    )
    sessions: Sessions = Field(default=Sessions(), description="What is kept of people who sign in.")
    refresh: Refresh = Field(default=Refresh(), description="When tokens are renewed.")
    tokens: Tokens = Field(default=Tokens(), description="What is requested and held.")
    limits: Limits = Field(default=Limits(), description="What callers may use up.")
    allowed_hosts: list[AllowedHost] | None = Field(
        default=None,
        description="Host values accepted, any port. Default: loopback names, `listen`'s, upstream's.",
    )
    allowed_origins: list[AllowedOrigin] = Field(
        default=[], description="Origin values accepted besides none."
    )
    unmapped: Literal["deny", "forward"] = Field(
        default="deny", description="forward: pass on without a token."
    )
    shutdown: Shutdown = Field(default=Shutdown(), description="How the sidecar ends.")
    log: Log = Field(default=Log(), description="What is logged, on stderr.")
    insecure: Flag = Field(default=False, description="Allow http:// to any host, everywhere in this file.")
    routes: list[Route] = Field(default=[], description="The route map; items may be `include: FILE`.")

    def client_of(self, credential: Credential) -> Client | None:
        return credential.client or self.client
