"""The authorization response: RFC 6749 sections 4.1.2 and 4.1.2.1, RFC 9207.

Owns what the browser takes back to the client, `state` and `iss` always with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sidecar.demo.faults import SignInFault
from sidecar.demo.seen import AuthorizationRequestSeen
from sidecar.demo.signin.browsers import BrowserSession, Interaction
from sidecar.demo.signin.grantstore import Grant, GrantStore
from sidecar.demo.signin.redirects import extended
from sidecar.demo.signin.request import Destination, SentBack


@dataclass(frozen=True, slots=True)
class AuthorizationResponses:
    """Each gives the address that the browser is sent to."""

    issuer: str
    grants: GrantStore

    def granted(self, session: BrowserSession, interaction: Interaction, fault: SignInFault) -> str:
        """With a code."""
        assert session.person is not None
        interaction.seen.outcome = "code"
        grant = Grant(interaction.request, session.person, session.auth_time, session.sid)
        code = self.grants.code(grant)
        interaction.location = self._address(interaction.request.destination, {"code": code}, fault)
        return interaction.location

    def denied(self, interaction: Interaction, fault: SignInFault) -> str:
        """The person said no."""
        told = SentBack("access_denied", "the person did not allow it")
        interaction.location = self.failed(interaction.request.destination, told, interaction.seen, fault)
        return interaction.location

    def failed(
        self, place: Destination, told: SentBack, seen: AuthorizationRequestSeen, fault: SignInFault
    ) -> str:
        """With an error."""
        seen.outcome = told.code
        return self._address(place, {"error": told.code, "error_description": told.description}, fault)

    def _address(self, place: Destination, answer: dict[str, str], fault: SignInFault) -> str:
        if place.state is not None:
            answer["state"] = place.state
        answer = {**answer, "iss": self.issuer, **fault.set}
        return extended(
            place.redirect_uri, {name: value for name, value in answer.items() if name not in fault.omit}
        )
