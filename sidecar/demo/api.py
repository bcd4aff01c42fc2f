"""The API over HTTP: one request from its head to the record of it.

Owns the order of checks (token, persona, scope, language, as eGain documents them) and reading the body. What
needs which scope is operations.py's; what is answered content.py's and utility.py's.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from dataclasses import dataclass
from urllib.parse import parse_qsl

from aiohttp import web

from sidecar.demo import apierrors, wire
from sidecar.demo.apierrors import ApiRefusal
from sidecar.demo.faults import ApiFault, Switch
from sidecar.demo.operations import Asked, Operation, OperationTable
from sidecar.demo.seen import ApiRequestSeen
from sidecar.demo.tokens import Claims, Mint, NotOurs, Over

_KEPT = 64 * 1024  # of a body
_LANGUAGES = frozenset(
    ["*", "ar", "bg", "cs", "da", "de", "el", "en", "es", "fi", "fil", "fr", "hi", "hr", "hu", "id", "it",
     "ja", "ko", "ms", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sr", "sv", "th", "tr", "uk", "vi",
     "zh"]
)  # fmt: skip


@dataclass(slots=True)
class Api:
    """Answers API requests."""

    table: OperationTable
    mint: Mint
    fault: Switch[ApiFault]
    seen: deque[ApiRequestSeen]
    exact: bool = False  # a token that may do more than the operation needs is refused, too

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        target = request.raw_path.encode("utf-8", "surrogateescape")
        seen = ApiRequestSeen(request.method, target, request.raw_headers)
        self.seen.append(seen)
        try:
            response = await self._answer(request, seen)
        except (asyncio.CancelledError, ConnectionError):
            seen.aborted = True
            raise
        seen.status = None if isinstance(response, wire.Silence) else response.status
        return response

    async def _answer(self, request: web.Request, seen: ApiRequestSeen) -> web.StreamResponse:
        path, _, query = request.raw_path.partition("?")
        fault = self.fault.take(path)
        if (broken := await wire.api_fault(request, self.fault, fault)) is not None:
            return broken
        body = await _read(request, seen)
        try:
            operation, parameters = self._find(path, request.method, seen)
            seen.claims = self._claims(seen)
            _befall(fault, operation, seen.claims)
            _authorize(operation, seen.claims, self.exact)
            if operation.language and not _speaks(request.headers.get("Accept-Language", "")):
                raise apierrors.language_missing()
            queried = dict(parse_qsl(query, keep_blank_values=True))
            return await operation.answer(Asked(request, seen, seen.claims, parameters, queried, body))
        except ApiRefusal as refusal:
            return refusal.response()

    def _find(self, path: str, method: str, seen: ApiRequestSeen) -> tuple[Operation, dict[str, str]]:
        operation, parameters, allowed = self.table.find(path, method)
        if operation is None:
            self._claims(seen)  # what exists is only told to callers with a token
            raise apierrors.method_not_allowed(allowed) if allowed else apierrors.not_found()
        seen.operation = operation.id
        return operation, parameters

    def _claims(self, seen: ApiRequestSeen) -> Claims:
        values = seen.all("Authorization")
        scheme, _, token = values[0].partition(b" ") if len(values) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer":
            raise apierrors.token_missing()
        try:
            return self.mint.verify(token.decode("latin-1"))
        except NotOurs:
            raise apierrors.token_missing() from None
        except Over:
            raise apierrors.token_over() from None


def _befall(fault: ApiFault, operation: Operation, claims: Claims) -> None:
    """Faults in eGain's own words."""
    if fault.kind == "unauthorized":
        raise apierrors.token_missing()
    if fault.kind == "forbidden":
        raise apierrors.scope_missing(operation.scopes.get(claims.persona, ()))
    if fault.kind == "throttled":
        raise apierrors.throttled()


def _authorize(operation: Operation, claims: Claims, exact: bool) -> None:
    needed = operation.scopes.get(claims.persona)
    if needed is None:
        raise apierrors.persona_not_allowed(claims.persona)
    if missing := needed - claims.scopes:
        raise apierrors.scope_missing(missing)
    if exact and (excess := claims.scopes - needed):
        raise apierrors.scope_excessive(excess)


def _speaks(accept_language: str) -> bool:
    """At least one language that eGain has."""
    ranges = (part.partition(";")[0].strip().lower() for part in accept_language.split(","))
    return any(language.partition("-")[0] in _LANGUAGES for language in ranges)


async def _read(request: web.Request, seen: ApiRequestSeen) -> bytes:
    """Count and digest the body as it comes; give back its beginning."""
    if not request.body_exists:
        seen.body_sha256 = hashlib.sha256().hexdigest()
        return b""
    digest, kept = hashlib.sha256(), bytearray()
    async for chunk in request.content.iter_any():
        digest.update(chunk)
        seen.body_size += len(chunk)
        kept += chunk[: max(0, _KEPT - len(kept))]
    seen.body_sha256 = digest.hexdigest()
    return bytes(kept)
