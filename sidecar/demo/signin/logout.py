"""The end-session endpoint: OpenID Connect RP-Initiated Logout 1.0.

Owns when a person is signed out without being asked (the client proves with an ID token that it means this very
session) and where the browser goes then. Signing out ends the grants of the session with all their tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from sidecar.demo import forms
from sidecar.demo.directory import Directory
from sidecar.demo.refusals import InvalidRequest
from sidecar.demo.signin import pages
from sidecar.demo.signin.answers import Cookie, page, redirect
from sidecar.demo.signin.browsers import Browsers, BrowserSession
from sidecar.demo.signin.grantstore import GrantStore
from sidecar.demo.signin.idtoken import IdTokens
from sidecar.demo.signin.redirects import extended, registered

_PARAMETERS = ("id_token_hint", "client_id", "post_logout_redirect_uri", "state")


@dataclass(frozen=True, slots=True)
class EndSession:
    path: str
    directory: Directory
    id_tokens: IdTokens
    grants: GrantStore
    browsers: Browsers
    cookie: Cookie

    async def logout(self, request: web.Request) -> web.Response:
        """GET or POST (section 2); InvalidRequest: nothing was done."""
        given = forms.parameters(await self._raw(request))
        hint = self._hint(given)
        then = self._then(given, hint)
        session = self.browsers.find(self.cookie.read(request))
        if session is None or session.person is None:
            return self._done(then)
        confirmed = request.method == "POST" and given.get("csrf") == session.csrf
        if confirmed or (hint is not None and hint["sid"] == session.sid):
            self.grants.revoke_session(session.sid)
            self.browsers.end(session)
            return self.cookie.delete(self._done(then))
        return self._ask(session, given, then)

    async def _raw(self, request: web.Request) -> bytes:
        if request.method == "GET":
            return request.raw_path.encode("utf-8", "surrogateescape").partition(b"?")[2]
        if request.method != "POST" or request.content_type != forms.FORM:
            raise InvalidRequest("this address takes GET, or POST with a form")
        return await request.read()

    def _hint(self, given: Mapping[str, str]) -> Mapping[str, str] | None:
        text = given.get("id_token_hint")
        if text is None:
            return None
        hint = self.id_tokens.read_hint(text)
        if hint is None or given.get("client_id", hint["aud"]) != hint["aud"]:
            raise InvalidRequest("id_token_hint is none of ours, or of another client")
        return hint

    def _then(self, given: Mapping[str, str], hint: Mapping[str, str] | None) -> str | None:
        uri = given.get("post_logout_redirect_uri")
        if uri is None:
            return None
        client = self.directory.clients.get(hint["aud"] if hint else given.get("client_id", ""))
        if client is None or not registered(uri, client.post_logout_redirect_uris):
            raise InvalidRequest("post_logout_redirect_uri is not registered for this application")
        return extended(uri, {"state": given["state"]} if "state" in given else {})

    def _done(self, then: str | None) -> web.Response:
        return page(pages.signed_out()) if then is None else redirect(then)

    def _ask(self, session: BrowserSession, given: Mapping[str, str], then: str | None) -> web.Response:
        """Without proof, any page could sign people out (section 6)."""
        assert session.person is not None
        hidden = {name: given[name] for name in _PARAMETERS if name in given} | {"csrf": session.csrf}
        return page(pages.confirm_logout(self.path, hidden, session.person), then=then)
