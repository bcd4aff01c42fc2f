"""Whose token does a request take? One rule for each place a subject may come from.

Owns that choice: a header, a claim of the caller's verified JWT, the caller's own bearer token, the session of a person
who has signed in. Each rule is made once and called with a request's head; how a subject must look is
proxy/subject.py's business.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidecar.config.schema import ClaimSource, Config, Credential, HeaderSource
from sidecar.errors import LoginRequired, OriginNotAllowed
from sidecar.proxy import subject as subjects
from sidecar.proxy.headers import RequestHead
from sidecar.proxy.serving import SubjectOf
from sidecar.signin import cookies
from sidecar.signin.person import Person

if TYPE_CHECKING:
    from sidecar.identity import Identity


@dataclass(frozen=True, slots=True)
class FromHeader:
    """on_behalf_of with `{header: NAME}`."""

    field: bytes
    all_fields: frozenset[bytes]
    allowed: subjects.Allowed

    def __call__(self, head: RequestHead) -> str:
        return self.allowed.check(subjects.from_header(head.subjects, self.field, self.all_fields))


@dataclass(frozen=True, slots=True)
class FromClaim:
    """on_behalf_of with `{claim: NAME}`: the caller's JWT is verified first."""

    claim: str
    field: bytes  # of the JWT, lower case
    identity: Identity
    allowed: subjects.Allowed

    def __call__(self, head: RequestHead) -> str | Coroutine[Any, Any, str]:
        if self.field == b"authorization":
            token = subjects.bearer(head.authorizations)
        else:
            token = subjects.bearer([v for n, v in head.subjects or () if n == self.field], bare=True)
        claims = self.identity.known(token)
        return self._subject(claims) if claims is not None else self._verified(token)

    async def _verified(self, token: str) -> str:
        return self._subject(await self.identity.verify(token))

    def _subject(self, claims: dict[str, object]) -> str:
        return self.allowed.check(subjects.from_claim(claims.get(self.claim)))


@dataclass(frozen=True, slots=True)
class FromSession:
    """authorization_code: whoever has signed in in this browser."""

    person: Person

    def __call__(self, head: RequestHead) -> str | Coroutine[Any, Any, str]:
        near = head.fetch_site is not None and head.fetch_site.lower() == b"same-site"
        if near and (head.origins is not None or not head.navigates):
            # A neighbouring host's page: its requests carry the cookie, whatever it may be up to. A link may open a
            # page; what has an Origin is a form or a script.
            raise OriginNotAllowed("requests from web pages of neighbouring hosts are not accepted")
        value = cookies.value_of(head.cookies or (), self.person.cookie)
        if value is None and self.person.local is not None:
            if head.from_elsewhere:  # no cookie that SameSite would keep back: the link alone would do
                raise OriginNotAllowed("a link on another site's page leads here")
            value = self.person.local
        if value is None:
            raise LoginRequired("nobody has signed in", credential=self.person.name)
        found = self.person.source.find(value)
        return found.name if found is not None else self._loaded(value)

    async def _loaded(self, value: str) -> str:
        found = await self.person.source.load(value)
        if found is None:
            raise LoginRequired("the session is over; sign in again", credential=self.person.name)
        return found.name


def _from_bearer(head: RequestHead) -> str:
    """token_exchange: the caller's own bearer token."""
    return subjects.bearer(head.authorizations)


@dataclass(frozen=True, slots=True)
class SubjectRules:
    """The rules of one configuration."""

    config: Config
    identity: Identity | None
    all_fields: frozenset[bytes]

    def of(self, credential: Credential) -> SubjectOf:
        """Whose token a request of this credential takes."""
        if credential.subject is None:
            return _from_bearer
        source = credential.subject.source
        if isinstance(source, HeaderSource):
            allowed = subjects.Allowed(credential.allow_subjects, default=False)
            return FromHeader(source.header.lower().encode(), self.all_fields, allowed)
        assert isinstance(source, ClaimSource)
        assert self.identity is not None
        assert self.config.identity is not None
        allowed = subjects.Allowed(credential.allow_subjects, default=True)
        return FromClaim(source.claim, self.config.identity.header.lower().encode(), self.identity, allowed)
