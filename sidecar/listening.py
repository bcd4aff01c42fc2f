"""Sockets that accept: TCP or unix, for the proxy and the admin listener.

Owns how a listening socket comes to be and goes: a stale unix socket is replaced and a new one has mode 0660, an
address in use is named in the error. Knows nothing of what is served.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from aiohttp import web

from sidecar.config.values import Address, TcpAddress, UnixAddress

_BACKLOG = 1024
_UNIX_MODE = 0o660


class CannotListen(OSError):
    """The address cannot be listened on; says which and why."""


@contextlib.contextmanager
def bound(address: Address) -> Iterator[socket.socket]:
    """A listening socket, closed at the end at the latest. Raises CannotListen."""
    try:
        sock = _bind(address)
    except OSError as error:
        raise CannotListen(f"cannot listen on {address}: {error.strerror or error}") from error
    try:
        yield sock
    finally:
        sock.close()
        if isinstance(address, UnixAddress):
            address.path.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def accepting(listener: web.Server, sock: socket.socket) -> AsyncIterator[None]:
    """Serve the proxy's connections."""
    loop = asyncio.get_running_loop()
    if sock.family == socket.AF_UNIX:
        server = await loop.create_unix_server(listener, sock=sock, backlog=_BACKLOG)
    else:
        server = await loop.create_server(listener, sock=sock, backlog=_BACKLOG)
    try:
        yield
    finally:
        server.close()
        listener.pre_shutdown()
        await listener.shutdown(timeout=0.01)  # (0 would mean no limit)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def administering(runner: web.AppRunner, sock: socket.socket) -> AsyncIterator[None]:
    """Serve the admin application."""
    await runner.setup()
    try:
        await web.SockSite(runner, sock, backlog=_BACKLOG).start()
        yield
    finally:
        await runner.cleanup()


def name(sock: socket.socket, address: Address) -> str:
    """The address as text, with the port that was chosen."""
    return str(TcpAddress(*sock.getsockname()[:2]) if isinstance(address, TcpAddress) else address)


def _bind(address: Address) -> socket.socket:
    if isinstance(address, UnixAddress):
        return _bind_unix(address.path)
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with contextlib.suppress(ValueError, OSError):
        family = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)[0][0]
    return _bind_tcp(family, address)


def _bind_tcp(family: int, address: TcpAddress) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and address.host == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
            if sock.connect_ex(str(path)) == 0:
                raise OSError(None, "another process listens there")
            sock.close()
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            path.unlink()
        sock.setblocking(False)
        # The mode is right from the first moment on: between bind and chmod everybody could connect.
        before = os.umask(0o777 & ~_UNIX_MODE)
        try:
            sock.bind(str(path))
        finally:
            os.umask(before)
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
