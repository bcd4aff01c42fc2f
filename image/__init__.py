"""How the container image comes to be; nothing here is part of the sidecar."""
