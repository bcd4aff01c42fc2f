"""The judge itself: what must not be in a browser is found wherever it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.elsewhere import Elsewhere
from tests.browser.visitor import visiting

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]  # the browser's loop

SECRET = "a-secret-that-no-browser-may-have"
PLACES = {
    "page": f"<p>{SECRET}</p>",
    "local storage": f"<script>localStorage.x = '{SECRET}'</script>",
    "session storage": f"<script>sessionStorage.x = '{SECRET}'</script>",
    "cookie": f"<script>document.cookie = 'x={SECRET}'</script>",
}


@pytest.mark.parametrize("place", [*PLACES, "header", "answer to a script", "sidecar's bytes"])
async def test_secret_is_found(browser: Any, other: Elsewhere, tmp_path: Path, place: str) -> None:
    """Each place for itself: without it the same visit is clean."""
    for secret in (SECRET, "another"):
        async with visiting(browser, tmp_path) as visitor:
            headers = {"X-Told": SECRET} if place == "header" else {}
            other.put(PLACES.get(place, "<p>nothing</p>"), **headers)
            other.put(SECRET if place == "answer to a script" else "", "/asked")
            await visitor.go(other.at("127.0.0.1"))
            await visitor.fetch("/asked")
            sent = SECRET.encode() if place == "sidecar's bytes" else b""
            if secret == SECRET:
                with pytest.raises(AssertionError, match="given a secret"):
                    await visitor.leave(sent, [secret])
            else:
                await visitor.leave(sent, [secret])


async def test_jwt_is_found(browser: Any, other: Elsewhere, tmp_path: Path) -> None:
    """Whoever has issued it."""
    other.put("<p>eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl</p>")
    async with visiting(browser, tmp_path) as visitor:
        await visitor.go(other.at("127.0.0.1"))
        with pytest.raises(AssertionError, match="JWT"):
            await visitor.leave(b"", [])


async def test_violation_of_a_policy_is_found(browser: Any, other: Elsewhere, tmp_path: Path) -> None:
    """By the page's own event and by the browser's words."""
    other.put("<script>document.body.append('x')</script>", Content_Security_Policy="script-src 'none'")
    async with visiting(browser, tmp_path) as visitor:
        await visitor.go(other.at("127.0.0.1"))
        with pytest.raises(AssertionError, match="script-src"):
            await visitor.leave(b"", [])
