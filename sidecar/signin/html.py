"""The few pages that people see while they sign in: plain words, no script, nothing from elsewhere.

Owns their look and their Content-Security-Policy. Everything put into them is escaped; nothing the network said is.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import Final

_STYLE: Final = (
    ":root{color-scheme:light dark;font:100%/1.5 system-ui,sans-serif}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;background:Canvas;color:CanvasText}"
    "main{max-width:32rem;margin:1rem;padding:2rem;border:1px solid color-mix(in srgb,CanvasText 20%,Canvas);"
    "border-radius:.75rem}"
    "h1{font-size:1.4rem;line-height:1.3;margin:0 0 1rem}p{margin:0 0 1rem}p:last-child{margin:0}"
    "a.do{display:inline-block;padding:.5rem 1.25rem;border-radius:.5rem;background:#1a56c4;color:#fff;"
    "text-decoration:none}a.do:focus-visible{outline:3px solid #e8a300;outline-offset:2px}"
    "small{opacity:.75}"
)
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode("ascii")
POLICY: Final = (
    "Content-Security-Policy",
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)


def page(
    title: str, sentences: Sequence[str], link: tuple[str, str] | None = None, code: str | None = None
) -> bytes:
    """A whole page. `link`: text and path of the one thing to do; `code`: what to tell whoever helps."""
    said = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)
    act = f'<p><a class="do" href="{escape(link[1])}">{escape(link[0])}</a></p>\n' if link else ""
    small = f"<p><small>{escape(code)}</small></p>\n" if code else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escape(title)}</h1>\n{said}{act}{small}</main>\n</body>\n</html>\n"
    ).encode()
