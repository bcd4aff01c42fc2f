"""What may be asked and used when: the model that keepers are held against, and the token endpoint that feeds it.

Owns a second, plain account of every token and every token request of a run. It follows the contract's section 6, not
the code: it keeps whole histories where the keeper keeps three numbers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from sidecar.config.schema import Credential, Refresh
from sidecar.oauth.answer import Failure, Reply
from sidecar.oauth.request import TokenRequest
from sidecar.tokens.keeper import Keeper
from tests.fake_clock import FakeClock
from tests.token_script import token

EPSILON = 1e-6
LEAST_APART = 0.5  # seconds between two requests for one token that nobody rejected
BELIEVED = 10.0  # seconds for which a token fetched because of a rejection is not fetched again

FLEETING = 1.5  # seconds; a token that lives no longer is renewed only while it is used


@dataclass(eq=False)
class Issue:
    """A token as it was given out."""

    text: str
    asked_at: float
    ends: float
    stop: float  # contract: a token is used until `expiry - expiry_skew` and never after
    obtained_at: float
    after_rejection: bool
    rejected: bool = False


@dataclass(eq=False)
class Asked:
    """One token request."""

    keeper: Keeper
    at: float
    answer: asyncio.Future[Reply | Failure]
    answered_at: float | None = None
    failed: bool = False
    least_wait: float = 0.0  # after a failure


@dataclass
class Account:
    """All that is known of one keeper."""

    asked: list[Asked] = field(default_factory=list)
    issued: list[Issue] = field(default_factory=list)
    rejected_at: list[float] = field(default_factory=list)  # its current token, with success
    owed: bool = False  # the next token is fetched because of a rejection
    used_at: float = 0.0

    @property
    def under_way(self) -> Asked | None:
        return next((one for one in self.asked if one.answered_at is None), None)

    def current(self) -> Issue | None:
        """The token that requests should get, whether or not it is over."""
        last = self.issued[-1] if self.issued else None
        return None if last is None or last.rejected else last

    def ask(self, asked: Asked, settings: Refresh) -> None:
        """Take note of a request; fails when it must not be made now."""
        before = self.asked[-1] if self.asked else None
        self.asked.append(asked)
        if before is None:
            return
        assert before.answered_at is not None, "two requests for one token at a time"
        if before.failed:
            earliest = before.answered_at + before.least_wait
            assert asked.at >= earliest - EPSILON, (
                f"asked {earliest - asked.at:g} s too early after a failure"
            )
        elif not any(when >= before.answered_at - EPSILON for when in self.rejected_at):
            assert asked.at >= before.at + LEAST_APART - EPSILON, "asked again too soon after a success"


def stop_of(lifetime: float, settings: Refresh) -> float:
    """Seconds after asking at which a token must no longer be sent, at the latest."""
    return lifetime - min(settings.expiry_skew, lifetime / 10)


@dataclass
class Endpoint:
    """A token endpoint whose answers are given one by one, or at once while `healthy`."""

    clock: FakeClock
    accounts: dict[Keeper, Account]
    settings: Refresh
    kept: Callable[[], Iterable[Keeper]]  # those of the store; others may still ask
    waiting: list[Asked] = field(default_factory=list)
    healthy: float | None = None  # lifetime of the tokens that are given out at once
    number: int = 0

    async def post(self, name: str, credential: Credential, request: TokenRequest) -> Reply | Failure:
        form = parse_qs(request.body.decode())
        assert form["grant_type"], "a request without a grant"
        keeper = self._who_asks()
        loop = asyncio.get_running_loop()
        asked = Asked(keeper, self.clock.now(), loop.create_future())
        self.accounts.setdefault(keeper, Account()).ask(asked, self.settings)
        if self.healthy is not None:
            self.issue(asked, self.healthy)
        else:
            self.waiting.append(asked)
        return await asked.answer

    def _who_asks(self) -> Keeper:
        """The keeper whose fetch runs in this task."""
        task = asyncio.current_task()
        (keeper,) = {one for one in (*self.accounts, *self.kept()) if one._fetch is task}
        return keeper

    def issue(
        self, asked: Asked, expires_in: Any, *, lifetime: float | None = None, ends: float | None = None
    ) -> None:
        """Answer with a new token. `ends`: when the subject token does that it was exchanged for."""
        self.number += 1
        text, now = f"t{self.number}", self.clock.now()
        account = self.accounts[asked.keeper]
        life = expires_in if lifetime is None else lifetime
        if ends is not None:
            life = min(life, ends - asked.at)
        stop = asked.at + stop_of(life, self.settings)
        asked.answered_at = now
        if now < stop - max(0.01, EPSILON) or (now < stop - EPSILON and life > 0.2):
            account.issued.append(Issue(text, asked.at, asked.at + life, stop, now, account.owed))
            account.owed = False
        elif now < stop:
            # So close to its end that taking it or not is the keeper's choice; nothing depends on it.
            account.issued.append(
                Issue(text, asked.at, asked.at + life, stop, now, account.owed, rejected=True)
            )
        else:
            self._fail(asked, None)
        asked.answer.set_result(token(text, expires_in))

    def fail(self, asked: Asked, reply: Reply | Failure, retry_after: float | None) -> None:
        asked.answered_at = self.clock.now()
        self._fail(asked, retry_after)
        asked.answer.set_result(reply)

    def _fail(self, asked: Asked, retry_after: float | None) -> None:
        asked.failed = True
        retry = self.settings.retry
        asked.least_wait = max(0.1 * min(retry.initial, retry.max), retry_after or 0.0)
