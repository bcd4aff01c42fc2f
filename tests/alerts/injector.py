"""The webhook as anybody runs it, with a certificate that is about to run out.

Owns its process and its certificate. What it does to pods is other tests' matter.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.ports import free_port, wait_for
from tests.webhook_harness import SERVICE, Pki, pki
from tests.webhook_pods import container, review, settings

_START = 30.0
_LEFT = datetime.timedelta(days=6)


@dataclass(frozen=True)
class Injector:
    """A webhook that runs."""

    port: int
    pki: Pki

    def renew(self) -> None:
        """A certificate that is good for a year; taken up within a second or two."""
        self.pki.issue()

    def inject(self) -> bool:
        """Ask it about a pod that wants a sidecar; whether it let it pass."""
        pod = {
            "metadata": {"name": "app", "annotations": {"auth-sidecar/inject": "settings"}},
            "spec": {"containers": [container()]},
        }
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=_unchecked(), timeout=30)
        with contextlib.closing(connection):
            body = json.dumps(review(pod))
            connection.request("POST", "/inject", body, {"Content-Type": "application/json"})
            found = json.load(connection.getresponse())
        return bool(found["response"]["allowed"])

    def scrape(self, job: str) -> dict[str, Any]:
        """For Prometheus' configuration."""
        authority = self.pki.folder / "ca.crt"
        self.pki.ca.cert_pem.write_to_path(str(authority))
        return {
            "job_name": job,
            "scheme": "https",
            "tls_config": {"ca_file": str(authority), "server_name": SERVICE},
            "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}],
        }


@contextlib.contextmanager
def injector(folder: Path) -> Iterator[Injector]:
    """Until the block ends."""
    made, port = pki(folder), free_port()
    made.issue(not_after=datetime.datetime.now(datetime.UTC) + _LEFT)
    file = settings(folder, made.certificate, made.key, listen=f"127.0.0.1:{port}")
    with (folder / "webhook.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "sidecar", "webhook", str(file)], stderr=log)
    try:
        wait_for(port, process, time.monotonic() + _START)
        yield Injector(port, made)
    finally:
        process.kill()
        process.wait()


def _unchecked() -> ssl.SSLContext:
    """Who it is, is clear: it was started here, on loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
