"""The HTTP side of token requests, and of fetching key sets.

Owns the session, TLS, the egress proxy, the time limit, the size limit, and what each network failure is
called. Knows nothing of tokens: bytes go out, a `Reply` comes back. Nothing in the environment is consulted,
no cookie is kept, no redirect followed.

Every request has a connection of its own. Token requests are rare, a POST must not be sent twice, and a kept
connection that the server has just given up would cost a failed try; it also follows DNS at once.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from sidecar import __version__
from sidecar.config.schema import Config, Credential
from sidecar.config.values import HttpUrl
from sidecar.oauth.answer import Failure, Reply
from sidecar.oauth.request import TokenRequest
from sidecar.oauth.untrusted import one_line
from sidecar.tls import client_context
from sidecar.tokens.connector import Connector

MAX_ANSWER: Final = 1 << 20
# Per credential: while one token endpoint hangs, the requests of another one are not behind it in a queue.
_AT_ONCE = 16
_MAX_QUEUED = 1000  # behind those: made-up subjects must not pile up while an endpoint hangs
_DNS_TTL = 10  # seconds
# No connection came to be. Any other error may have come after the server had acted on the request.
_UNSENT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.ServerFingerprintMismatch,
)
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # an answer is small, and a decompressed one may not be
    "User-Agent": f"egain-auth-sidecar/{__version__}",
}
_FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}


class _Lane:
    """The requests of one credential."""

    __slots__ = ("requests", "turns")

    def __init__(self) -> None:
        self.turns = asyncio.Semaphore(_AT_ONCE)
        self.requests = 0  # under way or waiting for their turn


class TooLarge(Exception):
    """An answer beyond MAX_ANSWER."""


class TokenEndpoint:
    """Sends token requests. `async with` it before the first one."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._contexts: dict[Path | None, ssl.SSLContext] = {}
        self._lanes: defaultdict[str, _Lane] = defaultdict(_Lane)
        self._connector: Connector
        self._session: aiohttp.ClientSession

    def reconfigure(self, config: Config) -> None:
        """Serve by another configuration, from the next request on."""
        self._config = config
        self._contexts = {}  # CA files are read again

    async def __aenter__(self) -> Self:
        self._connector = Connector(
            limit=0,  # the lanes are the limit
            force_close=True,
            ttl_dns_cache=_DNS_TTL,
            # getaddrinfo, whatever else is installed: /etc/hosts and search domains count in a cluster.
            resolver=aiohttp.ThreadedResolver(),
        )
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            headers=_HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # _exchange has the one limit
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, name: str, credential: Credential, request: TokenRequest) -> Reply | Failure:
        """Send a token request. `name`: the credential's, whose requests wait only for each other."""
        headers = dict(_FORM)
        if request.authorization is not None:
            headers["Authorization"] = request.authorization
        ca_file = self.ca_file_for(credential.token_url, credential.ca_file)
        return await self._exchange(name, "POST", request.url, ca_file, headers, request.body)

    async def fetch(self, url: HttpUrl) -> Reply | Failure:
        """GET a document, such as a key set."""
        return await self._exchange(f" {url}", "GET", str(url), self.ca_file_for(url, None), {}, None)

    def ca_file_for(self, url: HttpUrl, own: Path | None) -> Path | None:
        """The credential's own, else that of all token endpoints, else the upstream's if on its host."""
        upstream = self._config.upstream
        shared = upstream.ca_file if url.host == upstream.url.host else None
        return own or self._config.tokens.ca_file or shared

    async def _exchange(
        self,
        lane: str,
        method: str,
        url: str,
        ca_file: Path | None,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Reply | Failure:
        """One request, from waiting for its turn to the last byte, within request_timeout."""
        tokens = self._config.tokens
        mine = self._lanes[lane]
        if mine.requests >= _AT_ONCE + _MAX_QUEUED:
            detail = "too many token requests are waiting for their turn"
            return Failure("unavailable", "timeout", detail, unsent=True)
        mine.requests += 1
        self._connector.egress = tokens.proxy
        tls = url.startswith("https:")
        try:
            async with (
                asyncio.timeout(tokens.request_timeout),
                mine.turns,
                self._session.request(
                    method,
                    URL(url, encoded=True),
                    data=body,
                    headers=headers,
                    # Loading a system's CAs takes tens of milliseconds; only who needs them waits for it.
                    ssl=self._context(ca_file) if tls else True,
                    proxy=str(tokens.proxy) if tokens.proxy and tls else None,
                    allow_redirects=False,
                ) as answer,
            ):
                return Reply(answer.status, await _bounded(answer), answer.headers.get("Retry-After"))
        except TooLarge:
            return Failure("malformed", "malformed", "the answer is larger than 1 MiB")
        except TimeoutError:
            return Failure("unavailable", "timeout", f"no answer within {tokens.request_timeout:g} s")
        except (ssl.SSLError, aiohttp.ClientSSLError, aiohttp.ServerFingerprintMismatch) as error:
            return Failure("unavailable", "tls", _said(error), unsent=isinstance(error, _UNSENT))
        except (aiohttp.ClientConnectionError, aiohttp.ClientHttpProxyError, OSError) as error:
            return Failure("unavailable", "connect", _said(error), unsent=isinstance(error, _UNSENT))
        except aiohttp.ClientError as error:
            return Failure("malformed", "malformed", f"not proper HTTP: {type(error).__name__}")
        finally:
            mine.requests -= 1

    def _context(self, ca_file: Path | None) -> ssl.SSLContext:
        """Raises ssl.SSLError when the file cannot be used."""
        context = self._contexts.get(ca_file)
        if context is None:
            try:
                context = client_context(ca_file)
            except OSError as error:
                raise ssl.SSLError(
                    f"CA file {ca_file}: {error.strerror or 'no certificates in it'}"
                ) from None
            self._contexts[ca_file] = context
        return context


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER:
            answer.close()
            raise TooLarge
    return bytes(body)


def _said(error: BaseException) -> str:
    """What a network error says, without what aiohttp adds to it (and the address of a context in memory)."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    where = f"{error.host}:{error.port}: " if isinstance(error, aiohttp.ClientConnectorError) else ""
    return one_line(f"{where}{type(cause).__name__}: {cause}")
