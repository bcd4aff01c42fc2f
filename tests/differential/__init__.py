"""The same raw requests through nginx, HAProxy, Envoy and the sidecar, which must not take more than all of them.

`make test-differential` installs the others and runs it; docs/testing.md says what it shows.
"""
