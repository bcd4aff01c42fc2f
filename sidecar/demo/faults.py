"""What can be made to go wrong, at run time, at the token endpoint, the API and the sign-in pages.

Owns the fault models and how they are set from JSON (`/demo/faults`); wire.py carries them out. A fault is
active while its `kind` is not `none` (or it changes something else) and, when `times` is a number, for that
many requests; with `path`, only for paths that begin like it.

    token  down                  connection reset
           close                 connection closed without an answer
           status                `status`, `headers`, `body`
           error                 RFC 6749 error JSON: `status`, `error`
           throttled             429 with `retry_after`
           garbage, empty, html  200 without a token
           hang                  nothing, until release(), then closed
           hold                  nothing, until release(), then the normal answer
           headers_only          a head that promises a body, then as hang
           drip, flood           a body of one byte a second; one without an end
           lost                  carried out (a code is used up, a refresh token rotated), then as close
    api    reset, close, status, hang, hold           as above
           unauthorized, forbidden, throttled         eGain's 401-104, 403-197, 429-001
           cut                                        head and half a body, then closed
    signin reset, close, status, hang, hold           as above, for pages and logout, too
           error                                      sent back with `error`, without a page
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

TokenFaultKind = Literal[
    "none", "down", "close", "status", "error", "throttled", "garbage", "empty", "html",
    "hang", "hold", "headers_only", "drip", "flood", "lost",
]  # fmt: skip
ApiFaultKind = Literal[
    "none", "reset", "close", "status", "unauthorized", "forbidden", "throttled", "hang", "hold", "cut"
]
SignInFaultKind = Literal["none", "reset", "close", "status", "error", "hang", "hold"]


class Literally(str):
    """JSON text that goes into an answer as it is: `Literally("1e999")`."""

    __slots__ = ()


@dataclass(slots=True)
class Fault:
    """What both sides have in common."""

    delay: float = 0.0  # seconds before anything else
    path: str = ""  # befalls only paths that begin like this
    times: int | None = None  # how many requests it befalls; None: until cleared
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""
    retry_after: str | None = None


@dataclass(slots=True)
class TokenFault(Fault):
    kind: TokenFaultKind = "none"
    error: str = "invalid_grant"
    # Of an otherwise normal answer:
    scope: str | None = None  # issue this scope instead of the requested one
    set: dict[str, Any] = field(default_factory=dict)  # members put into the answer; may be Literally(...)
    omit: list[str] = field(default_factory=list)  # members left out


@dataclass(slots=True)
class ApiFault(Fault):
    kind: ApiFaultKind = "none"


@dataclass(slots=True)
class SignInFault(Fault):
    kind: SignInFaultKind = "none"
    error: str = "server_error"
    # Of an otherwise normal authorization response:
    set: dict[str, str] = field(default_factory=dict)  # parameters put into it: another `iss`, say
    omit: list[str] = field(default_factory=list)  # parameters left out


T = TypeVar("T", bound=Fault)


class Switch(Generic[T]):
    """One side's fault; its attributes are read and written through it."""

    def __init__(self, normal: type[T]) -> None:
        self._normal = normal
        self.fault: T = normal()
        self._release = asyncio.Event()

    def on(self, **changes: Any) -> None:
        """Switch on: `on(kind="status", status=503, times=2)`. Everything not named is as normal."""
        self.fault = self.parse(changes)

    def off(self) -> None:
        self.fault = self._normal()

    def parse(self, changes: Mapping[str, Any]) -> T:
        """Check names and values; ValueError says what is wrong."""
        hints = get_type_hints(self._normal)
        for name, value in changes.items():
            if name not in hints:
                raise ValueError(f"{name} is not one of {', '.join(sorted(hints))}")
            try:
                TypeAdapter(hints[name]).validate_python(value, strict=True)
            except ValidationError:
                wanted = get_args(hints[name]) if name == "kind" else (hints[name],)
                raise ValueError(
                    f"{name} cannot be {value!r}; one of {', '.join(map(str, wanted))}"
                ) from None
        return self._normal(**changes)

    def take(self, path: str) -> T:
        """What befalls this request: the fault, or the normal state. Counts against `times`."""
        fault = self.fault
        if not path.startswith(fault.path):
            return self._normal()
        if fault.times is not None:
            if fault.times <= 0:
                return self._normal()
            fault.times -= 1
        return dataclasses.replace(fault)

    def release(self) -> None:
        """Let what hangs or is held go on."""
        self._release.set()
        self._release = asyncio.Event()

    async def released(self) -> None:
        await self._release.wait()


class Faults:
    """All sides."""

    def __init__(self) -> None:
        self.token = Switch(TokenFault)
        self.api = Switch(ApiFault)
        self.signin = Switch(SignInFault)
        self._sides: dict[str, Switch[Any]] = {"token": self.token, "api": self.api, "signin": self.signin}

    def clear(self) -> None:
        """Everything is normal again, and nothing is held any longer."""
        for switch in self._sides.values():
            switch.off()
        self.release()

    def release(self) -> None:
        for switch in self._sides.values():
            switch.release()

    def as_json(self) -> dict[str, Any]:
        return {side: dataclasses.asdict(switch.fault) for side, switch in self._sides.items()}

    def set_from_json(self, wanted: object) -> None:
        """`{"token": {"kind": "down"}, "api": {}}`: a side that is named is set whole, or ValueError."""
        if not isinstance(wanted, dict) or wanted.keys() - self._sides:
            raise ValueError('write {"token": {...}}, "api" and "signin" likewise')
        parsed: dict[str, Any] = {}
        for side, changes in wanted.items():
            if not isinstance(changes, dict):
                raise ValueError(f"{side} must be an object")
            parsed[side] = self._sides[side].parse(changes)
        for side, fault in parsed.items():
            self._sides[side].fault = fault
