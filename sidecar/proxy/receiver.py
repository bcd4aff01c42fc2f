"""Between the upstream's connection and the exchange it serves: how far an answer is, and who is told of it.

Owns the words the two sides speak. answer.py tells, relay.py is told.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from sidecar.errors import UpstreamFault
from sidecar.proxy.answerhead import AnswerHead


class State(IntEnum):
    IDLE = 0
    HEAD = 1
    BODY = 2
    DONE = 3
    TUNNEL = 4


class Receiver(Protocol):
    """What a connection tells the exchange it serves. Called while data is read: never blocks."""

    def answer_head(self, status: int, reason: bytes, head: AnswerHead, has_body: bool) -> None: ...

    def answer_body(self, data: bytes) -> None: ...

    def answer_whole(self, answer: bytes, head_end: int) -> None:
        """A 200 from its first byte to its last, as it goes to the caller; `head_end`: where the empty line begins."""

    def answer_end(self) -> None: ...

    def flush(self) -> None:
        """All that one segment brought has been told: write it."""

    def interim(self, status: int) -> None:
        """A 1xx answer other than 101."""

    def switched(self, reason: bytes, head: AnswerHead, rest: bytes) -> None:
        """101: the connection is a tunnel now; `rest` are its first bytes."""

    def overdue(self) -> float | None:
        """The deadline has passed: another one (monotonic seconds), or None to give up."""

    def failed(self, fault: UpstreamFault, unanswered: bool) -> None:
        """The answer will not be completed. `unanswered`: the connection died before a byte of it."""
