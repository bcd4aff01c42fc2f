"""What a soak consists of: its numbers, its phases, its configuration.

Owns settings, no behaviour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.asking import DELEGATED, MANAGE, OBO_READ, READ

CORES, MEMORY_MIB = 0.5, 128
CLIENT_ID, CLIENT_SECRET = "bench", "bench-secret"
CALM, SLOWLORIS, SLOW_READERS, PIPELINED = "calm", "slowloris", "slow readers", "pipelined"
# Seconds of each in a cycle: short, because the trend's line goes through one point for each.
_CYCLE = ((CALM, 30.0), (SLOWLORIS, 22.0), (SLOW_READERS, 18.0), (PIPELINED, 20.0))
_CYCLES_AT_LEAST = 4  # so that descriptors and tasks can be compared between an early and the last calm
_HEADER_TIMEOUT = 10  # seconds, so that a phase sees hanging request heads closed


@dataclass(frozen=True)
class Plan:
    minutes: float
    rate: float = 200.0  # requests a second
    subjects: int = 10_000
    idle: int = 1_000  # connections
    streams: int = 200  # of events, open all the time
    lifetime: float = 5.0  # seconds, of the application's own and exchanged tokens
    subject_lifetime: float = 300.0  # of the subjects'

    @property
    def settled(self) -> float:
        """Seconds after which the heap is judged: every subject's token has been renewed at least twice.

        Until then the tokens that all came at once give their places to tokens that come at any time, and the heap
        takes its final size. Of a run that is short for that, its second half.
        """
        return min(2 * self.subject_lifetime, self.minutes * 60 / 2)

    def phases(self) -> Iterator[tuple[int, str, float]]:
        """(cycle, what goes on, seconds) to the end."""
        whole = sum(seconds for _, seconds in _CYCLE)
        cycles = max(_CYCLES_AT_LEAST, round(self.minutes * 60 / whole))
        scale = self.minutes * 60 / whole / cycles
        for cycle in range(cycles):
            for name, seconds in _CYCLE:
                yield cycle, name, seconds * scale


def configuration(plan: Plan, secret: Path, api: str, short: str, long: str) -> dict[str, Any]:
    """In front of the API; `short` and `long` are the origins of two token endpoints, by how long their tokens live."""
    realm = "/system/auth/TMPRODB88619984-U/oauth2/token"
    anonymous = "/core/authmgr/v3/oauth2/v2.0/anonymous/token"
    return {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        # Endless streams and slow readers hold a connection each.
        "upstream": {"url": api, "max_connections": 512},
        "client": {"id": CLIENT_ID, "secret": {"file": str(secret)}},
        "credentials": {
            "app": {"grant": "client_credentials", "token_url": short + realm},
            "nobody": {
                "grant": "anonymous",
                "token_url": short + anonymous,
                "token_query": {"user_type": "customer", "domain_hint": "TMPRODB88619984"},
                "scope_prefix": "https://api.ai.egain.cloud/auth/",
            },
            "exchange": {
                "grant": "token_exchange",
                "token_url": short + realm,
                "registration_id": "okta_sso_config_01",
            },
            "agent": {
                "grant": "on_behalf_of",
                "token_url": long + realm,
                "subject": {"username": {"header": "X-On-Behalf-Of"}},
                "allow_subjects": ["*"],
            },
        },
        "tokens": {"max_cached": plan.subjects + 1000},
        "limits": {"header_timeout": f"{_HEADER_TIMEOUT}s"},
        "log": {"level": "info"},  # a line for each request, as in a pod
        "routes": [
            _route("/app/read", "app", READ),
            _route("/app/manage", "app", MANAGE),
            _route("/app/events", "app", READ),
            _route("/app/big", "app", READ),
            _route("/nobody", "nobody", DELEGATED),
            _route("/exchange", "exchange", DELEGATED),
            _route("/agent/read", "agent", OBO_READ),
        ],
    }


def _route(path: str, credential: str, scope: str) -> dict[str, Any]:
    return {"path": path, "credential": credential, "scopes": [scope]}
