"""The chart and the webhook, judged by a real Kubernetes API server: `make test-apiserver`."""
