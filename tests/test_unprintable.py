"""What is secret has no printable form, whatever holds it: not by `repr`, `str`, `format`, pickle or a log line."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import json
import logging
import pickle
import pkgutil
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

import sidecar
from sidecar.cli.obtain import Obtained
from sidecar.config.document import Node
from sidecar.config.draft import Draft
from sidecar.config.schema import Client, Credential
from sidecar.config.secretfrom import SecretFrom
from sidecar.oauth.answer import Issued, Reply
from sidecar.oauth.client import Identification, Proof
from sidecar.oauth.request import TokenRequest
from sidecar.proxy.page import Asked, Page
from sidecar.routing.target import Target
from sidecar.secret import Secret
from sidecar.signin.attempt import Attempt
from sidecar.signin.session import Grant
from sidecar.tokens.ask import Prepared
from sidecar.tokens.recipe import recipe
from sidecar.tokens.token import Token
from sidecar.webhook.review import Review

CANARY = "canary-7f3a"


# Names of fields that hold, or may hold, something secret...
SENSITIVE = re.compile(
    r"(^|_)(token|secret|password|authorization|cookie|verifier|assertion|challenge|body|form|claims|private_key|jti|"
    r"line|value|data|code|state|nonce|session|pod|extra_params|query|cookie_value|fields|params|return_to)s?$"
)
# ...and those that are called so and are printable, with the reason.
HARMLESS = {
    "admin.status.Status.tokens": "states of tokens",
    "admin.status.TokenStatus.state": "a word",
    "cli.init.Given.secret": "where it is: {file: ...} or {env: ...}",
    "cli.starter.Answers.secret": "where it is",
    "config.document.Flaw.line": "a number",
    "config.document.Node.line": "a number",
    "config.draft.Spot.line": "a number",
    "config.schema.Client.secret": "a SecretFrom: where it is",
    "config.schema.Client.private_key": "a SecretFrom: where it is",
    "config.schema.Config.tokens": "settings",
    "config.schema.Config.sessions": "settings",
    "config.sessions.Sessions.max_sessions": "a number",
    "config.schema.Limits.replay_body": "a number",
    "proxy.serving.Serving.fields": "names of fields",
    "proxy.serving.Serving.host_line": "the upstream's Host",
    "errors.Problem.line": "a number",
    "openapi.building.Flaw.line": "a number",
    "openapi.mapfile.MapFile.lines": "of a route file",
    "openapi.operations.Operation.line": "a number",
    "openapi.reading._Open.value": "a part of an OpenAPI document",
    "tokens.keeper.Shared.tokens": "settings",
    "tokens.view.TokenView.state": "a word",
    "webhook.template.Template.secret": "the name of a Secret",
    "webhook.wishes.Wishes.secret": "the name of a Secret",
    "whose.FromHeader.all_fields": "names of fields",
    "whose.SubjectRules.all_fields": "names of fields",
}


def held() -> dict[str, object]:
    """Everything that holds a secret or a token, with one in it."""
    secret = Secret(CANARY)
    fields = {
        "grant": "on_behalf_of",
        "token_url": "https://issuer.example/token",
        "extra_params": {"password": CANARY},
        "token_query": {"key": CANARY},
        "subject": {"username": {"value": CANARY}},
    }
    credential = Credential.model_validate(fields)
    sent = TokenRequest(f"https://x/?{CANARY}", CANARY.encode(), CANARY)
    identification = Identification("id", secret, jti=CANARY)
    return {
        "a secret": secret,
        "an identification": identification,
        "a proof": Proof((("client_secret", CANARY),), f"Basic {CANARY}"),
        "a token request": sent,
        "what is sent": Prepared(sent, identification),
        "an answer": Reply(200, json.dumps({"access_token": CANARY}).encode()),
        "an issued token": Issued(CANARY, 60.0, None),
        "a held token": Token(CANARY.encode(), 0.0, 60.0, 30.0, 54.0, frozenset()),
        "a token for a person": Obtained(secret, 60.0, (), (), {"sub": CANARY}),
        "a credential": credential,
        "a recipe": recipe("app", credential, Client(id="id"), ("read",)),
        "a part of a file": Node({"secret": Node(CANARY, 2)}, 1),
        "a file": Draft(str, {"client": {"secret": CANARY}}),
        "a sign-in under way": Attempt("user", f"/?{CANARY}", 0.0, CANARY, CANARY, CANARY),
        "a session's tokens": Grant(secret, secret, 0.0, 60.0, None),
        "a callback": Asked("GET", f"code={CANARY}", (CANARY.encode(),), True),
        "a page": Page(302, (("Set-Cookie", CANARY),), CANARY.encode()),
        "a request's target": Target("/", f"?access_token={CANARY}", None),
        "a pod": Review("uid", "default", False, {"spec": {"env": CANARY}}),
    }


HELD = held()


@pytest.mark.parametrize("holder", HELD.values(), ids=HELD)
def test_a_holder_of_secrets_prints_none(holder: object) -> None:
    """Alone, in a container, formatted, logged, and as a local variable of a traceback."""
    record = logging.LogRecord("x", logging.INFO, "", 1, "%s %r", (holder, holder), None)
    try:
        raise ValueError
    except ValueError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
    shown = [repr(holder), str(holder), f"{holder}", f"{holder!r:>99}", repr([holder]), record.getMessage()]
    assert CANARY not in "".join([*shown, *told.format()])


def test_the_canary_is_where_it_is_looked_for() -> None:
    """Else nothing above would show anything: each holder has it, for those who ask for it by name."""
    secret = HELD["a secret"]
    assert isinstance(secret, Secret)
    assert secret.reveal() == CANARY
    for name, holder in HELD.items():
        assert CANARY in _all_of(holder), name


def _all_of(holder: object) -> str:
    """Every field's content, whatever it prints by itself."""
    if isinstance(holder, Secret):
        return holder.reveal()
    if isinstance(holder, BaseModel):
        return "".join(_all_of(getattr(holder, name)) for name in type(holder).model_fields)
    if dataclasses.is_dataclass(holder):
        return "".join(_all_of(getattr(holder, field.name)) for field in dataclasses.fields(holder))
    if isinstance(holder, tuple):
        return "".join(map(_all_of, holder))
    if isinstance(holder, dict):
        return "".join(map(_all_of, holder.values()))
    return str(holder)


def test_a_secret_is_not_serialised() -> None:
    """Not pickled, copied or written as JSON by accident."""
    secret = Secret(CANARY)
    for serialise in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps):
        with pytest.raises(TypeError) as refused:
            serialise(secret)
        assert CANARY not in str(refused.value)


def test_secrets_are_compared_by_text_and_tell_nothing_when_they_differ() -> None:
    """Equal texts are equal and hash alike; a secret is not its text."""
    assert Secret(CANARY) == Secret(CANARY)
    assert hash(Secret(CANARY)) == hash(Secret(CANARY))
    assert Secret(CANARY) != Secret("other")
    assert Secret(CANARY) != CANARY
    assert not Secret("")


def test_what_is_read_from_a_file_is_a_secret(tmp_path: Path) -> None:
    """Where it is may be printed, what it is not."""
    (tmp_path / "secret").write_text(CANARY)
    source = SecretFrom(file=tmp_path / "secret")
    assert isinstance(source.read(), Secret)
    assert CANARY not in repr(source) + str(source)


# -- the kind, not the line: what is added later must do the same ------------------------------------------------------


def modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(sidecar.__path__, "sidecar."):
        if not found.name.endswith("__main__") and not found.name.startswith("sidecar.demo"):
            yield importlib.import_module(found.name)


def printed() -> Iterator[tuple[str, object]]:
    """(module.Class.field, type) of each field that a generated `repr` shows."""
    for module in modules():
        for name, kind in vars(module).items():
            if not inspect.isclass(kind) or kind.__module__ != module.__name__:
                continue
            where = f"{module.__name__.removeprefix('sidecar.')}.{name}"
            if dataclasses.is_dataclass(kind):
                yield from ((f"{where}.{f.name}", f.type) for f in dataclasses.fields(kind) if f.repr)
            elif issubclass(kind, BaseModel):
                yield from ((f"{where}.{n}", f.annotation) for n, f in kind.model_fields.items() if f.repr)
            elif issubclass(kind, tuple) and kind.__repr__.__code__.co_filename != module.__file__:
                yield from ((f"{where}.{n}", None) for n in getattr(kind, "_fields", ()))


SHOWN = {name: kind for name, kind in printed() if SENSITIVE.search(name.rpartition(".")[2])}


def test_no_field_that_sounds_secret_is_printed() -> None:
    """It is left out of `repr`, a `Secret`, or listed above with a reason."""
    harmless = re.compile(r"(Secret|tuple\[Secret, ...\]|int|float|bool)( \| None)?")
    assert [
        name for name, kind in SHOWN.items() if not harmless.fullmatch(str(kind)) and name not in HARMLESS
    ] == []


def test_the_list_of_harmless_fields_has_no_dead_entries() -> None:
    """What is listed exists and is printed."""
    assert [name for name in HARMLESS if name not in SHOWN] == []
