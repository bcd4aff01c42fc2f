"""The Helm chart, the kustomize base, and what writes their generated parts. Not part of the installed package."""
