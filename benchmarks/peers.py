"""The proxies that are compared: how each is configured, started, pinned and ended.

Owns their configurations. All stand in front of the same upstream, over TLS that they verify, and send a token: the
sidecar, Envoy and the plain proxy get it by client credentials, Caddy and nginx have no OAuth and send a fixed one.
Where they log, they write a line per request into a pipe that somebody empties, as a container runtime does.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from benchmarks import nginx
from benchmarks.machine import children, cores, cpu_seconds, forget_peak, memory_mib
from benchmarks.nginx import Upstream
from benchmarks.ports import free_port, wait_for
from sidecar import __version__ as sidecar_version

PATH = "/knowledge/portalmgr/v4/portals/PROD-1000/articles/PROD-2996"
ENVOY = Path(__file__).parent.parent / ".bench" / "bin" / "envoy"


@dataclass(frozen=True)
class Peer:
    """One proxy in one configuration, not yet running."""

    name: str
    port: int
    command: list[str]
    admin: int = 0  # the sidecar's admin port

    @contextlib.contextmanager
    def running(self) -> Iterator[Running]:
        """Started on the proxy's core and listening; ended with the block."""
        proxy_core, load_core = cores()
        # Its log goes where a container's goes: into a pipe, emptied by somebody else.
        drain = subprocess.Popen(
            ["taskset", "-c", str(load_core), "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        began = time.monotonic()
        process = subprocess.Popen(
            ["taskset", "-c", str(proxy_core), *self.command], stdout=drain.stdin, stderr=drain.stdin
        )
        assert drain.stdin is not None
        drain.stdin.close()
        try:
            wait_for(self.port, process, began + 20)
            yield Running(self, process, drain, began)
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            drain.wait()


@dataclass(frozen=True)
class Running:
    """A peer at work."""

    peer: Peer
    process: subprocess.Popen[bytes]
    drain: subprocess.Popen[bytes]
    began: float  # monotonic, before it was started

    @property
    def name(self) -> str:
        return self.peer.name

    def url(self, path: str = PATH) -> str:
        return f"http://127.0.0.1:{self.peer.port}{path}"

    @property
    def pids(self) -> list[int]:
        return children(self.process.pid)

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, self.pids))

    def memory_mib(self, what: str = "VmRSS") -> float:
        return sum(memory_mib(pid, what) for pid in self.pids)

    def forget_peak(self) -> None:
        for pid in self.pids:
            forget_peak(pid)


# -- the sidecar -------------------------------------------------------------------------------------------------------


def sidecar(folder: Path, upstream: Upstream, name: str, *, log: bool, **changes: Any) -> Peer:
    """`changes`: top-level keys of the configuration that differ."""
    port, admin = free_port(), free_port()
    secret = folder / "client-secret"
    secret.write_text("bench", encoding="ascii")
    mapping = {
        "listen": f"127.0.0.1:{port}",
        "admin": f"127.0.0.1:{admin}",
        "upstream": {"url": upstream.url, "ca_file": str(upstream.ca)},
        "client": {"id": "bench", "secret": {"file": str(secret)}},
        "credentials": {"app": {"grant": "client_credentials", "token_url": upstream.token_url}},
        "log": {"requests": log},
        "routes": routes(10),
        **changes,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(mapping), encoding="utf-8")
    return Peer(name, port, [sys.executable, "-m", "sidecar", "run", str(file)], admin)


def routes(count: int, credential: str = "app") -> list[dict[str, Any]]:
    """So many routes; the first is the one that is measured, the others are never far from it."""
    paths = ["/knowledge/portalmgr/v4/portals/{portalID}/articles/{articleID}", "/large", "/upload"]
    paths += [f"/knowledge/service{n % 50}/v4/things/{{id}}/parts{n}" for n in range(count - len(paths))]
    return [{"path": p, "credential": credential, "scopes": ["app.knowledge.portalmgr.read"]} for p in paths]


def on_behalf_of(upstream: Upstream) -> dict[str, Any]:
    """A token for each subject that X-On-Behalf-Of names."""
    return {
        "credentials": {
            "agent": {
                "grant": "on_behalf_of",
                "token_url": upstream.token_url,
                "subject": {"username": {"header": "X-On-Behalf-Of"}},
                "allow_subjects": ["*"],
            }
        },
        "routes": routes(10, "agent"),
        "tokens": {"max_cached": 20_000},
    }


# -- the others --------------------------------------------------------------------------------------------------------


def plain_aiohttp(folder: Path, upstream: Upstream, name: str, *, log: bool) -> Peer:
    port = free_port()
    options = [str(port), upstream.url, upstream.token_url, str(upstream.ca), *(["--log"] if log else [])]
    return Peer(name, port, [sys.executable, "-m", "benchmarks.plain_aiohttp", *options])


def nginx_proxy(folder: Path, upstream: Upstream, name: str, *, log: bool) -> Peer:
    port, place = free_port(), folder / name
    place.mkdir()
    file = nginx.write_proxy(place, upstream, port, log=log)
    return Peer(name, port, ["nginx", "-p", str(place), "-c", str(file)])


def caddy(folder: Path, upstream: Upstream, name: str, *, log: bool) -> Peer:
    port = free_port()
    file = folder / f"{name}.caddyfile"
    file.write_text(
        f"""{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  {"log" if log else ""}
  reverse_proxy https://localhost:{upstream.tls_port} {{
    header_up Host {{upstream_hostport}}
    header_up Authorization "Bearer {nginx.TOKEN}"
    transport http {{
      tls_trusted_ca_certs {upstream.ca}
      tls_server_name localhost
      keepalive_idle_conns_per_host 128
      versions 1.1
      compression off
    }}
  }}
}}
""",
        encoding="utf-8",
    )
    return Peer(name, port, ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"])


def envoy(folder: Path, upstream: Upstream, name: str, *, log: bool) -> Peer:
    """Envoy with credential_injector and OAuth 2.0 client credentials, one worker."""
    port = free_port()
    file = folder / f"{name}.json"
    api = {**cluster("api", upstream.tls_port), "transport_socket": _tls(upstream)}
    clusters = [api, cluster("tokens", upstream.plain_port)]
    config = envoy_config(port, upstream.token_url, clusters, log=log)
    return envoy_peer(file, name, port, config)


def envoy_peer(file: Path, name: str, port: int, config: dict[str, Any]) -> Peer:
    """Envoy with this configuration, one worker."""
    file.write_text(json.dumps(config), encoding="utf-8")
    options = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]
    return Peer(name, port, [str(ENVOY), "-c", str(file), *options])


def envoy_config(
    port: int, token_url: str, clusters: list[dict[str, Any]], *, log: bool, secret: str = "bench"
) -> dict[str, Any]:
    """Client credentials from `token_url` (cluster `tokens`) for everything that goes to cluster `api`."""
    api = "type.googleapis.com/envoy.extensions"
    manager: dict[str, Any] = {
        "@type": f"{api}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": "api", "auto_host_rewrite": True}}
                    ],
                }
            ]
        },
        "http_filters": [
            {"name": "envoy.filters.http.credential_injector", "typed_config": _injector(token_url)},
            {"name": "router", "typed_config": {"@type": f"{api}.filters.http.router.v3.Router"}},
        ],
    }
    if log:
        stdout = f"{api}.access_loggers.stream.v3.StdoutAccessLog"
        manager["access_log"] = [{"name": "stdout", "typed_config": {"@type": stdout}}]
    return {
        "static_resources": {
            "secrets": [{"name": "secret", "generic_secret": {"secret": {"inline_string": secret}}}],
            "listeners": [
                {
                    "name": "in",
                    "address": _address("127.0.0.1", port),
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": clusters,
        }
    }


def _injector(token_url: str) -> dict[str, Any]:
    api = "type.googleapis.com/envoy.extensions"
    return {
        "@type": f"{api}.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": True,
        "allow_request_without_credential": False,
        "credential": {
            "name": "envoy.http.injected_credentials.oauth2",
            "typed_config": {
                "@type": f"{api}.http.injected_credentials.oauth2.v3.OAuth2",
                "token_endpoint": {"cluster": "tokens", "timeout": "3s", "uri": token_url},
                "scopes": ["app.knowledge.portalmgr.read"],
                "client_credentials": {
                    "client_id": "bench",
                    "client_secret": {"name": "secret"},
                    "auth_type": "URL_ENCODED_BODY",
                },
            },
        },
    }


def cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address("127.0.0.1", port), "hostname": f"localhost:{port}"}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _tls(upstream: Upstream) -> dict[str, Any]:
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": "localhost",
            "common_tls_context": {
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                "validation_context": {
                    "trusted_ca": {"filename": str(upstream.ca)},
                    "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
                },
            },
        },
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


Build = Callable[..., Peer]
PEERS: dict[str, Build] = {
    "sidecar": sidecar,
    "envoy": envoy,
    "caddy": caddy,
    "aiohttp": plain_aiohttp,
    "nginx": nginx_proxy,
}


def versions() -> str:
    """Of everything that takes part."""
    said = [f"sidecar {sidecar_version}", f"aiohttp {aiohttp.__version__}"]
    for command in (
        [str(ENVOY), "--version"],
        ["caddy", "version"],
        ["nginx", "-v"],
        ["wrk", "-v"],
    ):
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(
            r"\d+\.\d+(\.\d+)?", (out.stdout + out.stderr).split("version:")[-1].split("/", 1)[-1]
        )
        said.append(f"{Path(command[0]).name} {found[0] if found else '?'}")
    return ", ".join(said)


def missing() -> list[str]:
    """Programs that the benchmark needs and does not find."""
    found = {name: shutil.which(name) is not None for name in ("nginx", "caddy", "wrk", "curl", "taskset")}
    return [name for name, there in {**found, "envoy": ENVOY.exists()}.items() if not there]
