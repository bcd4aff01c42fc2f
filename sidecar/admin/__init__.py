"""The admin listener: health, readiness, metrics, status page and effective configuration."""

from sidecar.admin.application import application
from sidecar.admin.listener import runner
from sidecar.admin.state import AdminState

__all__ = ["AdminState", "application", "runner"]
