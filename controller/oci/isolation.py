"""What separates a container from the node: namespaces, masked and read-only paths, kernel parameters of its own. Pure."""

from typing import Final

from controller.api.container import NetworkMode
from controller.api.sysctls import canonical, sysctl_problem
from controller.oci.errors import OCIError
from controller.oci.inputs import Inputs

MASKED_PATHS: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""Show the node's hardware, keys and timings, some of them enough for a side channel; a missing one is ignored."""

READONLY_PATHS: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""Writing to these changes the node."""


def namespaces(inputs: Inputs) -> list[dict[str, str]]:
    """The namespaces of the container's own.

    The network is the node's in mode `host`. On cgroup v1 there is no cgroup namespace, as with Docker and containerd: a
    container sees its controllers through bind mounts there.
    """
    kinds = ["pid", "ipc", "uts", "mount"]
    if inputs.spec.network.mode is not NetworkMode.HOST:
        kinds.append("network")
    if inputs.node.cgroup_v2:
        kinds.append("cgroup")
    return [{"type": kind} for kind in kinds]


def masked_paths(inputs: Inputs) -> list[str]:
    return [] if inputs.spec.security_context.privileged else list(MASKED_PATHS)


def readonly_paths(inputs: Inputs) -> list[str]:
    return [] if inputs.spec.security_context.privileged else list(READONLY_PATHS)


def sysctls(inputs: Inputs) -> dict[str, str]:
    """The kernel parameters to set, by dotted name.

    Raises:
        OCIError: one belongs to the node; validation says so earlier, this is the last line.
    """
    host_network = inputs.spec.network.mode is NetworkMode.HOST
    for name in inputs.spec.sysctls:
        if problem := sysctl_problem(name, host_network):
            raise OCIError(f"sysctl {name} {problem}")
    return {canonical(name): value for name, value in sorted(inputs.spec.sysctls.items())}
