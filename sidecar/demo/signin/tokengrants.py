"""What the token endpoint gives for a code or a refresh token: RFC 6749 sections 4.1.3 and 6.

Owns reading these two requests and the members that their answers have besides the access token. What codes and
refresh tokens are worth is grantstore.py's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.demo.directory import ClientApp
from sidecar.demo.grants import Granted, required
from sidecar.demo.refusals import InvalidScope, UnauthorizedClient
from sidecar.demo.signin.grantstore import Grant, GrantStore
from sidecar.demo.signin.idtoken import IdTokens
from sidecar.demo.signin.request import SignedIn


@dataclass(frozen=True, slots=True)
class TokenGrants:
    store: GrantStore
    id_tokens: IdTokens

    def grant(self, endpoint: SignedIn, client: ClientApp, form: Mapping[str, str]) -> Granted:
        """For an authenticated client (a public one is only named), or OAuthRefusal."""
        if "authorization_code" not in client.flows:
            raise UnauthorizedClient("authorization_code is not enabled for this client application")
        if form["grant_type"] == "authorization_code":
            return self._code(endpoint, client, form)
        return self._refresh(endpoint, client, form)

    def _code(self, endpoint: SignedIn, client: ClientApp, form: Mapping[str, str]) -> Granted:
        code, redirect_uri = required(form, "code"), required(form, "redirect_uri")
        grant = self.store.redeem(code, client, endpoint, redirect_uri, form.get("code_verifier"))
        request = grant.request
        return self._granted(
            grant, request.scopes, request.scope, self.store.refresh_token(grant), first=True
        )

    def _refresh(self, endpoint: SignedIn, client: ClientApp, form: Mapping[str, str]) -> Granted:
        grant = self.store.refresh(required(form, "refresh_token"), client, endpoint)
        allowed = grant.request.scope.split()
        wanted = list(dict.fromkeys(form["scope"].split(" "))) if "scope" in form else allowed
        if not set(wanted) <= set(allowed):
            raise InvalidScope("a scope was not granted when the person signed in")
        rotates = self.store.settings.refresh_tokens == "rotating"
        scopes = tuple(scope for scope in wanted if scope in grant.request.scopes)
        token = self.store.refresh_token(grant) if rotates else None
        return self._granted(grant, scopes, " ".join(wanted), token, first=False)

    def _granted(
        self, grant: Grant, scopes: tuple[str, ...], scope: str, refresh_token: str | None, *, first: bool
    ) -> Granted:
        lifetime = self.store.settings.id_token_lifetime
        more = {"id_token": self.id_tokens.issue(grant, lifetime, first=first)}
        if refresh_token is not None:
            more["refresh_token"] = refresh_token
        return Granted(grant.person.persona, grant.person.subject, scopes, scope, grant.id, more)
