"""Through an egress proxy: `CONNECT host:port` (RFC 9110 section 9.3.6) on a plain socket.

Owns that one exchange. What the proxy says is untrusted: only the status is looked at, in a bounded head.
"""

from __future__ import annotations

import asyncio
import socket

_MAX_HEAD = 8192


async def open_tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, host: str, port: int) -> None:
    """Make `sock`, connected to the proxy, a tunnel to host:port. Raises ConnectionError when it will not."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    await loop.sock_sendall(
        sock, f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("ascii")
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        # Byte by byte behind the first line would be TLS: nothing may be read beyond the head.
        piece = await loop.sock_recv(sock, 1)
        head += piece
        if not piece or len(head) > _MAX_HEAD:
            raise ConnectionError("the egress proxy did not answer CONNECT properly")
    status = head.split(b" ", 2)[1:2]
    if not head.startswith(b"HTTP/1.") or len(status) != 1 or not status[0].startswith(b"2"):
        raise ConnectionError("the egress proxy refused CONNECT")
