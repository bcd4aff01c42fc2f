"""An authentication sidecar: a reverse proxy that puts a fresh OAuth 2.0 token into every request."""

__version__ = "0.1.0"
