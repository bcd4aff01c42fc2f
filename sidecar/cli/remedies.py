"""What to do about a failure: sentences that teach.

Owns the words, as tables. Pure.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable

from sidecar.config.schema import Client, Config, Credential
from sidecar.config.values import SecretFrom
from sidecar.oauth.answer import Failure

_CONSOLE = "eGain Administration Console"
_TOKEN_URLS = (
    f"compare token_url with Metadata of the client application in the {_CONSOLE}: the tenant's id, -U for users "
    "and the application itself, -C for customers"
)

# OpenSSL's X509_V_ERR_*: what a chain can lack.
_EXPIRED, _NOT_YET, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64


def of_token(failure: Failure, config: Config, name: str, scopes: Iterable[str]) -> str:
    """What to do when a credential's token was not to be had."""
    credential = config.credentials[name]
    client = config.client_of(credential)
    assert client is not None  # checked at load
    reason = failure.reason
    if reason in ("invalid_client", "unauthorized_client"):
        return _client(failure, client)
    if reason == "invalid_scope":
        asked = " ".join(sorted(scopes)) or "none"
        return (
            f"grant the scopes on the Permissions tab of the client application ({_CONSOLE}), or correct the "
            f"routes' scopes; requested: {asked}"
        )
    if reason == "invalid_grant":
        return _grant(credential)
    if reason == "http_4xx" and failure.detail.startswith(("HTTP 404", "HTTP 405")):
        return f"there is no token endpoint at {credential.token_url}: {_TOKEN_URLS}"
    known = _BY_REASON.get(reason)
    return known.format(url=credential.token_url, grant=credential.grant) if known else _OTHERWISE


_BY_REASON = {
    "unsupported_grant_type": "{url} does not serve grant {grant}: " + _TOKEN_URLS,
    "invalid_request": f"the server misses a parameter; {_TOKEN_URLS}; see the eGain guide for what it wants",
    "http_429": "the server asks for fewer requests; try again in a minute",
    "slow_down": "the server asks for fewer requests; try again in a minute",
    "http_5xx": "the authorization server is failing; try again, then ask those who run it",
    "timeout": "the server, or a proxy or firewall on the way, does not answer; see tokens.proxy and "
    "tokens.request_timeout",
    "connect": "see whether the host is right and may be reached from here; an egress proxy is set under "
    "tokens.proxy (environment variables are not consulted)",
    "tls": "a private CA is named in ca_file under tokens or the credential; otherwise the server's certificate "
    "has expired or is another host's",
    "malformed": f"what answered is no token endpoint: {_TOKEN_URLS}",
}
_OTHERWISE = "the server's own words are all there is; see docs/errors.md"


def _client(failure: Failure, client: Client) -> str:
    shown = client.private_key if client.auth == "private_key_jwt" else client.secret
    if failure.outcome == "unavailable":  # no request was sent
        return f"see that the {shown} can be read and is not empty"
    who = f"{client.id}" if isinstance(client.id, SecretFrom) else f"id {client.id}"
    kept = f"its secret is in {shown}" if shown is not None else "it shows no secret (auth: none)"
    return (
        f"the server does not accept the client ({who}, auth: {client.auth}): {kept}; compare both with the client "
        f"application in the {_CONSOLE}, and see that this flow is enabled there"
    )


def _grant(credential: Credential) -> str:
    if credential.grant == "token_exchange":
        return (
            "the subject token was not accepted: it has expired, or registration_id is not that of its issuer under "
            f"SSO Configuration in the {_CONSOLE}"
        )
    if credential.grant == "on_behalf_of":
        return "the subject is not known there: users are found by username at a -U URL, customers by email at a -C one"
    return f"the server does not give this client such a token; see its flows in the {_CONSOLE}"


def of_connection(error: BaseException, ca_key: str) -> str:
    """What to do when a connection could not be set up. `ca_key`: where its CA file is named."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in (_EXPIRED, _NOT_YET):
            return "the certificate is out of date, or this machine's clock is wrong; have it renewed"
        if error.verify_code in (_WRONG_NAME, _WRONG_ADDRESS):
            return "the certificate is another host's; write the host name that stands in it into the URL"
        return f"the certificate's CA is not known here; name a PEM file with it in {ca_key}"
    if isinstance(error, ssl.SSLError):
        return "TLS 1.2 or newer is not spoken there; see whether port and scheme (http, https) are right"
    if isinstance(error, socket.gaierror):
        return "see whether the host name is right, and whether this machine's DNS knows it"
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there: see whether host and port are right, and whether the server runs"
    if isinstance(error, TimeoutError):
        return "no answer: a firewall on the way, or an egress proxy that is not configured (proxy)"
    return "see whether the host may be reached from here, and whether an egress proxy is needed (proxy)"
