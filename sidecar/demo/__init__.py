"""The eGain stand-in: an authorization server and an API that behave as the eGain guide says.

Used by `auth-sidecar demo` and, instead of mocks, by the tests. Nothing of the sidecar proper imports it, and
it shares no rule with the sidecar: what the one builds, the other checks.
"""
