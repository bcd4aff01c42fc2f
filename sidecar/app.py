"""The running sidecar: everything wired together, and how long each part lives.

Owns lifetimes: the token store and its fetches around the sweeps, the sweeps around the listeners. Imports
everything, decides nothing. lifecycle.py drives it from signals and files; tests and the demo use it as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp.http_parser

from sidecar import __version__, admin, binding, listening, logs, tls
from sidecar.clock import Clock, SystemClock
from sidecar.config.describe import effective
from sidecar.config.loading import Loaded, load
from sidecar.config.schema import Config
from sidecar.errors import ConfigError, SidecarError
from sidecar.metrics import Metrics
from sidecar.proxy.pool import Destination, Pool
from sidecar.proxy.server import Listener
from sidecar.proxy.serving import Proxy, Serving
from sidecar.tokens.endpoint import TokenEndpoint
from sidecar.tokens.store import TokenStore
from sidecar.tokens.view import TokenView

if TYPE_CHECKING:
    from sidecar.identity import Identity
    from sidecar.signin.people import People


class StartError(SidecarError):
    """The process cannot serve here (a port in use, a parser missing); exit 1."""


class AddressTaken(StartError):
    """An address of the configuration cannot be listened on."""


class App:
    """One sidecar. Made by `running()`; also what the admin listener sees of it."""

    version = __version__

    def __init__(self, loaded: Loaded, clock: Clock) -> None:
        self.loaded = loaded
        self.clock = clock  # of everything about tokens; connections have the machine's
        self.metrics = Metrics(self.clock)
        config = loaded.config
        self._endpoint = TokenEndpoint(config)
        self._token_events = logs.Tee(self.metrics.tokens, logs.TokenLog())
        self._store = TokenStore(
            self.clock, self._endpoint, self._token_events, config.refresh, config.tokens
        )
        self._request_log = _configure_logs(config)
        self._identity: Identity | None = None
        self._people: People | None = None  # once a configuration has people who sign in
        self._while_serving = contextlib.AsyncExitStack()
        self._pools: list[Pool] = []
        self._sweeps = asyncio.TaskGroup()
        self.stamps = loaded.stamps  # of the files read last, whether they were right or wrong
        self._bound = loaded.config  # what the listeners were opened by
        self.proxy: Proxy
        self.listener: Listener
        self.proxy_address = ""
        self.admin_address = ""

    # -- what the admin listener asks --------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        return self.proxy.draining

    @property
    def unsent(self) -> int:
        """Bytes of answers that callers have not taken yet."""
        return self.listener.unsent + self.proxy.outbox.size

    def missing(self) -> Sequence[str]:
        return self._store.missing()

    def tokens(self) -> Sequence[TokenView]:
        return [*self._store.views(), *(self._people.sessions.views() if self._people else ())]

    def config(self) -> Mapping[str, object]:
        config = self.loaded.config
        hosts = dict.fromkeys(binding.allowed_hosts(config))  # those it stands for, when it is left out
        return {**effective(config), "allowed_hosts": list(hosts)}

    def warnings(self) -> Sequence[str]:
        return [warning.as_warning() for warning in self.loaded.warnings]

    # -- start, reload, stop -------------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def serve(self, proxy_socket: socket.socket, admin_socket: socket.socket) -> AsyncIterator[None]:
        """Serve on these sockets while the context lasts."""
        config = self.loaded.config
        self.proxy_address = listening.name(proxy_socket, config.listen)
        self.admin_address = listening.name(admin_socket, config.admin)
        async with self._endpoint, self._store, self._while_serving, self._sweeps:
            await self._welcome(config)
            self.proxy = Proxy(self._bind(config, self._pool(config)), self.metrics, self._request_log.write)
            self.listener = Listener(self.proxy, config.limits.header_timeout)
            self.metrics.watch(self.tokens, self._connections, self._sessions)
            sweep = self._sweeps.create_task(self.listener.sweep())
            try:
                async with (
                    listening.administering(admin.runner(self), admin_socket),
                    listening.accepting(self.listener, proxy_socket),
                ):
                    self._store.hold(binding.sources(config, self._store))
                    yield
            finally:
                sweep.cancel()
                for pool in self._pools:
                    pool.close()

    async def reload(self, path: Path) -> bool:
        """Read the configuration again and serve by it; a wrong one is logged and the old one stays."""
        log = logs.get("config")
        try:
            loaded = await asyncio.to_thread(load, path)
        except ConfigError as error:
            self.stamps = error.stamps
            for problem in error.problems:
                log.error("config_problem", problem=str(problem))
            log.error("config_reload_failed", problems=len(error.problems))
            self.metrics.reloaded(False)
            return False
        self.stamps = loaded.stamps
        config = loaded.config
        try:  # the only parts that may still fail: files can change under our eyes
            pool = self._pool(config)
            await self._welcome(config)
        except (OSError, StartError) as error:
            log.error("config_reload_failed", reason=str(error))
            self.metrics.reloaded(False)
            return False
        for key, bound in (("listen", self._bound.listen), ("admin", self._bound.admin)):
            if getattr(config, key) != bound:
                log.warning("config_needs_restart", key=key, serving=str(bound))
        for key in self._people.needing_restart(config) if self._people is not None else ():
            log.warning(
                "config_needs_restart", key=key, serving="what it was when the first people were expected"
            )
        self._request_log = _configure_logs(config)
        self._endpoint.reconfigure(config)
        self._store.reconfigure(config.refresh, config.tokens)
        if self._people is not None:
            self._people.sessions.reconfigure(config.refresh, config.tokens, config.sessions)
        for old in self._pools:
            old.retire()
        self.proxy.serving = self._bind(config, pool)
        self.proxy.log_request = self._request_log.write
        self.listener.header_timeout = config.limits.header_timeout
        self._store.hold(binding.sources(config, self._store))
        self.loaded = loaded
        self.metrics.reloaded(True)
        log.info("config_reloaded", routes=len(config.routes), warnings=len(loaded.warnings))
        return True

    def _pool(self, config: Config) -> Pool:
        """Raises OSError when the CA file cannot be used."""
        upstream = config.upstream
        destination = Destination(
            upstream.url.host,
            upstream.url.port,
            tls.client_context(upstream.ca_file) if upstream.url.scheme == "https" else None,
            upstream.proxy,
            upstream.connect_timeout,
            upstream.max_connections,
        )
        return Pool(
            destination,
            response_timeout=upstream.response_timeout,
            idle_timeout=upstream.idle_timeout,
            max_head_bytes=config.limits.max_header_bytes,
            spawn=self._sweeps.create_task,
        )

    def _bind(self, config: Config, pool: Pool) -> Serving:
        self._pools = [old for old in self._pools if old.in_use] + [pool]
        if config.identity is None:
            self._identity = None
        elif self._identity is None or self._identity.settings != config.identity:
            # Else its keys and verified tokens are kept: the provider may be out of reach just now.
            from sidecar.identity import Identity  # here: with it come PyJWT and cryptography

            self._identity = Identity(config.identity, self.clock, self._endpoint)
        sign_in = None
        if self._people is not None:
            sign_in = self._people.pages
            sign_in.serve(binding.people_of(config, self._people.sessions, self._people.local))
            for name in sign_in.people:
                self.metrics.sessions.credential(name)
        return binding.bind(
            config,
            store=self._store,
            metrics=self.metrics,
            identity=self._identity,
            pool=pool,
            sign_in=sign_in if sign_in is not None and sign_in.people else None,
        )

    async def _welcome(self, config: Config) -> None:
        """Be ready for people who sign in, if the configuration has any. Raises StartError."""
        if self._people is None and any(c.grant == "authorization_code" for c in config.credentials.values()):
            from sidecar.signin.people import People  # here: with it comes cryptography

            try:
                self._people = await self._while_serving.enter_async_context(
                    People(config, self.clock, self._endpoint, self._token_events, self.metrics.sessions)
                )
            except (OSError, ValueError) as error:
                raise StartError(f"sessions: {error}") from error

    def _sessions(self) -> Mapping[str, int]:
        return self._people.sessions.counts() if self._people is not None else {}

    def _connections(self) -> tuple[int, int]:
        counts = [pool.counts() for pool in self._pools]
        return sum(idle for idle, _ in counts), sum(busy for _, busy in counts)


def _configure_logs(config: Config) -> logs.RequestLog:
    return logs.configure(config.log.level, config.log.format, config.log.requests)


@contextlib.asynccontextmanager
async def running(loaded: Loaded, clock: Clock | None = None) -> AsyncIterator[App]:
    """A sidecar that serves while the context lasts. Raises StartError."""
    if not hasattr(aiohttp.http_parser, "HttpRequestParserC"):
        raise StartError(
            "aiohttp's C parser is missing; install aiohttp from a wheel, without AIOHTTP_NO_EXTENSIONS"
        )
    config = loaded.config
    with contextlib.ExitStack() as sockets:
        try:
            proxy_socket = sockets.enter_context(listening.bound(config.listen))
            admin_socket = sockets.enter_context(listening.bound(config.admin))
        except listening.CannotListen as error:
            raise AddressTaken(str(error)) from error
        app = App(loaded, clock or SystemClock())
        async with app.serve(proxy_socket, admin_socket):
            logs.get("process").info(
                "listening", version=__version__, proxy=app.proxy_address, admin=app.admin_address
            )
            yield app
