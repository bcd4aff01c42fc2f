"""nginx: the upstream over TLS and the token endpoint, in one process; and nginx as a peer.

Owns nginx's configuration and the certificates of a run. The upstream answers 1 KB of JSON, a file of 64 MiB, and takes
uploads (it reads a body to its end before it answers); the token endpoint gives a token of 900 bytes and an hour
to whoever asks.
"""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import trustme

from benchmarks.ports import free_port, wait_for

BODY_MIB = 64
TOKEN = "eyJhbGciOiJSUzI1NiJ9." + "x" * 850  # and 32 characters of its own
_JSON = json.dumps({"id": "PROD-2996", "name": "Fair Lending FAQs", "content": "x" * 850})

_COMMON = """
daemon off;
worker_processes 1;
error_log {folder}/error.log crit;
pid {folder}/nginx.pid;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  keepalive_requests 100000000; keepalive_timeout 600s; client_max_body_size 0;
{servers}
}}
"""

_UPSTREAM = """
  server {{
    listen 127.0.0.1:{tls} ssl;
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key; ssl_protocols TLSv1.3;
    root {folder};
    location / {{ default_type application/json; return 200 '{body}'; }}
    location = /large {{ sendfile on; try_files /large.bin =404; }}
    location = /upload {{
      client_body_buffer_size 80m; proxy_pass http://127.0.0.1:{plain}/taken;
      proxy_pass_request_body off; proxy_set_header Content-Length "";
    }}
  }}
  server {{
    listen 127.0.0.1:{plain};
    location = /taken {{ return 200 'taken'; }}
    location = /token {{
      default_type application/json;
      return 200 '{{"access_token":"{token}$request_id","token_type":"Bearer","expires_in":3600}}';
    }}
  }}
"""

_PROXY = """
  log_format line '$time_iso8601 $request_method $uri $status $request_time';
  upstream api {{ server 127.0.0.1:{tls}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port};
    access_log {log};
    location / {{
      proxy_pass https://api; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host localhost:{tls}; proxy_set_header Authorization "Bearer {token}";
      proxy_ssl_protocols TLSv1.3; proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; proxy_ssl_name localhost;
      proxy_ssl_session_reuse on; proxy_request_buffering off; proxy_buffering on; proxy_max_temp_file_size 0;
    }}
  }}
"""


@dataclass(frozen=True)
class Upstream:
    """Where the API and the token endpoint are."""

    tls_port: int
    plain_port: int
    ca: Path

    @property
    def url(self) -> str:
        return f"https://localhost:{self.tls_port}"

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.plain_port}/token"


def write_upstream(folder: Path) -> tuple[Upstream, Path]:
    """The upstream's files; returns where it will be and its configuration."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    upstream = Upstream(free_port(), free_port(), folder / "ca.pem")
    authority.cert_pem.write_to_path(upstream.ca)
    certificate.private_key_pem.write_to_path(folder / "server.key")
    for blob in certificate.cert_chain_pems:
        blob.write_to_path(folder / "server.pem", append=True)
    with (folder / "large.bin").open("wb") as large:
        large.truncate(BODY_MIB << 20)
    servers = _UPSTREAM.format(
        folder=folder, tls=upstream.tls_port, plain=upstream.plain_port, body=_JSON, token=TOKEN
    )
    return upstream, _write(folder, servers)


def write_proxy(folder: Path, upstream: Upstream, port: int, *, log: bool) -> Path:
    """nginx as a peer; it has no OAuth, so it sends a token that never changes."""
    target = "/dev/stdout line" if log else "off"
    servers = _PROXY.format(tls=upstream.tls_port, port=port, log=target, token=TOKEN, ca=upstream.ca)
    return _write(folder, servers)


def _write(folder: Path, servers: str) -> Path:
    file = folder / "nginx.conf"
    file.write_text(_COMMON.format(folder=folder, servers=servers), encoding="utf-8")
    return file


def start_upstream(folder: Path, core: int) -> tuple[Upstream, subprocess.Popen[bytes]]:
    """Started, pinned to a core, and answering."""
    upstream, file = write_upstream(folder)
    process = subprocess.Popen(["taskset", "-c", str(core), "nginx", "-p", str(folder), "-c", str(file)])
    wait_for(upstream.plain_port, process, time.monotonic() + 10)
    return upstream, process
