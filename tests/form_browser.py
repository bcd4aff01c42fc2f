"""A browser without scripts: cookies, redirects as long as they stay on the site, and forms, filled in and sent.

Knows nothing of OAuth; `SignInPages` on top knows the stand-in's pages.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

import aiohttp

from sidecar.demo.directory import PASSWORD
from sidecar.demo.standin import StandIn


class Form(HTMLParser):
    """The form of a page: where it goes, and what it says already."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}
        self.buttons: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        elif tag == "input":
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "button":
            self.buttons.append(given.get("value", ""))


@dataclass
class Page:
    """Where the browser is. Away from the site there is only the address."""

    url: str
    status: int | None = None
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def form(self) -> Form:
        return Form(self.text)

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))


class FormBrowser:
    """Stays on one origin; the caller closes `http`."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.http = aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True))  # cookies of 127.0.0.1

    async def get(self, url: str) -> Page:
        return await self._go("GET", url, None)

    async def send(self, page: Page, **fields: str) -> Page:
        """Fill in the page's form and send it."""
        form = page.form
        assert form.action is not None, page.text
        return await self._go("POST", urljoin(page.url, form.action), {**form.fields, **fields})

    async def _go(self, method: str, url: str, form: Mapping[str, str] | None) -> Page:
        while url.startswith(self.base + "/"):
            async with self.http.request(method, url, data=form, allow_redirects=False) as answer:
                if answer.status != 303:
                    return Page(url, answer.status, await answer.text(), answer.headers)
                method, form, url = "GET", None, urljoin(url, answer.headers["Location"])
        return Page(url)


REDIRECT_URI = "http://127.0.0.1:8080/.auth/callback"
SCOPE = "knowledge.portalmgr.read core.aiservices.read"


@dataclass
class SignInPages:
    """One person's browser at the stand-in; a client that does everything right."""

    egain: StandIn
    customer: bool = False
    public: bool = False
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    def __post_init__(self) -> None:
        self.browser = FormBrowser(self.egain.base)
        self.name = "jane@example.com" if self.customer else "alice"

    def url(self, **changes: str | None) -> str:
        """A right authorization request, with changes; None: left out."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        right = {
            "client_id": self.egain.public_client_id if self.public else self.egain.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT_URI,
            "scope": SCOPE,
            "state": "the state",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            "nonce": "the nonce",
        }
        kept = {name: value for name, value in (right | changes).items() if value is not None}
        egain = self.egain
        base = egain.customer_authorization_url if self.customer else egain.user_authorization_url
        return f"{base}?{urlencode(kept)}"

    async def log_in(self, page: Page, name: str | None = None, password: str = PASSWORD) -> Page:
        """Fill in the login form; gives the page after it."""
        return await self.browser.send(page, name=name or self.name, password=password, decision="allow")

    async def sign_in(self, **changes: str | None) -> Page:
        """Go through whatever pages come, allowing everything; gives the address back at the client."""
        page = await self.browser.get(self.url(**changes))
        if "password" in page.form.fields:
            page = await self.log_in(page)
        if page.status is not None:
            page = await self.browser.send(page, decision="allow")
        return page

    async def redeem(self, issued: str, **changes: str | None) -> tuple[int, dict[str, Any]]:
        """The token request for a code, with changes; status and JSON of the answer."""
        right = {"grant_type": "authorization_code", "code": issued, "redirect_uri": REDIRECT_URI}
        return await self.token({**right, "code_verifier": self.verifier, **changes})

    async def refresh(self, token: str, **changes: str | None) -> tuple[int, dict[str, Any]]:
        return await self.token({"grant_type": "refresh_token", "refresh_token": token, **changes})

    async def token(self, form: Mapping[str, str | None]) -> tuple[int, dict[str, Any]]:
        """A token request of this client."""
        egain = self.egain
        client = {"client_id": egain.client_id, "client_secret": egain.client_secret}
        if self.public:
            client = {"client_id": egain.public_client_id}
        kept = {name: value for name, value in (client | dict(form)).items() if value is not None}
        url = egain.customer_token_url if self.customer else egain.user_token_url
        async with self.browser.http.post(url, data=kept) as answer:
            return answer.status, await answer.json()

    async def tokens(self, **changes: str | None) -> dict[str, Any]:
        """Sign in, and everything that the token endpoint answers to the code."""
        status, told = await self.redeem((await self.sign_in(**changes)).query["code"])
        assert status == 200, told
        return told

    async def api(self, token: str) -> int:
        """What the API answers to an access token."""
        headers = {"Authorization": f"Bearer {token}", "Accept-Language": "en-US"}
        url = f"{self.egain.base}/knowledge/portalmgr/v4/portals/PROD-1000"
        async with self.browser.http.get(url, headers=headers) as answer:
            await answer.read()
            return answer.status
