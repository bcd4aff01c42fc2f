"""What an operation demands: its security alternatives, each as a persona and the scopes its token must have.

Owns reading `security` and cleaning scopes. Which alternative is taken is choosing.py's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sidecar.config.names import scope_token
from sidecar.openapi.building import Entry, Items, Value, shown, texts
from sidecar.openapi.personas import Persona, is_api_key, persona_of
from sidecar.openapi.references import Dangling, follow

DEFAULT = ".default"
# A placeholder of the document, or how the commercial cloud writes scopes in full. The credential's scope_prefix
# is put back when a token is requested.
_PREFIX = re.compile(r"\$\{SCOPE_PREFIX\}|https?://[^/\s]+/auth/")


@dataclass(frozen=True, slots=True)
class Alternative:
    """One way of being allowed."""

    schemes: tuple[str, ...]
    persona: Persona | None  # None: no token of ours is known to do
    scopes: tuple[str, ...] = ()  # all of them together
    flaw: str | None = None  # why it cannot be used, when it cannot
    keys: tuple[str, ...] = ()  # API keys that are needed besides

    @property
    def usable(self) -> bool:
        return self.persona is not None and self.flaw is None


@dataclass(frozen=True, slots=True)
class Security:
    """The effective security of an operation."""

    declared: bool  # an operation about which nothing is said is not a public one
    open: bool = False  # a request without any token is allowed
    alternatives: tuple[Alternative, ...] = ()


class Schemes:
    """The security schemes of a document."""

    def __init__(self, root: Entry) -> None:
        self._root = root
        components = root.get("components")
        found = components.get("securitySchemes") if isinstance(components, Entry) else None
        self._found = found if isinstance(found, Entry) else Entry()

    def read(self, written: Value) -> Security:
        """`security:` as it is written, of an operation or of the root."""
        if not isinstance(written, Items):
            return Security(declared=False)
        alternatives = [one for one in written if isinstance(one, Entry)]
        return Security(
            declared=not written or bool(alternatives),
            open=not written or any(not one for one in alternatives),
            alternatives=tuple(self._alternative(one) for one in alternatives if one),
        )

    def _alternative(self, requirement: Entry) -> Alternative:
        """All schemes of a requirement are needed together (OpenAPI 3.0.4, Security Requirement Object)."""
        names = tuple(shown(name) for name in requirement)
        keys = tuple(name for name in requirement if is_api_key(self._definition(name)))
        tokens = [name for name in requirement if name not in keys]
        personas = {persona_of(name, self._definition(name)) for name in tokens}
        persona = personas.pop() if len(personas) == 1 else None
        scopes = tuple(dict.fromkeys(plain(one) for name in tokens for one in texts(requirement[name])))
        named = tuple(one for one in scopes if one != DEFAULT)
        scopes = named or scopes  # beside a named scope, .default adds nothing
        return Alternative(names, persona, scopes, flaw_of(scopes), tuple(map(shown, keys)))

    def _definition(self, name: str) -> Value:
        try:
            return follow(self._root, self._found.get(name))
        except Dangling:
            return None


def plain(scope: str) -> str:
    """The scope without its prefix."""
    return _PREFIX.sub("", scope.strip(), count=1)


def flaw_of(scopes: tuple[str, ...]) -> str | None:
    """Why scopes cannot be asked for, if they cannot."""
    for scope in scopes:
        try:
            scope_token(scope)
        except ValueError as error:
            return str(error).partition(";")[0]
        if "${" in scope:
            return "a scope has a placeholder in it"
    return None
