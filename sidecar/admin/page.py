"""The status page: one HTML document without scripts, fonts, images or anything else from elsewhere.

Owns how a `Status` looks. Everything that is shown passes `escape`. There are no style attributes, so that
the content security policy can allow one style sheet by its hash; bars are SVG, whose geometry is not style.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from html import escape
from importlib.resources import files

from sidecar.admin.bar import bar
from sidecar.admin.status import Condition, Status, TokenStatus
from sidecar.admin.words import count, duration, seconds
from sidecar.metrics import RouteView

REFRESH_SECONDS = 2
STYLE = files("sidecar.admin").joinpath("page.css").read_text(encoding="utf-8")
STYLE_HASH = "sha256-" + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

# How a condition is drawn: class, symbol (not colour alone), words.
_CONDITIONS: dict[Condition, tuple[str, str, str]] = {
    "fresh": ("good", "✓", "fresh"),
    "refreshing": ("busy", "↻", "fetching"),
    "failing": ("warn", "!", "refresh fails, token still good"),
    "missing": ("bad", "✕", "no usable token"),
    "idle": ("none", "–", "not needed yet"),
}
_CLASSES = ("2xx", "3xx", "4xx", "5xx")


def render(status: Status, live: bool = True) -> str:
    """The whole document; a `live` one loads itself again."""
    state, symbol, word = _readiness(status)
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if live else ""
    pace = f"loads again every {REFRESH_SECONDS} s" if live else "paused"
    toggle = '<a href="?refresh=off">pause</a>' if live else '<a href="?">resume</a>'
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{again}
<title>{word} · auth-sidecar</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>auth-sidecar</h1>
<span class="pill {state}" role="status"><span aria-hidden="true">{symbol}</span>{word}</span>
<nav aria-label="Other pages">{toggle}<a href="status.json">json</a><a href="metrics">metrics</a>
<a href="config">config</a></nav>
</header>
<main>
{_tiles(status)}
{_notes("bad", "Not obtained yet", status.missing)}
{_notes("warn", "Warnings", status.warnings)}
<h2 id="tokens">Tokens</h2>
{_tokens(status)}
<h2 id="routes">Routes</h2>
{_routes(status)}
</main>
<footer>auth-sidecar {escape(status.version)} · {pace}</footer>
</body>
</html>
"""


def _readiness(status: Status) -> tuple[str, str, str]:
    if status.draining:
        return "warn", "◐", "draining"
    return ("good", "●", "ready") if status.ready else ("bad", "○", "not ready")


def _tiles(status: Status) -> str:
    idle, busy = status.upstream_connections["idle"], status.upstream_connections["busy"]
    tokens = count(status.tokens_held)
    if status.tokens_held != status.tokens_total:
        tokens += f" <small>of {count(status.tokens_total)}</small>"
    tiles = (
        ("Up for", duration(status.uptime_s)),
        ("Requests", count(status.requests_total)),
        ("In flight", count(status.requests_in_flight)),
        ("Upstream", f"{count(busy)} <small>busy,</small> {count(idle)} <small>idle</small>"),
        ("Tokens held", tokens),
    )
    return f'<dl class="tiles">{_definitions(tiles)}</dl>'


def _notes(state: str, title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section class="note {state}"><strong>{title}</strong><ul>{items}</ul></section>'


def _tokens(status: Status) -> str:
    if not status.tokens:
        return '<p class="empty">None yet: tokens for a subject are fetched when a request needs them.</p>'
    cards = "".join(map(_card, status.tokens))
    more = status.tokens_total - len(status.tokens)
    note = f'<p class="more">… and {count(more)} more, none of them in a worse state.</p>' if more else ""
    return f'<div class="cards">{cards}</div>{note}'


def _card(token: TokenStatus) -> str:
    state, symbol, word = _CONDITIONS[token.condition]
    scopes = "".join(f"<li><code>{escape(scope)}</code></li>" for scope in token.scopes)
    return (
        f'<article class="card"><div class="top"><h3>{escape(token.credential)}</h3>'
        f'<span class="pill {state}"><span aria-hidden="true">{symbol}</span>{word}</span></div>'
        f'<ul class="scopes" aria-label="Scopes">{scopes or "<li>no scope</li>"}</ul>'
        f'{bar(token)}<dl class="facts">{_definitions(_facts(token))}</dl></article>'
    )


def _facts(token: TokenStatus) -> Iterable[tuple[str, str]]:
    if token.lifetime_s is not None and token.expires_in_s is not None:
        yield "Time left", duration(token.expires_in_s) if token.expires_in_s > 0 else "expired"
        yield "Lifetime", duration(token.lifetime_s)
    if token.next_try_in_s is not None:
        yield "Next try", f"in {duration(max(token.next_try_in_s, 0))}"
    elif token.refresh_in_s is not None:
        yield "Next refresh", f"in {duration(token.refresh_in_s)}" if token.refresh_in_s > 0 else "now"
    yield "Obtained", f"{count(token.rotations)} ×"
    if token.subject is not None:
        yield "Subject (digest)", f"<code>{escape(token.subject)}</code>"
    if not token.in_use:
        yield "Use", "none lately"
    if token.last_error is not None:
        yield "Last error", f'<span class="error">{escape(token.last_error)}</span>'


def _routes(status: Status) -> str:
    used = [route for route in status.routes if route.requests]
    if not used:
        return f'<p class="empty">No request yet; {count(status.routes_total)} routes are mapped.</p>'
    heads = "".join(f'<th scope="col">{name}</th>' for name in ("Route", "Requests", *_CLASSES, *_MORE))
    rows = "".join(map(_row, used))
    more = status.routes_total - len(used)
    note = f'<p class="more">{count(more)} more without a request or further down.</p>' if more else ""
    return (
        '<div class="scroll" tabindex="0" role="region" aria-labelledby="routes"><table>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{note}"
    )


_MORE = ("Errors", "401 / 403", "p50", "p95")


def _row(route: RouteView) -> str:
    classes = "".join(_number(route.by_class.get(name, 0)) for name in _CLASSES)
    return (
        f'<tr><th scope="row"><code>{escape(route.label)}</code></th>'
        f"<td>{count(route.requests)}</td>{classes}"
        f"{_number(route.errors, 'some')}{_number(route.rejections, 'some')}"
        f"<td>{seconds(route.p50)}</td><td>{seconds(route.p95)}</td></tr>"
    )


def _number(number: int, alarm: str = "") -> str:
    mark = alarm if number else "zero"
    return f'<td class="{mark}">{count(number)}</td>' if mark else f"<td>{count(number)}</td>"


def _definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """Values are HTML already."""
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in pairs)
