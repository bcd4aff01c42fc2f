"""Makes the Grafana dashboard that is shipped with the chart: `make dashboard`."""
