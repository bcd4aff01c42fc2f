"""An authentication sidecar: a reverse proxy that puts a fresh OAuth 2.0 token into every request."""

import os

__version__ = "0.1.0"

# Python's default TLS contexts, which aiohttp makes while it is imported, would write every session's keys there.
os.environ.pop("SSLKEYLOGFILE", None)
