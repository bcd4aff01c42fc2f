"""`${NAME}` and `${NAME:-default}` in the strings of a configuration.

Owns that notation. It is applied to one scalar after YAML has been read, once, so that a value from the
environment can neither add keys nor be expanded again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_REFERENCE = re.compile(r"\$\{([^{}]*)\}?")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?", re.DOTALL)


def expander(environ: Mapping[str, str]) -> Callable[[str], str]:
    """What replaces every reference in a text, or raises ValueError("what is wrong; what to do")."""

    def value(reference: re.Match[str]) -> str:
        parts = _NAME.fullmatch(reference[1])
        if parts is None or not reference[0].endswith("}"):
            raise ValueError("has a ${ that is no reference; write ${NAME} or ${NAME:-default}")
        name, given, default = parts.groups()
        found = environ.get(name)
        if found:
            return found
        if given is not None:
            return default  # as in a shell, :- also stands in for an empty variable
        state = "not set" if found is None else "empty"
        raise ValueError(f"environment variable {name} is {state}; set it or write ${{{name}:-default}}")

    return lambda text: _REFERENCE.sub(value, text)
