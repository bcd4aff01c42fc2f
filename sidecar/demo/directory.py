"""Who is known: client applications, users, customers, their password, and each application's permissions.

Owns what an administrator would set up in the eGain console. Knows nothing of HTTP or of tokens. Every name
is compared exactly as written: case, Unicode form and blanks matter.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

Persona = Literal["user", "customer", "obo_user", "obo_customer", "anonymous", "app"]
PERSONAS: tuple[Persona, ...] = ("user", "customer", "obo_user", "obo_customer", "anonymous", "app")

Flow = Literal["client_credentials", "anonymous", "on_behalf_of", "token_exchange", "authorization_code"]
FLOWS: frozenset[Flow] = frozenset(get_args(Flow))

TENANT = "TMPRODB88619984"
CLIENT_ID = "b4b2c1d9-4c19-4e8a-8e7a-9a0b1c2d3e4f"
# Characters that RFC 6749 section 2.3.1 wants form-encoded inside a Basic header: forgetting that is refused.
CLIENT_SECRET = "not-a-real-secret:demo+only/100%"
PUBLIC_CLIENT_ID = "7121f585-e403-4531-9a38-1826ebc7e7d8"
REGISTRATION_ID = "okta_sso_config_01"
PASSWORD = "demo-password"  # everybody's
REDIRECT_URIS = ("https://app.example.com/.auth/callback", "https://oauth.pstmn.io/v1/callback")
POST_LOGOUT_REDIRECT_URIS = ("https://app.example.com/",)
# A loopback address without a port stands for every port (RFC 8252 section 7.3).
LOOPBACK = ("http://127.0.0.1", "http://[::1]")
LOOPBACK_REDIRECT_URIS = tuple(
    host + path for host in LOOPBACK for path in ("/", "/callback", "/.auth/callback")
)
LOOPBACK_POST_LOGOUT_REDIRECT_URIS = tuple(host + path for host in LOOPBACK for path in ("/", "/demo/page"))

_SERVICES = ("knowledge.portalmgr", "knowledge.contentmgr", "core.aiservices")
DELEGATED = frozenset(f"{service}.{verb}" for service in _SERVICES for verb in ("read", "manage"))
ON_BEHALF_OF = frozenset(f"knowledge.portalmgr.onbehalfof.{verb}" for verb in ("read", "manage"))
APPLICATION = frozenset(f"app.{scope}" for scope in DELEGATED)


@dataclass(frozen=True, slots=True)
class ClientApp:
    """A registered client application. Without a secret and a key it is a public one (SPA)."""

    id: str
    secret: str | None = field(default=None, repr=False)
    public_key: str | None = None  # PEM; the application may authenticate with private_key_jwt
    scopes: frozenset[str] = DELEGATED | ON_BEHALF_OF | APPLICATION
    flows: frozenset[Flow] = FLOWS
    name: str = "An application"  # for people
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()

    @property
    def confidential(self) -> bool:
        return self.secret is not None or self.public_key is not None


@dataclass(frozen=True, slots=True)
class User:
    """A user of the eGain console."""

    username: str
    userid: str
    email: str


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who signed in."""

    persona: Literal["user", "customer"]
    subject: str  # `sub` of access token and ID token: the user name, or the customer's email
    name: str
    email: str


@dataclass(slots=True)
class Directory:
    """What the authorization server looks things up in."""

    clients: dict[str, ClientApp] = field(default_factory=dict)
    users: list[User] = field(default_factory=list)
    customers: set[str] = field(default_factory=set)
    open: bool = False  # any subject is known: for tests with very many of them
    password: str = field(default=PASSWORD, repr=False)

    def register(self, client: ClientApp) -> None:
        """Add an application, or change the one with the same id."""
        self.clients[client.id] = client

    def set_secret(self, client_id: str, secret: str) -> None:
        self.register(replace(self.clients[client_id], secret=secret))

    def add_users(self, usernames: Iterable[str]) -> None:
        first = 1000 + len(self.users)
        self.users += [
            User(username, str(first + n), f"{username}@example.com") for n, username in enumerate(usernames)
        ]

    def user_by(self, kind: Literal["username", "userid", "email"], value: str) -> User | None:
        for user in self.users:
            if getattr(user, kind) == value:
                return user
        return User(value, value, value) if self.open else None

    def knows_customer(self, email: str) -> bool:
        return self.open or email in self.customers

    def sign_in(self, persona: Literal["user", "customer"], name: str, password: str) -> Person | None:
        """The user of this name or the customer with this email, if the password is right."""
        if not name or not hmac.compare_digest(password.encode(), self.password.encode()):
            return None
        if persona == "user":
            user = self.user_by("username", name)
            return Person("user", user.username, user.username.title(), user.email) if user else None
        if not self.knows_customer(name):
            return None
        return Person("customer", name, name.partition("@")[0].title(), name)


def demo_directory(
    client_id: str,
    client_secret: str,
    public_key: str,
    redirect_uris: tuple[str, ...] = REDIRECT_URIS,
    post_logout_redirect_uris: tuple[str, ...] = POST_LOGOUT_REDIRECT_URIS,
) -> Directory:
    """The people and applications of the demo. Loopback addresses are registered besides the given ones."""
    directory = Directory(customers={"jane@example.com", "john@example.com", "shopper@example.com"})
    directory.add_users(["pa", "alice", "bob", "agent"])
    web = ClientApp(
        client_id,
        client_secret,
        public_key,
        name="Demo web application",
        redirect_uris=redirect_uris + LOOPBACK_REDIRECT_URIS,
        post_logout_redirect_uris=post_logout_redirect_uris + LOOPBACK_POST_LOGOUT_REDIRECT_URIS,
    )
    directory.register(web)
    spa = replace(web, id=PUBLIC_CLIENT_ID, secret=None, public_key=None, name="Demo single page application")
    directory.register(replace(spa, flows=frozenset({"authorization_code"})))
    return directory
