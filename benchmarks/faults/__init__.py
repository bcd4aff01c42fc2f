"""Faults one after the other, while requests flow: `python -m benchmarks.faults`, or `make test-faults`."""
