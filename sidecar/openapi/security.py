"""What an operation demands: its security alternatives, each as a persona and the scopes its token must have.

Owns reading `security` and cleaning scopes. Which alternative is taken is choosing.py's.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from sidecar.config.names import scope_token
from sidecar.openapi.building import MAX_LIST, MAX_TEXT, DocumentError, Entry, Items, Value, shown, texts
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
        self._read: dict[int, Security] = {}  # the root's `security` is every operation's that has none

    def read(self, written: Value) -> Security:
        """`security:` as it is written, of an operation or of the root. Raises DocumentError."""
        if not isinstance(written, Items):
            return Security(declared=False)
        known = self._read.get(id(written))
        if known is None:
            known = self._read[id(written)] = self._security(written)
        return known

    def _security(self, written: Items) -> Security:
        if len(written) > MAX_LIST or any(isinstance(one, Entry) and len(one) > MAX_LIST for one in written):
            raise DocumentError(written.line, f"has more than {MAX_LIST} items in one security; shorten it")
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
        flaw = _malformed(requirement) or flaw_of(scopes)
        return Alternative(names, persona, scopes, flaw, tuple(map(shown, keys)))

    def _definition(self, name: str) -> Value:
        try:
            return follow(self._root, self._found.get(name))
        except Dangling:
            return None


def plain(scope: str) -> str:
    """The scope without its prefix."""
    return _PREFIX.sub("", scope.strip(), count=1)


def _malformed(requirement: Entry) -> str | None:
    """Why its scopes cannot all be read, if so: fewer of them would be another demand."""
    for written in requirement.values():
        listed = written if isinstance(written, Items) else [written]
        if len(listed) > MAX_LIST:
            return f"it has more than {MAX_LIST} scopes"
        if not all(isinstance(one, str) for one in listed):
            return "its scopes are not a list of texts"
    return None


@functools.lru_cache(maxsize=1024)  # operations repeat the same few lists
def flaw_of(scopes: tuple[str, ...]) -> str | None:
    """Why scopes cannot be asked for, if they cannot."""
    for scope in scopes:
        if len(scope) >= MAX_TEXT:
            return "a scope is too long"
        try:
            scope_token(scope)
        except ValueError as error:
            return str(error).partition(";")[0]
        if "${" in scope:
            return "a scope has a placeholder in it"
    return None
