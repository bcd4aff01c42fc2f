"""A webhook that runs, over real TLS, and a client of it that trusts its CA as an API server does."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from prometheus_client.parser import text_string_to_metric_families

from sidecar.webhook.application import Webhook
from sidecar.webhook.server import serving
from sidecar.webhook.settings import load
from tests.json_patch import applied
from tests.webhook_pods import INJECTED, Object, review, settings

SERVICE = "auth-sidecar-webhook.auth-sidecar.svc"  # what an API server asks the certificate for


@dataclass
class Pki:
    """A CA, and the files that the kubelet would mount."""

    ca: trustme.CA
    folder: Path

    @property
    def certificate(self) -> Path:
        return self.folder / "tls.crt"

    @property
    def key(self) -> Path:
        return self.folder / "tls.key"

    def issue(self, **options: Any) -> trustme.LeafCert:
        """A new certificate in the files."""
        made = self.ca.issue_cert(SERVICE, **options)
        made.cert_chain_pems[0].write_to_path(str(self.certificate))
        made.private_key_pem.write_to_path(str(self.key))
        return made

    def client(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        return context


def pki(folder: Path) -> Pki:
    found = Pki(trustme.CA(), folder)
    found.issue()
    return found


@dataclass
class Asked:
    """A webhook that serves, and how it is asked."""

    webhook: Webhook
    pki: Pki
    session: aiohttp.ClientSession

    @property
    def port(self) -> int:
        return int(self.webhook.address.rpartition(":")[2])

    async def fetch(self, method: str, path: str, **options: Any) -> tuple[aiohttp.ClientResponse, bytes]:
        url = f"https://127.0.0.1:{self.port}{path}"
        async with self.session.request(method, url, server_hostname=SERVICE, **options) as answer:
            return answer, await answer.read()

    async def post(self, body: bytes, content_type: str = "application/json") -> tuple[int, Object]:
        """Status and document."""
        answer, found = await self.fetch(
            "POST", "/inject", data=io.BytesIO(body), headers={"Content-Type": content_type}
        )
        return answer.status, json.loads(found)

    async def ask(self, asked: Object | None, **more: Any) -> Object:
        """The response to a review of this pod."""
        return await self.respond(review(asked, **more))

    async def respond(self, asked: Object) -> Object:
        status, found = await self.post(json.dumps(asked).encode())
        assert status == 200, found
        assert (found["apiVersion"], found["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response: Object = found["response"]
        assert response["uid"] == asked["request"]["uid"]
        return response

    async def numbers(self) -> dict[str, float]:
        """Metrics as scraped, `name{label}` without the common prefix."""
        _, page = await self.fetch("GET", "/metrics")
        return {
            sample.name.removeprefix("auth_sidecar_webhook_")
            + "".join(f" {v}" for v in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(page.decode())
            for sample in family.samples
        }


@contextlib.asynccontextmanager
async def webhook(folder: Path, text: str = INJECTED) -> AsyncIterator[Asked]:
    """One with these settings; ends with the context."""
    made = pki(folder)
    loaded = load(settings(folder, made.certificate, made.key, text))
    connector = aiohttp.TCPConnector(ssl=made.client())
    async with serving(loaded) as serves, aiohttp.ClientSession(connector=connector) as session:
        yield Asked(serves, made, session)


def patch_of(response: Object) -> list[Object]:
    """The operations of an answer that allows; none without a patch."""
    assert response["allowed"] is True, response
    if "patch" not in response:
        assert "patchType" not in response
        return []
    assert response["patchType"] == "JSONPatch"
    found: list[Object] = json.loads(base64.b64decode(response["patch"], validate=True))
    return found


def patched(asked: Object, response: Object) -> Object:
    """The pod after the answer."""
    found: Object = applied(asked, patch_of(response))
    return found
