"""What the API's answers look like, in health and in sickness.

Owns the bytes of an answer and how each fault spoils them. Knows nothing of tokens.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
from collections.abc import Mapping
from typing import Any

_LINGER_RESET = struct.pack("ii", 1, 0)  # close at once, with RST instead of FIN
MODES = ("normal", "slow", "reset", "garble", "throttle")


class Faults:
    """`mode` for all requests from now on: one of MODES, `ms` with slow."""

    def __init__(self) -> None:
        self._mode, self.delay = "normal", 0.0
        self._garbled = itertools.count()

    def set(self, wanted: Mapping[str, Any]) -> None:
        if wanted["mode"] not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}")
        self._mode = wanted["mode"]
        self.delay = wanted.get("ms", 0) / 1000 if self._mode == "slow" else 0.0

    def answer(self, transport: asyncio.Transport, told: Mapping[str, Any]) -> None:
        """Answer one request, or what is made of it."""
        if transport.is_closing():
            return
        if self._mode == "reset":
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_RESET)
            transport.abort()
        elif self._mode == "garble":
            transport.write(GARBLED[next(self._garbled) % len(GARBLED)](json.dumps(told).encode()))
            transport.close()
        elif self._mode == "throttle":
            transport.write(_sized(json.dumps(told).encode(), b"429 Too Many Requests\r\nRetry-After: 1"))
        else:
            body = json.dumps(told).encode()
            transport.write(_chunked(body) if told["n"] % 2 else _sized(body))


def _sized(body: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status, len(body), body,
    )  # fmt: skip


_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunked(body: bytes) -> bytes:
    middle = len(body) // 2
    parts = (body[:middle], body[middle:])
    return _CHUNKED + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


_MALLORY = b'{"n": 0, "method": "GET", "subject": "mallory", "scopes": "", "sha256": ""}'
# Each makes of the right answer what is sent instead, before the connection is closed.
GARBLED = (
    lambda body: b"I am no HTTP server.\r\n\r\n",
    lambda body: _sized(body)[: -len(body) // 2],  # breaks off in the body
    lambda body: _chunked(body)[:-5],  # all of the body, but not its end
    lambda body: _chunked(body).replace(b"\r\n0\r\n\r\n", b"\r\nzz\r\n\r\n"),  # no chunk size
    lambda body: _sized(body) + _sized(_MALLORY),  # a second answer that nobody asked for
    lambda body: _sized(body, b"200 OK\r\nContent-Length: 7"),  # two lengths
    lambda body: b"",  # closed without a word
)
