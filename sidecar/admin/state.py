"""What the admin pages need to know of the running process.

Owns the one interface between the pages and the rest: whoever wires the process together provides it. All of
it is in memory and answers at once; nothing here asks the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from sidecar.clock import Clock
from sidecar.metrics import Metrics
from sidecar.tokens.view import TokenView


class AdminState(Protocol):
    """The process as its admin listener sees it; never holds a token or a secret in clear."""

    @property
    def version(self) -> str: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def metrics(self) -> Metrics: ...

    @property
    def draining(self) -> bool:
        """SIGTERM was received."""
        ...

    def missing(self) -> Sequence[str]:
        """Start-up tokens never obtained yet, each as a text for people."""
        ...

    def tokens(self) -> Sequence[TokenView]:
        """Every token keeper there is."""
        ...

    def config(self) -> Mapping[str, object]:
        """The effective configuration, secrets as where they come from."""
        ...

    def warnings(self) -> Sequence[str]:
        """What was doubtful about the configuration when it was loaded."""
        ...
