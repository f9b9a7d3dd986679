"""A client of OCI registries (OCI distribution specification): what is there, and its bytes.

All that a registry sends is taken for hostile: sizes are bounded, digests checked, redirections restricted, texts cut
short. It knows nothing of containerd's services; only of its `hosts.toml`.
"""
