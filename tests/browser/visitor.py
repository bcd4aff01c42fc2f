"""A person's browser: one profile of a real Chromium, with everything it was given kept as evidence.

Owns driving it and looking for what must not be there. What pages mean is the tests' business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidecar.demo.directory import PASSWORD

INSTALLED = Path(__file__).parent.parent.parent / ".browser"
SCREENSHOTS = INSTALLED / "screenshots"
# The resolver's rules give these tests names of their own; without them a name would leave the machine.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-features=MediaRouter,OptimizationHints",
    "--host-resolver-rules=MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1, MAP * ~NOTFOUND, "
    "EXCLUDE 127.0.0.1, EXCLUDE 127.0.0.2",
]  # fmt: skip
_JWT = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")
_STORED = """async () => JSON.stringify([
  document.cookie, {...localStorage}, {...sessionStorage},
  await indexedDB.databases(), await caches.keys(), document.documentElement.outerHTML, location.href,
  document.referrer,
])"""


@dataclass
class Visitor:
    """One profile, with one window to begin with."""

    context: Any
    window: Any
    har: Path
    violations: list[str] = field(default_factory=list)  # of content security policies
    held: list[str] = field(default_factory=list)  # what was found in pages and cookies on the way

    async def go(self, url: str, window: Any = None) -> int:
        """Open an address as if it were typed; the last answer's status."""
        answer = await (window or self.window).goto(url)
        return int(answer.status)

    async def text(self, window: Any = None) -> str:
        return str(await (window or self.window).inner_text("body"))

    async def heading(self) -> str:
        return str(await self.window.inner_text("h1"))

    async def sign_in(self, name: str = "alice", password: str = PASSWORD, *, consent: bool = True) -> None:
        """Fill in the stand-in's pages, of which the first is open; ends when the browser has left them."""
        window = self.window
        await window.fill("#name", name)
        await window.fill("#password", password)
        await window.click("button[value=allow]")
        if consent:
            await window.wait_for_selector("text=Allow access?")
            await window.click("button[value=allow]")
        await window.wait_for_url(lambda url: "/oauth2/" not in url)

    async def cookies(self) -> dict[str, dict[str, Any]]:
        """The sidecar's, by name."""
        found = await self.context.cookies()
        return {one["name"]: one for one in found if "auth-sidecar-" in one["name"]}

    async def fetch(self, path: str, **options: Any) -> dict[str, Any]:
        """What a script of the page that is open gets."""
        script = """async ([path, options]) => {
          const answer = await fetch(path, options);
          const text = await answer.text();
          return { status: answer.status, url: answer.url, text, code: answer.headers.get("X-Auth-Sidecar-Error") };
        }"""
        told: dict[str, Any] = await self.window.evaluate(script, [path, options])
        with contextlib.suppress(ValueError):
            told["json"] = json.loads(told["text"])
        return told

    async def shot(self, name: str) -> None:
        """A picture for people to look at, and what the page holds at this moment as evidence."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await self.window.screenshot(path=str(SCREENSHOTS / f"{name}.png"))
        await self.look()

    async def look(self) -> None:
        """Keep what scripts could read here and now, and all cookies."""
        self.held.append(json.dumps(await self.context.cookies()))
        for window in self.context.pages:
            if window.url.startswith("http"):
                self.held.append(await window.evaluate(_STORED))

    async def leave(self, sent: bytes | bytearray, secrets: Iterable[str]) -> None:
        """Close the profile; AssertionError if it ever held a token. `sent`: every byte it got from the sidecar."""
        await self.look()
        await self.context.close()  # writes the archive of all requests and answers
        evidence = "\n".join([*self.held, self.har.read_text(encoding="utf-8"), sent.decode("latin-1")])
        # The archive is JSON: what has quotes or backslashes is escaped there, a token has none.
        for secret in set(secrets):
            assert secret not in evidence, f"the browser was given a secret: {secret[:12]}..."
        assert not _JWT.search(evidence), "the browser was given a JWT"
        assert not self.violations, self.violations


@contextlib.asynccontextmanager
async def visiting(
    browser: Any, folder: Path, *, tls: bool = False, dark: bool = False
) -> AsyncIterator[Visitor]:
    """A new profile, as of a person who has never been here."""
    har = folder / f"{id(object())}.har"
    context = await browser.new_context(
        record_har_path=str(har), record_har_content="embed", ignore_https_errors=tls, locale="en-US",
        viewport={"width": 900, "height": 640}, color_scheme="dark" if dark else "light",
    )  # fmt: skip
    context.set_default_timeout(15_000)
    visitor = Visitor(context, await context.new_page(), har)

    def said(message: Any) -> None:
        if "Content Security Policy" in message.text or message.text.startswith("CSP "):
            visitor.violations.append(message.text)

    context.on("console", said)
    await context.add_init_script(
        "addEventListener('securitypolicyviolation', (e) => console.error('CSP ' + e.violatedDirective + e.blockedURI))"
    )
    try:
        yield visitor
    finally:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(context.close(), 10)
