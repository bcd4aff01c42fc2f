"""What a release is made of: its version, its wheel, its bill of materials, and the checks on what it depends on.

Each module is a command that the Makefile runs; docs/supply-chain.md says what they are for. Not part of the wheel.
Knows nothing of what the sidecar does.
"""
