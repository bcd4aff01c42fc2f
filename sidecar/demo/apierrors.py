"""eGain's API errors: `{"code": "401-104", "developerMessage": …, "details": […]}`.

Owns codes, statuses and texts, as eGain's OpenAPI documents have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import web

from sidecar.demo.directory import Persona

_ACTORS: dict[Persona, str] = {
    "user": "Users",
    "customer": "Customers",
    "obo_user": "Clients on behalf of a user",
    "obo_customer": "Clients on behalf of a customer",
    "anonymous": "Anonymous customers",
    "app": "Client applications",
}


class ApiRefusal(Exception):
    """An error answer of the API."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.details, self.headers = details or {}, headers or {}

    def response(self) -> web.Response:
        details = [{"key": key, "value": value[:255]} for key, value in self.details.items()]
        body = {"code": self.code, "developerMessage": self.message, "details": details}
        return web.json_response(body, status=self.status, headers=self.headers)


def token_missing() -> ApiRefusal:
    """Also: not readable, not ours."""
    message = "Invalid or missing 'authorization' header value."
    return ApiRefusal(401, "401-104", message, headers={"WWW-Authenticate": "Bearer"})


def token_over() -> ApiRefusal:
    message = "Invalid or expired 'Authorization' header provided. New login is required."
    return ApiRefusal(401, "401-101", message, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


def persona_not_allowed(persona: Persona) -> ApiRefusal:
    message = f"Unauthorized URL access: {_ACTORS[persona]} are not allowed to access this URL."
    return ApiRefusal(403, "403-112", message, details={"persona": persona})


def scope_missing(scopes: Iterable[str]) -> ApiRefusal:
    wanted = " ".join(sorted(scopes))
    message = f"Unauthorized URL access: Logged in actor must have '{wanted}' scope to access this URL."
    return ApiRefusal(403, "403-197", message, details={"requiredScope": wanted})


def scope_excessive(scopes: Iterable[str]) -> ApiRefusal:
    """Not eGain's: a stand-in that is exact wants least privilege."""
    more = " ".join(sorted(scopes))
    return ApiRefusal(403, "403-197", f"The token has more scopes than this URL needs: '{more}'.")


def language_missing() -> ApiRefusal:
    return ApiRefusal(406, "406-100", "The 'Accept-Language' header value is invalid.")


def throttled() -> ApiRefusal:
    """No Retry-After: eGain sends none."""
    limits = {"X-RateLimit-Limit": "10", "X-RateLimit-Remaining": "0"}
    return ApiRefusal(429, "429-001", "Too many requests.", headers=limits)


def not_found() -> ApiRefusal:
    return ApiRefusal(404, "404-100", "The requested resource was not found.")


def method_not_allowed(allowed: Iterable[str]) -> ApiRefusal:
    allow = ", ".join(sorted(allowed))
    return ApiRefusal(405, "405-100", "Method is not allowed.", headers={"Allow": allow})
