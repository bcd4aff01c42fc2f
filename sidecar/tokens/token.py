"""A token: when it is usable, when to refresh it. Pure; `now` is always a parameter.

    asked_at           refresh_at            hard_stop      expires_at
       |--------------------|---------------------|--------------|
       held, used           held, used,           never sent     dead
                            being replaced

refresh_at < hard_stop < expires_at holds for any lifetime (tests/test_tokens_token.py proves it by property).
All four are monotonic seconds; the lifetime counts from *before* the token request was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sidecar.config.schema import Refresh

_LEAST_SKEW = 0.01  # also with `expiry_skew: 0s` a token is not sent in the moment it expires
_SOONEST_REFRESH = 0.5  # a token that lives a second must not make more than two requests a second
_ROOM = 0.98  # of the time to the hard stop; the rest is for the refresh itself


@dataclass(frozen=True, slots=True)
class Token:
    """A token that is held. Its text is only in `line`, ready to be written to the upstream."""

    line: bytes = field(repr=False)  # `Authorization: Bearer …\r\n`
    asked_at: float
    lifetime: float
    refresh_at: float
    hard_stop: float
    scopes: frozenset[str]
    after_rejection: bool = False  # fetched because the upstream rejected the one before

    @property
    def bearer(self) -> bytes:
        """The field's value: `Bearer …`."""
        return self.line[len(_FIELD) : -2]

    @property
    def expires_at(self) -> float:
        return self.asked_at + self.lifetime

    def usable(self, now: float) -> bool:
        return now < self.hard_stop


_FIELD = b"Authorization: "


def planned(lifetime: float, refresh: Refresh, draw: float) -> tuple[float, float]:
    """When to refresh and when to stop using it, in seconds after asking. `draw`: random, from 0 to 1.

    The skew is a tenth of the lifetime where the configured one is more; the refresh is earlier where the
    configured share would leave no time for it.
    """
    tenth = lifetime / 10
    stop = lifetime - max(min(refresh.expiry_skew, tenth), min(_LEAST_SKEW, tenth))
    share = max(lifetime * refresh.at * (1 - refresh.jitter * draw), _SOONEST_REFRESH)
    return min(share, stop * _ROOM), stop


def hold(
    value: str,
    *,
    asked_at: float,
    lifetime: float,
    scopes: frozenset[str],
    refresh: Refresh,
    draw: float,
    after_rejection: bool = False,
) -> Token:
    """A token with its times planned. `value` is visible ASCII."""
    ahead, stop = planned(lifetime, refresh, draw)
    return Token(
        b"%bBearer %b\r\n" % (_FIELD, value.encode("ascii")),
        asked_at,
        lifetime,
        asked_at + ahead,
        asked_at + stop,
        scopes,
        after_rejection,
    )
