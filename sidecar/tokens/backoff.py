"""How long to wait after a failed try. Pure: yields delays, waits for nothing.

Owns the shape: full jitter (a random share of a ceiling that doubles), so that many sidecars whose token
endpoint came back do not all ask at once. A tenth of the ceiling is always waited: chance must not make a
hot loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sidecar.config.schema import Retry

_FLOOR = 0.1


def backoff(retry: Retry, draw: Callable[[], float]) -> Iterator[float]:
    """Seconds to wait before each new try, for ever. `draw` gives random numbers from 0 to 1."""
    ceiling = min(retry.initial, retry.max)
    while True:
        yield ceiling * max(draw(), _FLOOR)
        ceiling = min(ceiling * 2, retry.max)


def wait(delay: float, retry_after: float | None, initial: float, left: float = 0.0) -> float:
    """The wait, when the server may have asked for a longer one (Retry-After). All in seconds.

    Never less than it asked for; a little more, because others were asked for the same. If it did not ask, no more than
    half of what is `left` of a held token: else a long wait after a short outage could outlast the token.
    """
    if retry_after is not None:
        return max(delay, retry_after + min(delay, initial))
    return min(delay, max(initial, left / 2)) if left > 0 else delay
