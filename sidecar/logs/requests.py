"""The line per request, written without a processor chain.

Owns the fields of `event: "request"`. A structlog call costs tens of microseconds, as much as passing the
request on; here what does not change from request to request is written once per (route, credential, method, status),
and a line is one f-string.
"""

from __future__ import annotations

from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted  # a C function

from sidecar.clock import Clock
from sidecar.logs.line import printable
from sidecar.logs.sink import Sink

_MAX_METHOD = 32
_MAX_FRAGMENTS = 10_000  # routes, methods and statuses; the last two come from the network


class RequestLog:
    """JSON lines. `error` is a code of the error tree, `subject` a digest."""

    def __init__(self, sink: Sink, clock: Clock, enabled: bool = True) -> None:
        self.enabled = enabled
        self.sink = sink
        self._clock = clock
        self._fragments: dict[tuple[str, str | None, str, int], str] = {}
        self._second = -1
        self._date = ""

    def write(
        self,
        route: str,
        method: str,
        status: int,
        seconds: float,
        credential: str | None,
        error: str | None,
        subject: str | None = None,
    ) -> None:
        """Write the line of a finished request, unless request lines are switched off."""
        if not self.enabled:
            return
        what = (route, credential, method, status)
        middle = self._fragments.get(what) or self._fragment(what)
        if error is None and subject is None:
            self.sink.gather(f'{{"timestamp": "{self._now()}{middle}{seconds * 1000:.3f}, "error": null}}\n')
            return
        failed = "null" if error is None else quoted(error)
        whose = "" if subject is None else f', "subject": {quoted(subject)}'
        self.sink.gather(
            f'{{"timestamp": "{self._now()}{middle}{seconds * 1000:.3f}, "error": {failed}{whose}}}\n'
        )

    def _fragment(self, what: tuple[str, str | None, str, int]) -> str:
        """What stands between the timestamp and the duration."""
        if len(self._fragments) >= _MAX_FRAGMENTS:
            self._fragments.clear()
        route, credential, method, status = what
        name = "null" if credential is None else quoted(credential)
        fragment = self._fragments[what] = (
            f'", "level": "info", "event": "request", "route": {quoted(route)}, "credential": {name}, '
            f'"method": {quoted(method[:_MAX_METHOD])}, "status": {status}, "duration_ms": '
        )
        return fragment

    def _now(self) -> str:
        """ISO 8601 in UTC; the part down to the second is made once a second."""
        wall = self._clock.wall()
        second = int(wall)
        if second != self._second:
            self._second = second
            self._date = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._date}.{int((wall - second) * 1_000_000):06d}Z"


class ConsoleRequestLog(RequestLog):
    """The same for people: short, aligned, read on a terminal."""

    def write(
        self,
        route: str,
        method: str,
        status: int,
        seconds: float,
        credential: str | None,
        error: str | None,
        subject: str | None = None,
    ) -> None:
        if not self.enabled:
            return
        rest = "".join(f" {key}={value}" for key, value in (("error", error), ("subject", subject)) if value)
        what = f"{status} {printable(method[:_MAX_METHOD]):<7} {printable(route)} {seconds * 1000:.3f} ms"
        self.sink.gather(f"{self._now()} [info     ] request {what} credential={credential or '-'}{rest}\n")
