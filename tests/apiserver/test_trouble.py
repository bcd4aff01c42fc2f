"""The webhook is down, or its certificate is replaced: what happens to the pods of that moment."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trustme

from tests.apiserver.cluster import Cluster
from tests.apiserver.injector import NO_PROBES, installed, namespace, pod, running
from tests.apiserver.release import one

pytestmark = pytest.mark.apiserver

ASKS = {"auth-sidecar/inject": "orders"}


def selected(name: str, **webhook: object) -> dict[str, object]:
    """Values for a release of its own, which looks at the namespaces with the label `test: NAME`."""
    return {
        "sidecar": NO_PROBES,
        "webhook": {"namespaceSelector": {"matchLabels": {"test": name}}, **webhook},
    }


def test_fail_holds_pods_back_while_the_webhook_is_down(api: Cluster) -> None:
    """With the reason; but not the webhook's own pods, or it could never come up."""
    with installed(api, "fail", selected("fail", failurePolicy="Fail")) as release:
        api.do("apply", "-f", "-", manifest=namespace("fail", {"test": "fail"}))
        refused = api.kubectl("create", "-f", "-", manifest=pod("held", "fail", ASKS))
        assert refused.returncode != 0
        assert 'failed calling webhook "inject.auth-sidecar.internal"' in refused.stderr
        template = one(release.objects, "Deployment", "-webhook")["spec"]["template"]
        metadata = {**template["metadata"], "name": "webhook", "namespace": "fail"}
        api.do(
            "create",
            "-f",
            "-",
            manifest={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]},
        )


def test_ignore_lets_pods_start_without_the_sidecar(api: Cluster) -> None:
    """Which is why it is not the default."""
    with installed(api, "ignore", selected("ignore", failurePolicy="Ignore")):
        api.do("apply", "-f", "-", manifest=namespace("ignore", {"test": "ignore"}))
        api.do("create", "-f", "-", manifest=pod("without", "ignore", ASKS))
        assert "initContainers" not in api.get("pod", "without", "-nignore")["spec"]


def names(api: Cluster, name: str, space: str) -> list[str]:
    """The init containers of a pod that is created now."""
    api.do("create", "-f", "-", manifest=pod(name, space, ASKS))
    return [
        container["name"]
        for container in api.get("pod", name, f"-n{space}")["spec"].get("initContainers", ())
    ]


def test_new_certificate_of_the_same_ca_is_taken_up_between_two_pods(api: Cluster, tmp_path: Path) -> None:
    """As cert-manager renews one: no restart, no pod without its sidecar, and new connections see the new one."""
    ca = trustme.CA()
    certificate = {
        "mode": "existing",
        "secretName": "own-webhook-tls",
        "caBundle": ca.cert_pem.bytes().decode(),
    }
    with installed(api, "renewed", selected("renewed", certificate=certificate)) as release:
        api.do("apply", "-f", "-", manifest=namespace("renewed", {"test": "renewed"}))

        def issued() -> dict[str, bytes]:
            leaf = ca.issue_cert(release.server_name)
            return {"tls.crt": leaf.cert_chain_pems[0].bytes(), "tls.key": leaf.private_key_pem.bytes()}

        with running(release, tmp_path, issued()) as injector:
            assert names(api, "before", "renewed") == ["auth-sidecar"]
            old = injector.served(release.ca)
            injector.mount(issued())
            until = time.monotonic() + 30
            count = 0
            while injector.served(release.ca) == old:
                assert time.monotonic() < until, "the new certificate is not taken up"
                assert names(api, f"during-{count}", "renewed") == ["auth-sidecar"]
                count += 1
            assert names(api, "after", "renewed") == ["auth-sidecar"]
        assert '"certificate_reloaded"' in injector.log.read_text()


def test_new_ca_is_taken_up_with_its_bundle(api: Cluster, tmp_path: Path) -> None:
    """Helm's own certificate, made anew: Secret and caBundle come from one rendering; both have to arrive."""
    with installed(api, "again", selected("again")) as release:
        api.do("apply", "-f", "-", manifest=namespace("again", {"test": "again"}))
        with running(release, tmp_path) as injector:
            assert names(api, "before", "again") == ["auth-sidecar"]
            old = injector.served(release.ca)
            port = {"port": release.address[1]}
            with installed(api, "again", selected("again", service=port)) as renewed:
                assert renewed.address == release.address
                assert renewed.ca != release.ca
                injector.mount(renewed.key_pair)
                until = time.monotonic() + 30
                while not injector.shows(renewed.ca):
                    assert time.monotonic() < until, "the new certificate is not taken up"
                    time.sleep(0.05)
                assert injector.served(renewed.ca) != old
                assert not injector.shows(release.ca)
                assert names(api, "after", "again") == ["auth-sidecar"]
