"""Half an hour that stands for days: `python -m benchmarks.soak`, or `make soak`."""
