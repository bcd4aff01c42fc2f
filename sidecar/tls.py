"""TLS towards servers: the one place where a client's context is made.

Owns what is trusted. Certificates and names are always checked, nothing below TLS 1.2 is spoken, and
SSLKEYLOGFILE is not honoured: `ssl.create_default_context` would write every session's keys to that file.
"""

from __future__ import annotations

import ssl
from pathlib import Path


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Trusts only the CAs in `ca_file`; the system's when it is None.

    Raises OSError (ssl.SSLError is one) when the file cannot be read or holds no certificate: there is no
    falling back to other CAs.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # CERT_REQUIRED and check_hostname are its defaults
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        context.load_verify_locations(cafile=ca_file)
    return context
