"""The Helm chart and the kustomize base, judged by both Helms, by Kubernetes' own schemas, and run."""
