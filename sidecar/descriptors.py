"""How many descriptors the process may have, and how many of them callers may take.

Owns that limit. Knows nothing of connections: it says numbers.
"""

from __future__ import annotations

import contextlib
import resource
import sys


def raise_limit() -> None:
    """As many as the system lets us have: the soft limit, often 1,024, is for programs that use select()."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # a system may not mean what it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def for_callers() -> int:
    """How many connections callers may have at this moment: half.

    The other half is for what serves them: the API, token requests, the secret's file, probes. A process without a
    descriptor left cannot even refresh a token, and whoever may open connections could bring it there.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft // 2
