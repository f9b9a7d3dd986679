"""Tallyman: containers the Kubernetes way, without Pods.

Rooms, from the top: `cli` (entry points), `agent` (one node's work), then `oci`, `kube` and `containerd` side by side, then
`api` (the kinds). A room may use only rooms below it; import-linter keeps it so (see `pyproject.toml`).
"""
