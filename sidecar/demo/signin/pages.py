"""The pages that people see: sign in, consent, sign out, and what went wrong.

Owns how they look: one HTML document each, without scripts and without anything from elsewhere. Everything that
is shown passes `escape`. Forms carry `csrf` and whatever else the caller hides in them.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files

from sidecar.demo.directory import Person

STYLE = files("sidecar.demo.signin").joinpath("page.css").read_text(encoding="utf-8")
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_SERVICES = {
    "knowledge.portalmgr": ("Read the knowledge portals", "Change things in the knowledge portals"),
    "knowledge.contentmgr": ("Read prompts and content", "Change prompts and content"),
    "core.aiservices": ("Search with the AI services", "Get answers made by the AI services"),
}
_OTHERS = {
    "openid": "Know who you are",
    "profile": "See your name",
    "email": "See your email address",
    "offline_access": "Go on while you are away",
}


def login(
    action: str,
    hidden: Mapping[str, str],
    client: str,
    persona: str,
    name: str,
    notes: Iterable[str],
    failed: bool,
) -> str:
    """The form with name and password; `name` is filled in, `failed`: they were wrong the last time."""
    label, kind = ("User name", "text") if persona == "user" else ("Email", "email")
    wrong = ' aria-invalid="true" aria-describedby="failed"' if failed else ""
    alert = f'<p role="alert" id="failed">{label} or password is wrong.</p>' if failed else ""
    first, second = ("", " autofocus") if name else (" autofocus", "")
    body = f"""<h1>Sign in</h1>
<p>to go on to {escape(client)}</p>
{alert}
<form method="post" action="{escape(action)}">
{_hidden(hidden)}
<label for="name">{label}</label>
<input id="name" name="name" type="{kind}" value="{escape(name)}" autocomplete="username" autocapitalize="none"
 spellcheck="false" required{first}{wrong}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required{second}{wrong}>
<div class="buttons"><button class="main" name="decision" value="allow">Sign in</button>
<button name="decision" value="deny" formnovalidate>Cancel</button></div>
</form>"""
    return _document("Sign in", body, notes)


def consent(
    action: str, hidden: Mapping[str, str], client: str, person: Person, scopes: Iterable[str]
) -> str:
    items = "\n".join(f"<li>{escape(_meaning(scope))} <code>{escape(scope)}</code></li>" for scope in scopes)
    body = f"""<h1>Allow access?</h1>
<p><strong>{escape(client)}</strong> asks to act for you, <strong>{escape(person.subject)}</strong>, and to:</p>
<ul>
{items}
</ul>
<form method="post" action="{escape(action)}">
{_hidden(hidden)}
<div class="buttons"><button class="main" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button></div>
</form>"""
    return _document("Allow access?", body)


def confirm_logout(action: str, hidden: Mapping[str, str], person: Person) -> str:
    body = f"""<h1>Sign out?</h1>
<p>You are signed in as <strong>{escape(person.subject)}</strong>.</p>
<form method="post" action="{escape(action)}">
{_hidden(hidden)}
<div class="buttons"><button class="main">Sign out</button></div>
</form>"""
    return _document("Sign out?", body)


def signed_out() -> str:
    return _document("Signed out", "<h1>You are signed out</h1>\n<p>You may close this page.</p>")


def refused(title: str, message: str) -> str:
    """What the person can do about it is in the message."""
    return _document(title, f'<h1>{escape(title)}</h1>\n<p role="alert">{escape(message)}</p>')


def _meaning(scope: str) -> str:
    service, _, verb = scope.rpartition(".")
    if service in _SERVICES:
        return _SERVICES[service][verb == "manage"]
    return _OTHERS.get(scope, "Use more of eGain")


def _hidden(fields: Mapping[str, str]) -> str:
    return "\n".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in fields.items()
    )


def _document(title: str, body: str, notes: Iterable[str] = ()) -> str:
    lines = "\n".join(f"<p>{escape(note)}</p>" for note in notes)
    footer = f"\n<footer>\n{lines}\n</footer>" if lines else ""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · eGain stand-in</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<p class="brand"><strong>eGain</strong> stand-in for demos and tests</p>
{body}
</main>{footer}
</body>
</html>
"""
