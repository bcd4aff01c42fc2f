"""The authorization endpoint and its two forms: from the browser's first request to the redirect back.

Owns the order of things: is the request right, is the right person signed in, has that person consented. One
instance serves users (-U), one customers (-C); they share nothing but the grants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from sidecar.clock import Clock
from sidecar.demo import forms
from sidecar.demo.faults import SignInFault
from sidecar.demo.grants import Rules
from sidecar.demo.refusals import InvalidRequest
from sidecar.demo.seen import AuthorizationRequestSeen
from sidecar.demo.signin import pages
from sidecar.demo.signin.answers import Cookie, page, redirect, refusal
from sidecar.demo.signin.browsers import Browsers, BrowserSession, Interaction
from sidecar.demo.signin.redirects import extended, loopback
from sidecar.demo.signin.request import (
    AuthorizationRequest,
    NotSentBack,
    SentBack,
    SignedIn,
    check,
    destination,
)
from sidecar.demo.signin.response import AuthorizationResponses

_PEOPLE_SHOWN = 4
_CANNOT = "Sign-in cannot go on"
_OUT_OF_DATE = (
    "This page is out of date, or the browser keeps no cookies. "
    "Go back to the application and sign in from there."
)


@dataclass(frozen=True, slots=True)
class AuthorizationEndpoint:
    endpoint: SignedIn
    path: str  # of .../oauth2, which the forms' paths begin with
    rules: Rules
    responses: AuthorizationResponses
    browsers: Browsers
    cookie: Cookie
    clock: Clock
    seen: deque[AuthorizationRequestSeen]

    async def authorize(self, request: web.Request, fault: SignInFault) -> web.Response:
        """GET /authorize: RFC 6749 section 4.1.1."""
        target = request.raw_path.encode("utf-8", "surrogateescape")
        seen = AuthorizationRequestSeen(self.endpoint, request.method, target)
        self.seen.append(seen)
        if request.method != "GET":
            return refusal(_CANNOT, "The authorization endpoint takes GET.", status=405, Allow="GET")
        try:
            seen.parameters, repeated = forms.read(target.partition(b"?")[2])
            place = destination(seen.parameters, repeated, self.rules)
        except (InvalidRequest, NotSentBack) as wrong:
            seen.outcome = "error_page"
            return refusal(_CANNOT, str(wrong))
        try:
            if fault.kind == "error":
                raise SentBack(fault.error, "as told")
            wanted = check(self.endpoint, seen.parameters, repeated, place, self.rules)
            return self._begin(request, Interaction(wanted, seen), fault)
        except SentBack as told:
            return redirect(self.responses.failed(place, told, seen, fault))

    def _begin(self, request: web.Request, interaction: Interaction, fault: SignInFault) -> web.Response:
        session = self.browsers.find(self.cookie.read(request)) or self.browsers.start()
        wanted = interaction.request
        if self._signs_in(wanted, session):
            if "none" in wanted.prompt:
                raise SentBack("login_required", "nobody, or somebody else, is signed in")
            return self._login_page(session, interaction, wanted.login_hint)
        interaction.person = session.person
        return self._go_on(session, interaction, fault)

    def _signs_in(self, wanted: AuthorizationRequest, session: BrowserSession) -> bool:
        """Whether the person has to, although one may be signed in."""
        if session.person is None or wanted.prompt & {"login", "select_account"}:
            return True
        if wanted.login_hint not in ("", session.person.subject, session.person.email):
            return True
        return wanted.max_age is not None and self.clock.wall() - session.auth_time > wanted.max_age

    def _go_on(self, session: BrowserSession, interaction: Interaction, fault: SignInFault) -> web.Response:
        """The person is signed in: consent, unless it was given before, then the code."""
        wanted = interaction.request
        before = session.allowed.get(wanted.client.id, set())
        # Anybody may say to be a public client on this machine: ask each time (RFC 8252 section 8.6).
        impostor = not wanted.client.confidential and loopback(wanted.destination.redirect_uri)
        if impostor or "consent" in wanted.prompt or not before.issuperset(wanted.scope.split()):
            if "none" in wanted.prompt:
                raise SentBack("consent_required", "the person has to consent")
            return self._consent_page(session, interaction)
        return redirect(self.responses.granted(session, interaction, fault))

    async def login(self, request: web.Request, fault: SignInFault) -> web.Response:
        """POST /login: the form with name and password."""
        form = await self._form(request)
        session, interaction = self._find(request, form)
        if session is None or interaction is None or form.get("csrf") != session.csrf:
            return refusal(_CANNOT, _OUT_OF_DATE, status=403)
        if form.get("decision") == "deny":
            return redirect(self.responses.denied(interaction, fault))
        name, password = form.get("name", ""), form.get("password", "")
        person = self.rules.directory.sign_in(self.endpoint, name, password)
        if person is None:
            return self._login_page(session, interaction, name, failed=True)
        session = self.browsers.sign_in(session, person)
        interaction.person = person
        # Consent is a page of its own, so that loading it again sends no password again.
        response = redirect(extended(f"{self.path}/consent", {"interaction": interaction.id}))
        return self.cookie.write(response, session)

    async def consent(self, request: web.Request, fault: SignInFault) -> web.Response:
        """GET /consent: the page, if it is needed. POST /consent: Allow or Deny."""
        if request.method == "GET":
            target = request.raw_path.encode("utf-8", "surrogateescape")
            form = forms.parameters(target.partition(b"?")[2])
        else:
            form = await self._form(request)
        session, interaction = self._find(request, form)
        if session is None or interaction is None or session.person is None:
            return refusal(_CANNOT, _OUT_OF_DATE, status=403)
        if interaction.person != session.person:  # meanwhile, somebody else signed in
            return refusal(_CANNOT, _OUT_OF_DATE, status=403)
        if interaction.location is not None:  # a second click
            return redirect(interaction.location)
        if request.method == "GET":
            return self._go_on(session, interaction, fault)
        if form.get("csrf") != session.csrf:
            return refusal(_CANNOT, _OUT_OF_DATE, status=403)
        if form.get("decision") != "allow":
            return redirect(self.responses.denied(interaction, fault))
        wanted = interaction.request
        session.allowed.setdefault(wanted.client.id, set()).update(wanted.scope.split())
        return redirect(self.responses.granted(session, interaction, fault))

    async def _form(self, request: web.Request) -> dict[str, str]:
        if request.method != "POST" or request.content_type != forms.FORM:
            raise InvalidRequest("this address takes the page's form")
        return forms.parameters(await request.read())

    def _find(
        self, request: web.Request, form: Mapping[str, str]
    ) -> tuple[BrowserSession | None, Interaction | None]:
        session = self.browsers.find(self.cookie.read(request))
        return session, session.interactions.get(form.get("interaction", "")) if session else None

    def _login_page(
        self, session: BrowserSession, interaction: Interaction, name: str, *, failed: bool = False
    ) -> web.Response:
        interaction.seen.outcome = "login"
        session.interactions[interaction.id] = interaction
        wanted, directory = interaction.request, self.rules.directory
        users = [user.username for user in directory.users]
        known = users if self.endpoint == "user" else sorted(directory.customers)
        notes = [f"Demo people: {', '.join(known[:_PEOPLE_SHOWN])}", f"Their password: {directory.password}"]
        hidden = {"interaction": interaction.id, "csrf": session.csrf}
        text = pages.login(
            f"{self.path}/login", hidden, wanted.client.name, self.endpoint, name, notes, failed
        )
        response = page(text, status=403 if failed else 200, then=wanted.destination.redirect_uri)
        return self.cookie.write(response, session)

    def _consent_page(self, session: BrowserSession, interaction: Interaction) -> web.Response:
        interaction.seen.outcome = "consent"
        session.interactions[interaction.id] = interaction
        wanted, hidden = interaction.request, {"interaction": interaction.id, "csrf": session.csrf}
        assert session.person is not None
        scopes = wanted.scope.split()
        text = pages.consent(f"{self.path}/consent", hidden, wanted.client.name, session.person, scopes)
        return page(text, then=wanted.destination.redirect_uri)
