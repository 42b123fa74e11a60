"""Sealift on Kubernetes: manifests for kustomize, and what makes and checks the Secrets that they name."""
