"""An asynchronous client of one containerd over gRPC. Knows nothing of Kubernetes nor of our own API."""
