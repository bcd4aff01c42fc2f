"""The webhook's certificate: made so that the API server accepts it, kept over upgrades, or somebody else's."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.chart.helms import NAMESPACE, Helm, Helm3, Rendered, objects, one
from tests.chart.kube_api import Store, api_server

pytestmark = pytest.mark.chart

Render = Callable[[dict[str, Any]], Rendered]
NAME = "rel-egain-auth-sidecar-webhook"


def bundle(rendered: Rendered) -> str | None:
    """The CA by which the API server is told to judge the webhook, base64."""
    (webhook,) = one(rendered, "MutatingWebhookConfiguration")["webhooks"]
    found: str | None = webhook["clientConfig"].get("caBundle")
    return found


def test_helms_certificate_is_good_for_the_service(helm: Helm, tmp_path: Path) -> None:
    """It is for the Service's name, signed by the CA in the caBundle, for serving, for the days asked for; key fits."""
    rendered = helm.render({"webhook": {"certificate": {"days": 90}}})
    data = one(rendered, "Secret", "-tls")["data"]
    assert data["ca.crt"] == bundle(rendered)
    for name, text in data.items():
        (tmp_path / name).write_bytes(base64.b64decode(text))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
        tmp_path / "tls.crt", tmp_path / "tls.key"
    )
    leaf = x509.load_pem_x509_certificate((tmp_path / "tls.crt").read_bytes())
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    leaf.verify_directly_issued_by(ca)
    key = ca.public_key()
    assert isinstance(key, RSAPublicKey)
    assert leaf.signature_hash_algorithm is not None
    key.verify(leaf.signature, leaf.tbs_certificate_bytes, PKCS1v15(), leaf.signature_hash_algorithm)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    service = one(rendered, "Service")["metadata"]["name"]
    assert f"{service}.{NAMESPACE}.svc" in names.get_values_for_type(x509.DNSName)
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert ExtendedKeyUsageOID.SERVER_AUTH in usages
    left = leaf.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=89) < left <= timedelta(days=90)


SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/{NAME}-tls"
CONFIGURATION = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{NAME}-{NAMESPACE}"


def held(store: Store) -> tuple[dict[str, str], str]:
    """The certificate an API server has in its Secret, and the CA in the webhook's configuration."""
    return store[SECRET]["data"], store[CONFIGURATION]["webhooks"][0]["clientConfig"]["caBundle"]


def test_an_upgrade_keeps_the_certificate(third: Helm3) -> None:
    """What an install left in the Secret is found and kept by an upgrade; once deleted, a new one is made."""
    with api_server() as (url, store):
        third.deploy("install", {}, url)
        installed, ca = held(store)
        assert installed["ca.crt"] == ca
        third.deploy("upgrade", {"webhook": {"replicas": 3}}, url)
        assert held(store) == (installed, ca)
        del store[SECRET]
        third.deploy("upgrade", {}, url)
        renewed, new_ca = held(store)
    assert not set(renewed.values()) & set(installed.values())
    assert renewed["ca.crt"] == new_ca


def test_an_incomplete_secret_is_replaced(third: Helm3) -> None:
    """Where the CA is gone from the Secret, the API server would have nothing to judge by: all is made anew."""
    with api_server() as (url, store):
        third.deploy("install", {}, url)
        before = store[SECRET]["data"]
        store[SECRET] = {**store[SECRET], "data": {key: before[key] for key in ("tls.crt", "tls.key")}}
        third.deploy("upgrade", {}, url)
        after, ca = held(store)
    assert after["tls.crt"] != before["tls.crt"]
    assert after["ca.crt"] == ca


@pytest.mark.parametrize(
    "issuer", [None, {"name": "internal", "kind": "ClusterIssuer", "group": "cert-manager.io"}]
)
def test_cert_manager_signs_and_fills_in_the_ca(render: Render, issuer: dict[str, str] | None) -> None:
    """The Certificate's Secret is the one the webhook mounts, and the configuration asks for that Certificate's CA."""
    rendered = render({"webhook": {"certificate": {"mode": "certManager", "issuerRef": issuer or {}}}})
    certificate = one(rendered, "Certificate", "-webhook")
    configuration = one(rendered, "MutatingWebhookConfiguration")
    wanted = configuration["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert wanted == f"{NAMESPACE}/{certificate['metadata']['name']}"
    assert bundle(rendered) is None
    assert f"{NAME}.{NAMESPACE}.svc" in certificate["spec"]["dnsNames"]
    volumes = one(rendered, "Deployment")["spec"]["template"]["spec"]["volumes"]
    assert certificate["spec"]["secretName"] in [x["secret"]["secretName"] for x in volumes if "secret" in x]
    issuers = {x["metadata"]["name"]: x for x in objects(rendered) if x["kind"] == "Issuer"}
    if issuer:
        assert certificate["spec"]["issuerRef"] == issuer
        assert not issuers
    else:
        signing = issuers[certificate["spec"]["issuerRef"]["name"]]
        authority = one(rendered, "Certificate", "-ca")
        assert authority["spec"]["isCA"] is True
        assert signing["spec"]["ca"]["secretName"] == authority["spec"]["secretName"]
        assert issuers[authority["spec"]["issuerRef"]["name"]]["spec"] == {"selfSigned": {}}


PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("given", [PEM, base64.b64encode(PEM.encode()).decode()])
def test_a_certificate_of_ones_own_is_taken(render: Render, given: str) -> None:
    """The CA may be PEM or base64 of it; the chart makes no Secret then."""
    certificate = {"mode": "existing", "secretName": "own", "caBundle": given}
    rendered = render({"webhook": {"certificate": certificate}})
    assert base64.b64decode(bundle(rendered) or "").decode() == PEM
    assert not [x for x in objects(rendered) if x["kind"] == "Secret"]
