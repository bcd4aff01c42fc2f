"""The pages under `/.auth`: login, callback, logout, session.

Owns what each of them answers, and the cookies that go with it. What an authorization server may be believed is
attempt.py's business, what a session is sessions.py's, what people are told said.py's. No token is in any answer.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Final, Protocol
from urllib.parse import parse_qs

from cachetools import TTLCache

from sidecar import logs
from sidecar.clock import Clock
from sidecar.oauth.answer import Failure
from sidecar.proxy.page import JSON, Asked, Page
from sidecar.signin import attempt as attempts
from sidecar.signin import claims as claim
from sidecar.signin import cookies, said
from sidecar.signin.attempt import Attempt
from sidecar.signin.keeper import SessionKeeper
from sidecar.signin.person import Person
from sidecar.signin.seal import Seal
from sidecar.signin.sessions import Sessions

_ATTEMPTS_AT_ONCE: Final = 5  # in one browser: tabs that were opened and left
# Bytes of cookies they may be: many a server in front takes no more than 8 KiB in a line, and then the browser is
# locked out of the whole site.
_ATTEMPTS_BYTES: Final = 4096
_USED_STATES: Final = 100_000
_PURPOSE: Final = b"login "


class LoginEvents(Protocol):
    """Told how sign-ins end. `outcome` is a metric label."""

    def login(self, credential: str, outcome: str) -> None: ...


class SignIn:
    """The pages, for all credentials of people of one configuration."""

    def __init__(self, sessions: Sessions, seal: Seal, clock: Clock, events: LoginEvents) -> None:
        self.people: dict[str, Person] = {}
        self._sessions = sessions
        self._seal = seal
        self._clock = clock
        self._events = events
        self._used: TTLCache[str, bool] = TTLCache(_USED_STATES, attempts.LIFETIME, timer=clock.now)

    def serve(self, people: Sequence[Person]) -> None:
        """From now on these, all there are in the configuration."""
        self.people = {person.name: person for person in people}
        self._sessions.hold([person.source for person in people])

    # -- login -----------------------------------------------------------------------------------------------------

    async def login(self, asked: Asked) -> Page:
        """`GET /.auth/login?credential=NAME&return_to=PATH`: to the authorization server."""
        wanted = _query(asked)
        person = self._named(wanted.get("credential"))
        if person is None:
            return said.not_begun("There is no such way to sign in", "Please check the link.")
        try:
            return_to = attempts.return_path(_only(wanted.get("return_to")))
        except ValueError:
            return said.not_begun(
                "This link leads somewhere else",
                "After signing in it would have left this site. Nothing was done.",
            )
        begun = attempts.begin(person.name, return_to, self._clock.wall(), secrets.token_urlsafe)
        try:
            client_id = person.read_client_id()
        except (OSError, ValueError):
            return self._ended(person, "refused", return_to)
        url = attempts.authorization_url(person.credential, client_id, person.source.recipe.scopes, begun)
        secure = person.secure
        sealed = self._seal.seal_text(_PURPOSE + begun.tag.encode(), begun.dump())
        stale = _stale(cookies.logins(asked.cookies, secure=secure), _ATTEMPTS_BYTES - len(sealed))
        fields = [
            ("Location", url),
            cookies.set_cookie(
                cookies.login_name(begun.tag, secure=secure),
                sealed,
                secure=secure,
                max_age=int(attempts.LIFETIME),
            ),
            *(cookies.clear_cookie(name, secure=secure) for name in stale),
        ]
        return Page(303, fields)

    # -- callback ----------------------------------------------------------------------------------------------------

    async def callback(self, asked: Asked) -> Page:
        """`GET /.auth/callback`: back from the authorization server, with a code or without."""
        found = self._attempt(asked)
        if found is None:
            return self._ended(None, "forged", "/")
        person, begun = found
        gone = [
            cookies.clear_cookie(cookies.login_name(begun.tag, secure=person.secure), secure=person.secure)
        ]
        credential = person.credential
        try:
            code = attempts.code_of(asked.query, begun, credential.issuer, self._clock.wall())
            if begun.state in self._used:
                raise attempts.Refused("forged", "the answer was used already")
        except attempts.Refused as refused:
            return self._ended(person, refused.outcome, begun.return_to, gone)
        self._used[begun.state] = True
        result = await person.source.sign_in(code, begun.verifier)
        if isinstance(result, Failure):
            return self._ended(person, said.outcome_of(result), begun.return_to, gone)
        issued, asked_at = result
        try:
            if issued.id_token is not None:
                openid = attempts.asks_openid(credential, person.source.recipe.scopes)
                claim.check_id_token(
                    issued.id_token,
                    person.read_client_id(),
                    begun.nonce if openid else None,
                    credential.issuer,
                )
        except (claim.WrongIdentity, OSError, ValueError):
            return self._ended(person, "forged", begun.return_to, gone)
        for before in await self._sessions_of(asked, [person]):
            # never two sessions of one browser, nor one that was planted
            await self._sessions.sign_out(before, "replaced")
        value = await person.source.begin(issued, asked_at, claim.shown(issued.id_token, issued.value))
        self._events.login(person.name, "ok")
        cookie = cookies.set_cookie(person.cookie, value, secure=person.secure)
        return Page(303, [("Location", begun.return_to), cookie, *gone])

    def _attempt(self, asked: Asked) -> tuple[Person, Attempt] | None:
        """The attempt that this answer is for, if this browser has begun it, and whose it is.

        A cookie with a plain name, which a neighbouring host can set, is none of a person with a `__Host-` one.
        """
        tag = (attempts.state_of(asked.query) or "")[: attempts.TAG]
        if not tag.isascii():
            return None
        for secure in (True, False):
            sealed = cookies.value_of(asked.cookies, cookies.login_name(tag, secure=secure))
            raw = None if sealed is None else self._seal.open_text(_PURPOSE + tag.encode(), sealed)
            begun = None if raw is None else Attempt.load(raw)
            person = None if begun is None else self.people.get(begun.credential)
            if begun is not None and person is not None and person.secure == secure:
                return person, begun
        return None

    # -- logout and session --------------------------------------------------------------------------------------------

    async def logout(self, asked: Asked) -> Page:
        """`POST /.auth/logout`: the end of the session here, and on the way at the authorization server."""
        people, left = self._asked_for(asked), set()
        for keeper in await self._sessions_of(asked, people):
            await self._sessions.sign_out(keeper, "logout")
            left.add(keeper.recipe.name)
        people.sort(key=lambda person: person.name not in left)  # whoever has left decides where to go
        gone = [cookies.clear_cookie(person.cookie, secure=person.secure) for person in people]
        then = next(filter(None, (person.after_logout for person in people)), "/")
        if asked.html:
            return Page(303, [("Location", then), *gone])
        return Page(200, gone, _json({"signed_in": False, "continue_at": then}), JSON)

    async def session(self, asked: Asked) -> Page:
        """`GET /.auth/session`: for a page's script, who is signed in and for how long. Does not count as use."""
        people = self._asked_for(asked)
        found = {keeper.recipe.name: keeper for keeper in await self._sessions_of(asked, people)}
        known = {person.name: self._state(person, found.get(person.name)) for person in people}
        first = next((name for name in known if name in found), next(iter(known), None))
        body: dict[str, object] = dict(known[first]) if first is not None else {"signed_in": False}
        if len(known) > 1:
            body["credentials"] = known
        return Page(200, (), _json(body), JSON)

    def _state(self, person: Person, keeper: SessionKeeper | None) -> dict[str, object]:
        state: dict[str, object] = {
            "signed_in": keeper is not None,
            "credential": person.name,
            "login_url": person.login_url,
            "logout_url": "/.auth/logout",
        }
        if keeper is not None:
            now = self._clock.now()
            state["expires_in"] = max(int(keeper.ends_at - now), 0)
            state["idle_expires_in"] = max(int(keeper.over_at - now), 0)
            state["claims"] = dict(keeper.session.claims)
        return state

    # -- small things ------------------------------------------------------------------------------------------------

    def _named(self, names: list[str] | None) -> Person | None:
        """The credential that is named; the only one there is when none is."""
        if names is None and len(self.people) == 1:
            return next(iter(self.people.values()))
        return self.people.get(_only(names) or "")

    def _asked_for(self, asked: Asked) -> list[Person]:
        names = _query(asked).get("credential")
        if names is None:
            return list(self.people.values())
        person = self._named(names)
        return [] if person is None else [person]

    async def _sessions_of(self, asked: Asked, people: Sequence[Person]) -> list[SessionKeeper]:
        found = []
        for person in people:
            value = cookies.value_of(asked.cookies, person.cookie)
            keeper = None if value is None else await person.source.load(value)
            if keeper is not None:
                found.append(keeper)
        return found

    def _ended(
        self, person: Person | None, outcome: str, return_to: str, fields: Sequence[tuple[str, str]] = ()
    ) -> Page:
        """A sign-in that ended without a session."""
        if person is not None:
            self._events.login(person.name, outcome)
        elif len(self.people) == 1:  # whose attempt it was is not known, but there is only one way
            person = next(iter(self.people.values()))
        name = person.name if person is not None else None
        logs.get("sessions").warning("login_failed", credential=name, outcome=outcome)
        return said.ended(outcome, fields, credential=name, return_to=return_to)


def _stale(begun: Sequence[tuple[str, int]], room: int) -> list[str]:
    """The attempts that have to go to make room for a new one: the oldest."""
    kept = 0
    for _, size in reversed(begun[-_ATTEMPTS_AT_ONCE + 1 :]):
        room -= size
        if room < 0:
            break
        kept += 1
    return [name for name, _ in begun[: len(begun) - kept]]


def _query(asked: Asked) -> dict[str, list[str]]:
    try:
        return parse_qs(asked.query, max_num_fields=16)
    except ValueError:
        return {}


def _only(values: list[str] | None) -> str | None:
    return values[0] if values is not None and len(values) == 1 else None


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body).encode() + b"\n"
