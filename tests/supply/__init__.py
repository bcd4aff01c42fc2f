"""Tests that need the tools of supply/tools.txt: `make test-supply`."""
