"""A browser that signs in through a running sidecar: cookies, Fetch Metadata, and the stand-in's forms.

It speaks to the sidecar as an ingress would that ends TLS: `Host: app.example.com`, plain HTTP. What a real browser
does with `__Host-`, `Secure` and `SameSite` it does not; the browser suite looks at that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from sidecar.demo.standin import StandIn
from tests.form_browser import SignInPages
from tests.harness import Answer, Sidecar, configuration

HOST = "app.example.com"
ORIGIN = f"https://{HOST}"
CALLBACK = f"{ORIGIN}/.auth/callback"
USER_SESSION, CUSTOMER_SESSION = (f"__Host-auth-sidecar-session-{name}" for name in ("user", "customer"))

_HTML, _JSON = "Accept: text/html,*/*;q=0.8", "Accept: application/json"


def _fetch(site: str, mode: str, dest: str) -> tuple[str, ...]:
    return f"Sec-Fetch-Site: {site}", f"Sec-Fetch-Mode: {mode}", f"Sec-Fetch-Dest: {dest}"


# What a browser says of a request, by what made it.
TYPED = (_HTML, *_fetch("none", "navigate", "document"))
LINK = (_HTML, *_fetch("cross-site", "navigate", "document"))
NEAR_LINK = (_HTML, *_fetch("same-site", "navigate", "document"))
SCRIPT = (_JSON, *_fetch("same-origin", "cors", "empty"))
FORM = (_HTML, f"Origin: {ORIGIN}", *_fetch("same-origin", "navigate", "document"))
FOREIGN_FORM = (_HTML, "Origin: https://evil.example", *_fetch("cross-site", "navigate", "document"))
OPAQUE_FORM = (_HTML, "Origin: null", *_fetch("cross-site", "navigate", "document"))
FOREIGN_IMAGE = ("Accept: image/*", *_fetch("cross-site", "no-cors", "image"))
FOREIGN_FRAME = (_HTML, *_fetch("cross-site", "navigate", "iframe"))
NEAR_IMAGE = ("Accept: image/*", *_fetch("same-site", "no-cors", "image"))
NEAR_FORM = (_HTML, "Origin: https://shop.example.com", *_fetch("same-site", "navigate", "document"))
NEAR_FRAME = (_HTML, *_fetch("same-site", "navigate", "iframe"))


def people(egain: StandIn, url: str, folder: Path, /, **changes: Any) -> dict[str, Any]:
    """A confidential client for users, a public one for customers, an application's credential, and none."""
    secret, key = folder / "client-secret", folder / "session-key"
    secret.write_text(egain.client_secret)
    key.write_text("k" * 44)
    user = {
        "grant": "authorization_code",
        "authorization_url": egain.user_authorization_url,
        "token_url": egain.user_token_url,
        "redirect_url": CALLBACK,
        "issuer": egain.issuer,
        "logout_url": egain.user_logout_url,
        "post_logout_redirect_url": f"{ORIGIN}/",
    }
    customer = {
        **user,
        "authorization_url": egain.customer_authorization_url,
        "token_url": egain.customer_token_url,
        "logout_url": egain.customer_logout_url,
        "client": {"id": egain.public_client_id, "auth": "none"},
    }
    app = {"grant": "client_credentials", "token_url": egain.user_token_url}
    return {
        **configuration(url, upstream=changes.pop("upstream", {})),
        "client": {"id": egain.client_id, "secret": {"file": str(secret)}},
        "credentials": {"user": user, "customer": customer, "app": app},
        "routes": [
            {"path": "/api/**", "credential": "user", "scopes": ["knowledge.portalmgr.read"], "name": "api"},
            {"path": "/ai/**", "credential": "user", "scopes": ["core.aiservices.read"], "name": "ai"},
            {
                "path": "/shop/**",
                "credential": "customer",
                "scopes": ["knowledge.portalmgr.read"],
                "name": "shop",
            },
            {"path": "/app/**", "credential": "app", "scopes": ["app.core.aiservices.read"], "name": "app"},
            {"path": "/**", "credential": "none", "name": "open"},
        ],
        "sessions": {"key": {"file": str(key)}},
        **changes,
    }


@dataclass
class Browser:
    """One browser. The caller closes it."""

    sidecar: Sidecar
    egain: StandIn
    host: str = HOST
    cookies: dict[str, str] = field(default_factory=dict)
    seen: list[Answer] = field(default_factory=list)  # every answer of the sidecar

    def __post_init__(self) -> None:
        self._pages = {name: SignInPages(self.egain, name == "customer") for name in ("user", "customer")}

    async def close(self) -> None:
        for pages in self._pages.values():
            await pages.browser.http.close()

    async def get(self, target: str, *how: str, method: str = "GET", body: bytes = b"") -> Answer:
        """One request, with the cookies there are. `how`: one of the lists above, or any header lines."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.host}", *how]
        if self.cookies:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.cookies.items()))
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        caller = await self.sidecar.caller()
        try:
            await caller.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
            answer = await caller.answer(method)
        finally:
            caller.close()
        self._take(answer)
        return answer

    def _take(self, answer: Answer) -> None:
        self.seen.append(answer)
        for line in answer.all("Set-Cookie"):
            pair, *attributes = line.split("; ")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value

    # -- signing in ------------------------------------------------------------------------------------------------

    async def login(self, credential: str = "user", return_to: str | None = None) -> str:
        """Begin; where the sidecar sends the browser."""
        wanted = {"credential": credential} | ({} if return_to is None else {"return_to": return_to})
        answer = await self.get(f"/.auth/login?{urlencode(wanted, quote_via=quote)}", *TYPED)
        assert answer.status == 303, answer
        return location(answer)

    async def allow(self, url: str, credential: str = "user") -> str:
        """At the stand-in: log in and allow. Gives the callback's path and query."""
        pages = self._pages[credential]
        page = await pages.browser.get(url)
        if "password" in page.form.fields:
            page = await pages.log_in(page)
        if page.status is not None:
            page = await pages.browser.send(page, decision="allow")
        return origin_form(page.url)

    async def deny(self, url: str, credential: str = "user") -> str:
        pages = self._pages[credential]
        page = await pages.log_in(await pages.browser.get(url))
        return origin_form((await pages.browser.send(page, decision="deny")).url)

    async def sign_in(self, credential: str = "user", return_to: str | None = None) -> Answer:
        """All of it; the callback's answer."""
        back = await self.allow(await self.login(credential, return_to), credential)
        answer = await self.get(back, *LINK)
        assert answer.status == 303, answer
        return answer


def location(answer: Answer) -> str:
    (found,) = answer.all("Location")
    return found


def origin_form(url: str) -> str:
    """Path and query of a URL of the app's origin."""
    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}" == ORIGIN, url
    return f"{parts.path}?{parts.query}"
