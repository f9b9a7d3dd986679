"""The names that a container has: its host name and its cgroup. Pure."""

from controller.api.container import NetworkMode
from controller.oci.inputs import Inputs


def hostname(inputs: Inputs) -> str:
    """The Container's hostname, else the node's on the host network, else the first 12 characters of the id."""
    if inputs.spec.hostname:
        return inputs.spec.hostname
    return inputs.node.hostname if inputs.spec.network.mode is NetworkMode.HOST else inputs.container_id[:12]


def cgroups_path(inputs: Inputs) -> str:
    """The container's cgroup, relative to the mount point of the hierarchy."""
    return f"{inputs.node.cgroup_parent.rstrip('/')}/{inputs.namespace}/{inputs.container_id}"
