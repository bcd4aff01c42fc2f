"""A request's body, within bounds: of size, of time, and of what all requests together may hold.

Owns what is refused before anything is parsed. Any pod of the cluster can connect, so nothing here waits for long or
grows without end.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import aiohttp
from aiohttp import hdrs, web

MAX_BODY = 4 << 20  # an API server takes objects of up to 3 MiB, and a review of an update has two
_MAX_HELD = 16 << 20  # of all bodies being read
_MAX_SECONDS = 10.0  # an API server gives up after `timeoutSeconds`, 10 by default


class NotTaken(Exception):
    """The request is answered with this status and message, and its connection is closed."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


@dataclass(slots=True)
class Intake:
    """Reads bodies; knows how much it holds."""

    held: int = 0

    async def read(self, request: web.Request) -> bytes:
        """The body of a JSON request. Raises NotTaken."""
        if request.content_type != "application/json":
            raise NotTaken(415, "UnsupportedMediaType", "the content type is not application/json")
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity") != "identity":
            raise NotTaken(415, "UnsupportedMediaType", "compressed requests are not supported")
        if (request.content_length or 0) > MAX_BODY:
            raise _too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(_MAX_SECONDS):
                await self._fill(body, request)
        except TimeoutError:
            raise NotTaken(408, "Timeout", "the body took too long to arrive") from None
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, ConnectionError):
            raise NotTaken(400, "BadRequest", "the body is malformed or was cut off") from None
        finally:
            self.held -= len(body)
        return bytes(body)

    async def _fill(self, body: bytearray, request: web.Request) -> None:
        async for chunk in request.content.iter_any():
            body += chunk
            self.held += len(chunk)
            if len(body) > MAX_BODY:
                raise _too_large()
            if self.held > _MAX_HELD:
                raise NotTaken(503, "ServiceUnavailable", "too many requests at once")


def _too_large() -> NotTaken:
    return NotTaken(413, "RequestEntityTooLarge", f"the body is larger than {MAX_BODY >> 20} MiB")
