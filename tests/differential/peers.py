"""nginx, HAProxy and Envoy as plain reverse proxies in front of one upstream, each with its usual settings.

Owns their configurations, and that they end with the block that started them. benchmarks/peers.py is another matter:
there they send tokens over TLS.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.ports import free_port, wait_for

_ROOT = Path(__file__).parent.parent.parent
_API = "type.googleapis.com/envoy.extensions.filters"


def _nginx(folder: Path, port: int, upstream: int) -> list[str]:
    file = folder / "nginx.conf"
    temporary = " ".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file.write_text(
        f"""daemon off; worker_processes 1; error_log {folder}/error.log crit; pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
  access_log off; {temporary}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
""",
        encoding="utf-8",
    )
    return ["nginx", "-p", str(folder), "-c", str(file)]


def _haproxy(folder: Path, port: int, upstream: int) -> list[str]:
    file = folder / "haproxy.cfg"
    file.write_text(
        f"""global
  maxconn 256
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend in
  bind 127.0.0.1:{port}
  default_backend api
backend api
  server api 127.0.0.1:{upstream}
""",
        encoding="utf-8",
    )
    return ["haproxy", "-db", "-f", str(file)]


def _envoy(folder: Path, port: int, upstream: int) -> list[str]:
    file = folder / "envoy.json"
    file.write_text(json.dumps(_envoy_config(port, upstream)), encoding="utf-8")
    program = envoy_program()
    assert program is not None
    return [program, "-c", str(file), "--concurrency", "1", "--log-level", "off", "--disable-hot-restart"]


def _envoy_config(port: int, upstream: int) -> dict[str, Any]:
    manager = {
        "@type": f"{_API}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "api"}}],
                }
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{_API}.http.router.v3.Router"}}],
    }
    listener = {
        "name": "in",
        "address": _address(port),
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    cluster = {
        "name": "api",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "api",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(upstream)}}]}],
        },
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def envoy_program() -> str | None:
    """Where an install script has put it."""
    places = (_ROOT / folder / "bin" / "envoy" for folder in (".differential", ".bench"))
    return next((str(place) for place in places if place.exists()), None)


_BUILD: dict[str, Callable[[Path, int, int], list[str]]] = {
    "nginx": _nginx,
    "HAProxy": _haproxy,
    "Envoy": _envoy,
}
_VERSION = {"nginx": ["nginx", "-v"], "HAProxy": ["haproxy", "-v"], "Envoy": ["", "--version"]}


def present() -> list[str]:
    """Those that are installed."""
    there = {"nginx": shutil.which("nginx"), "HAProxy": shutil.which("haproxy"), "Envoy": envoy_program()}
    return [name for name in _BUILD if there[name]]


def version(name: str) -> str:
    """As it tells itself."""
    command = _VERSION[name]
    out = subprocess.run(
        [command[0] or envoy_program() or "", *command[1:]], capture_output=True, text=True, check=False
    )
    words = (out.stdout + out.stderr).replace("/", " ").split()
    return next((word for word in words if word[:1].isdigit() and word.count(".") >= 2), "?")


@contextlib.contextmanager
def running(name: str, folder: Path, upstream: int) -> Iterator[int]:
    """The port on which it listens."""
    place = folder / name
    place.mkdir()
    port = free_port()
    process = subprocess.Popen(
        _BUILD[name](place, port, upstream), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(port, process, time.monotonic() + 20)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
