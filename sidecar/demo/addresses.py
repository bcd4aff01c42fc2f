"""Where everything of the stand-in is: the guide's paths, one origin."""

from __future__ import annotations

from sidecar.demo.grants import Endpoint

ANONYMOUS_PATH = "/core/authmgr/v3/oauth2/v2.0/anonymous/token"


class Addresses:
    """URLs, known once `base` is (it is empty before)."""

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.base = ""

    def oauth2(self, letter: str, name: str) -> str:
        """`letter`: U for users, C for customers."""
        return f"{self.base}/system/auth/{self.tenant}-{letter}/oauth2/{name}"

    @property
    def user_token_url(self) -> str:
        return self.oauth2("U", "token")

    @property
    def customer_token_url(self) -> str:
        return self.oauth2("C", "token")

    @property
    def anonymous_token_url(self) -> str:
        """Without its query, as the configuration wants it."""
        return self.base + ANONYMOUS_PATH

    @property
    def token_urls(self) -> dict[Endpoint, str]:
        return {
            "user": self.user_token_url,
            "customer": self.customer_token_url,
            "anonymous": self.anonymous_token_url,
        }

    @property
    def anonymous_token_query(self) -> dict[str, str]:
        return {"user_type": "customer", "domain_hint": self.tenant}

    @property
    def user_authorization_url(self) -> str:
        return self.oauth2("U", "authorize")

    @property
    def customer_authorization_url(self) -> str:
        return self.oauth2("C", "authorize")

    @property
    def user_logout_url(self) -> str:
        return self.oauth2("U", "logout")

    @property
    def customer_logout_url(self) -> str:
        return self.oauth2("C", "logout")

    @property
    def issuer(self) -> str:
        """`iss` of access tokens (whose `aud` is `base`), ID tokens and authorization responses."""
        return f"{self.base}/system/auth/{self.tenant}"

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer}/oauth2/jwks"

    @property
    def idp_issuer(self) -> str:
        return f"{self.base}/idp"

    @property
    def idp_audience(self) -> str:
        return "egain"

    @property
    def idp_jwks_url(self) -> str:
        return f"{self.base}/idp/keys"
