"""The page of an app that the demo serves: docs/sign-in.md shows it, anybody gets it, its policy fits it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import aiohttp

from sidecar.demo.standin import StandIn
from sidecar.demo.webpage import TEXT

DOC = Path(__file__).parent.parent / "docs" / "sign-in.md"


def test_page_is_the_one_in_the_documentation() -> None:
    """What is read there is what the demo serves, and what the browser tests use."""
    (shown,) = re.findall(r"^```html\n(.*?)^```$", DOC.read_text(), re.MULTILINE | re.DOTALL)
    assert shown == TEXT
    assert len(TEXT.splitlines()) < 32


async def test_page_is_served_to_anybody_and_only_read() -> None:
    """Without a token, outside the API's records; no other method."""
    async with StandIn() as egain, aiohttp.ClientSession() as http:
        async with http.get(f"{egain.base}/demo/page") as answer:
            assert (answer.status, answer.content_type) == (200, "text/html")
            assert await answer.text() == TEXT
        async with http.post(f"{egain.base}/demo/page") as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert not egain.api_requests


async def test_policy_allows_the_page_s_own_script_and_nothing_else() -> None:
    """The hashes are those of its elements; forms end at the stand-in, where signing out leads."""
    async with (
        StandIn() as egain,
        aiohttp.ClientSession() as http,
        http.get(f"{egain.base}/demo/page") as answer,
    ):
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        base = egain.base
    for element in ("script", "style"):
        (content,) = re.findall(f"<{element}[^>]*>(.*?)</{element}>", TEXT, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert policy.pop(f"{element}-src") == f"'sha256-{digest}'"
    assert policy.pop("form-action") == f"'self' {base}"
    assert policy == {
        "default-src": "'none'", "connect-src": "'self'", "base-uri": "'none'", "frame-ancestors": "'none'",
    }  # fmt: skip
