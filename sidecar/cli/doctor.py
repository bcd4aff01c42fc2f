"""Live checks: is everything there that a configuration relies on?

Owns which checks there are and what each finds; none depends on another, all run at once, each within TIMEOUT.
Nothing is changed: tokens are obtained as for real and thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sidecar import binding, listening
from sidecar.cli import network, remedies
from sidecar.cli.files import files_and_secrets
from sidecar.cli.finding import Finding
from sidecar.cli.obtain import obtain
from sidecar.cli.probe import Place, look
from sidecar.config.loading import Loaded
from sidecar.config.schema import Config, Credential, Identity
from sidecar.config.values import Address, HttpUrl, TcpAddress
from sidecar.oauth.answer import Failure
from sidecar.oauth.grants import per_subject, token_url
from sidecar.oauth.keyset import read_keys
from sidecar.oauth.request import TokenRequest
from sidecar.tokens.endpoint import TokenEndpoint

TIMEOUT = 10.0  # seconds
_AT_ONCE = 1.0  # a sidecar refuses a Host without waiting for anything

Check = Callable[[], Awaitable[list[Finding]]]


@dataclass(frozen=True, slots=True)
class _Named:
    """A check, and what it is called when it does not come to an end."""

    name: str
    run: Check


async def examine(path: Path, loaded: Loaded, timeout: float = TIMEOUT) -> list[Finding]:
    """Every check of a configuration, in the order of the list below."""
    config = loaded.config
    async with TokenEndpoint(config) as endpoint:
        servers = network.servers(config, endpoint)
        checks = [*_tokens(path, config, endpoint), *_identity(config, endpoint), *_listeners(config)]
        found = await asyncio.gather(
            *(network.examine_name(host, port, timeout) for host, port in network.hosts(servers)),
            *(network.examine_server(server, timeout) for server in servers),
            *(_within(timeout, check) for check in checks),
        )
    return [_configuration(path, loaded), *files_and_secrets(config), *(f for some in found for f in some)]


async def _within(timeout: float, check: _Named) -> list[Finding]:
    try:
        async with asyncio.timeout(timeout):
            return await check.run()
    except TimeoutError as error:
        detail = f"not done within {timeout:g} s"
        return [Finding(check.name, False, detail, remedies.of_connection(error, "ca_file"))]


def _configuration(path: Path, loaded: Loaded) -> Finding:
    doubts = len(loaded.warnings)
    return Finding(
        "configuration",
        True,
        f"{len(loaded.config.routes)} routes"
        + (f"; {doubts} warnings, see: auth-sidecar check {path}" if doubts else ""),
    )


# -- tokens ------------------------------------------------------------------------------------------------------


def _tokens(path: Path, config: Config, endpoint: TokenEndpoint) -> Iterator[_Named]:
    """Each start-up token; of credentials whose tokens are a person's, the endpoint."""
    used = {(r.credential, binding.scopes_of(config, r)) for r in config.routes}
    for name, credential in config.credentials.items():
        if per_subject(credential):
            yield _Named(f"token endpoint of {name}", _Asked(path, config, endpoint, name))
            if credential.authorization_url is not None:
                about = f"sign-in page of {name}"
                yield _Named(about, partial(_sign_in_page, about, credential.authorization_url, endpoint))
            continue
        sets = sorted(sorted(scopes) for other, scopes in used if other == name)
        for scopes in sets or [[]]:
            shown = f" ({' '.join(scopes)})" if scopes else ""
            yield _Named(f"token of {name}{shown}", _Obtained(config, endpoint, name, tuple(scopes)))


@dataclass(frozen=True, slots=True)
class _Obtained:
    """A token as the sidecar would fetch it at start."""

    config: Config
    endpoint: TokenEndpoint
    name: str
    scopes: tuple[str, ...]

    async def __call__(self) -> list[Finding]:
        shown = f" ({' '.join(self.scopes)})" if self.scopes else ""
        name = f"token of {self.name}{shown}"
        found = await obtain(self.config, self.endpoint, self.name, self.scopes, None)
        if isinstance(found, Failure):
            remedy = remedies.of_token(found, self.config, self.name, self.scopes)
            return [Finding(name, False, found.detail, remedy)]
        if found.withheld:
            return [
                Finding(
                    name, False, f"obtained, but without {' '.join(found.withheld)}",
                    "grant what is missing on the Permissions tab of the client application",
                )
            ]  # fmt: skip
        return [Finding(name, True, f"obtained, valid for {found.lifetime:.0f} s")]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A token endpoint of which nothing is requested: an empty form is refused, by whoever serves there."""

    path: Path
    config: Config
    endpoint: TokenEndpoint
    name: str

    async def __call__(self) -> list[Finding]:
        name, credential = f"token endpoint of {self.name}", self.config.credentials[self.name]
        reply = await self.endpoint.post(self.name, credential, TokenRequest(token_url(credential), b""))
        if isinstance(reply, Failure):
            remedy = remedies.of_token(reply, self.config, self.name, ())
            return [Finding(name, False, reply.detail, remedy)]
        if reply.status in (404, 405) or not 400 <= reply.status < 500:
            reason = "http_5xx" if reply.status >= 500 else "malformed"
            failure = Failure("malformed", reason, f"HTTP {reply.status}")
            remedy = remedies.of_token(failure, self.config, self.name, ())
            return [Finding(name, False, failure.detail, remedy)]
        return [
            Finding(name, True, f"answers; its tokens are a person's, try one: {self._example(credential)}")
        ]

    def _example(self, credential: Credential) -> str:
        if credential.grant == "authorization_code":
            return f"auth-sidecar login {self.path} {self.name}"
        subject = "-" if credential.grant == "token_exchange" else "SUBJECT"
        return f"auth-sidecar token {self.path} {self.name} --subject {subject}"


async def _sign_in_page(name: str, url: HttpUrl, endpoint: TokenEndpoint) -> list[Finding]:
    """Without parameters it has an error page or a redirect for us, whoever serves there (RFC 6749 section 4.1.2.1)."""
    reply = await endpoint.fetch(url)
    remedy = "correct authorization_url: it is the Authorization URL under Metadata of the client application"
    if isinstance(reply, Failure):
        return [Finding(name, False, f"{url}: {reply.detail}", remedy)]
    if reply.status == 404 or reply.status >= 500:
        return [Finding(name, False, f"{url}: HTTP {reply.status}", remedy)]
    return [Finding(name, True, "answers")]


# -- identity ----------------------------------------------------------------------------------------------------


def _identity(config: Config, endpoint: TokenEndpoint) -> Iterator[_Named]:
    identity = config.identity
    if identity is not None:
        yield _Named("identity keys", partial(_keys, identity, endpoint))


async def _keys(identity: Identity, endpoint: TokenEndpoint) -> list[Finding]:
    name, remedy = (
        "identity keys",
        "correct identity: its key set is named in the issuer's metadata as jwks_uri",
    )
    if identity.jwks_url is not None:
        reply = await endpoint.fetch(identity.jwks_url)
        if isinstance(reply, Failure):
            return [Finding(name, False, f"{identity.jwks_url}: {reply.detail}", remedy)]
        if reply.status != 200:
            return [Finding(name, False, f"{identity.jwks_url}: HTTP {reply.status}", remedy)]
        document = reply.body
    else:
        assert identity.jwks_file is not None  # checked at load
        try:
            document = identity.jwks_file.read_bytes()
        except OSError as error:
            return [Finding(name, False, f"{identity.jwks_file}: {error.strerror}", remedy)]
    try:
        keys = read_keys(document)
    except ValueError as error:
        return [Finding(name, False, f"what is there {error}", remedy)]
    if not any(key.verifies(algorithm, None) for key in keys for algorithm in identity.algorithms):
        accepted = ", ".join(identity.algorithms)
        return [Finding(name, False, f"no usable key for {accepted}", remedy)]
    return [Finding(name, True, f"{len(keys)} usable")]


# -- our own addresses -------------------------------------------------------------------------------------------


def _listeners(config: Config) -> Iterator[_Named]:
    for key, address in (("listen", config.listen), ("admin", config.admin)):
        yield _Named(f"{key} {address}", partial(_free, key, address))


async def _free(key: str, address: Address) -> list[Finding]:
    name = f"{key} {address}"
    try:
        with listening.bound(address):
            return [Finding(name, True, "free")]
    except listening.CannotListen as error:
        if isinstance(address, TcpAddress) and await _is_sidecar(address):
            return [Finding(name, True, "in use, by a sidecar that is running already")]
        return [Finding(name, False, str(error), f"end what listens there, or change {key}")]


async def _is_sidecar(address: TcpAddress) -> bool:
    """Whether a sidecar answers there: a Host that no sidecar accepts is refused in its own words."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - recognised
    place = Place(HttpUrl("http", host, address.port, "/.doctor"), None, None)
    try:
        async with asyncio.timeout(_AT_ONCE):
            return (await look(place, host_field="auth-sidecar.invalid")).is_sidecar
    except OSError:  # TimeoutError is one
        return False
