"""The thin layer over kopf and the Kubernetes API: watches, patches, events. Knows nothing of containerd."""
